//! What every level simulates: the writers' logs, and numbers that stand for a run.

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
