//! The logical level: cores on one queue of events, in virtual time.

mod actions;
mod arrivals;
mod fault;
mod fetch;
mod fingerprint;
mod log;
mod outcome;
mod phases;
mod population;
mod process;
mod queue;
mod recorder;
mod tcp;
mod world;
mod writing;

pub(crate) use self::world::World;
#[cfg(feature = "network")]
pub(crate) use self::{
    fingerprint::{Fingerprint, scramble},
    log::spoiled,
    recorder::Recorder,
};
pub use self::{
    log::Log,
    outcome::{Failure, Outcome, Report},
};
