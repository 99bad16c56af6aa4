//! Simulated schedules for followers of Synapse's replication: the shipped core, driven by a world
//! of writers, a bus and fetch sources that fail on purpose, and judged by an oracle that knows
//! what each writer wrote.
//!
//! A [`Scenario`] is plain data, drawn from a seed. [`run`] plays it: a safety phase with faults,
//! then a liveness phase without, in which every source must reach its writer. Same scenario, same
//! run, in every process. What breaks a promise is a [`Violation`] that names the promise.
//!
//! ```
//! use synrepl_sim::{Scenario, run};
//!
//! let report = run(&Scenario::from_seed(7))?;
//! assert!(report.rows_delivered > 0);
//! # Ok::<(), Box<synrepl_sim::Failure>>(())
//! ```
#![forbid(unsafe_code)]

#[cfg(test)]
mod model;
mod oracle;
mod scenario;
mod shrink;
mod world;
mod writer;

pub use crate::{
    oracle::{Promise, Violation},
    scenario::{FetchFault, Scenario, Step, StreamPlan},
    shrink::shrink,
    world::{Failure, Report, run},
};
