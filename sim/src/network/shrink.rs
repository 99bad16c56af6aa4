//! Makes a failing scenario smaller on this level.

use super::play;
use crate::{outcome::Failure, shrink::shrink_by};

/// The runs that a shrinking may take. Each takes as long as a hundred on the logical level.
const RUNS_MAX: u32 = 300;

/// Returns the smallest scenario found that breaks the same promise as `failure` when the whole
/// driver plays it, and how it fails. The search is deterministic.
pub fn shrink(failure: &Failure) -> Box<Failure> {
    shrink_by(failure, RUNS_MAX, |scenario| play(scenario, false))
}
