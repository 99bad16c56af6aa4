//! Simulated schedules for followers of Synapse's replication. The shipped core is driven by
//! simulated writers, a bus and fetch sources that fail on purpose; an oracle that knows what each
//! writer wrote judges every step.
//!
//! A [`Scenario`] is plain data: drawn from a seed in a [`Mode`], decoded from any bytes, or
//! written by hand. A run has a safety phase with faults, in which every promise is judged after
//! every step, then a liveness phase without faults, in which everything that was announced must
//! arrive within 300 s of simulated time, and what is written after that within 120 s. The same
//! scenario gives the same run in every process. A broken promise is reported as a [`Violation`]
//! that names it.
//!
//! ```
//! use synrepl_sim::{Mode, Scenario, run};
//!
//! let report = run(&Scenario::draw(Mode::Swarm, 7))?;
//! assert!(report.rows_delivered > 0);
//! # Ok::<(), Box<synrepl_sim::Failure>>(())
//! ```
//!
//! # An application under the same faults
//!
//! [`run_with_handler`] gives the events of the first follower to a [`Handler`], together with the
//! writers' logs to compare with. `examples/stale_cache.rs` has a cache that must never serve a
//! stale entry, and a wrong one that is caught.
//!
//! ```
//! use synrepl_core::{Event, Timestamp};
//! use synrepl_sim::{Scenario, Truth, run_with_handler};
//!
//! let mut rows = 0;
//! let mut count = |_: Timestamp, event: &Event, _: Truth<'_>| {
//!     if let Event::Rows { rows: more, .. } = event {
//!         rows += more.len();
//!     }
//!     Ok(())
//! };
//! run_with_handler(&Scenario::from_seed(7), &mut count)?;
//! assert!(rows > 0);
//! # Ok::<(), Box<synrepl_sim::Failure>>(())
//! ```
//!
//! # Rows that nothing on the wire shows
//!
//! A writer that breaks its side of the protocol (a lost PUBLISH that it does not notice, a
//! POSITION over real rows, no announcement after a reconnection, a crash inside a burst) can leave
//! no trace of rows on the wire. To miss such rows breaks no promise; the [`Report`] counts them.
#![forbid(unsafe_code)]

mod choice;
mod determinism;
mod handler;
mod kept;
mod level;
mod logical;
mod machine;
mod marks;
#[cfg(feature = "network")]
pub mod network;
mod oracle;
mod outcome;
mod panic;
mod planted;
mod recorder;
pub mod reference;
pub mod report;
mod run;
mod scenario;
mod shrink;
#[cfg(test)]
mod steps;
pub mod trace;
mod world;

pub use crate::{
    choice::Choice,
    determinism::{Difference, check_determinism, fingerprint},
    handler::{Handler, Truth},
    kept::{Kept, KeptError},
    level::Level,
    machine::{Cast, Machine, Shipped},
    marks::{Mark, Marks},
    oracle::{Promise, Violation},
    outcome::{Failure, Outcome, Report},
    planted::DriverBug,
    run::{play, run, run_with_handler},
    scenario::{
        FetchFault, FollowerPlan, Happening, Manners, Mode, Noise, Pattern, Scenario, StreamPlan,
        Timed, Via, WriterPlan,
    },
    shrink::shrink,
    world::Log,
};
