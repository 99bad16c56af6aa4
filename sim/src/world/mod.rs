//! The parts that every level shares: the writers' logs, and the fingerprint of a run.

mod fingerprint;
mod log;
mod logs;
mod sending;

pub use self::log::Log;
pub(crate) use self::{
    fingerprint::{Fingerprint, scramble},
    log::spoiled,
    logs::Logs,
    sending::{Said, damaged, look},
};
