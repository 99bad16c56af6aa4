//! What every level simulates: the writers' logs, and numbers that stand for a run.

mod fingerprint;
mod log;

pub use self::log::Log;
pub(crate) use self::{
    fingerprint::{Fingerprint, scramble},
    log::{page, spoiled},
};
