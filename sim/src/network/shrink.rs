//! Makes a failing scenario smaller on this level.

use super::play;
use crate::{outcome::Failure, shrink::shrink_by};

/// Runs that a shrinking may take: each takes as long as a hundred on the logical level.
const RUNS_MAX: u32 = 300;

/// The smallest scenario found that breaks the same promise as `failure` when the whole driver plays
/// it, with how it fails. Deterministic.
pub fn shrink(failure: &Failure) -> Box<Failure> {
    shrink_by(failure, RUNS_MAX, |scenario| play(scenario, false))
}
