//! C1: same scenario, same run.

use thiserror::Error;

use crate::{choice::Choice, run::play, scenario::Scenario, trace::Moment};

/// Two runs of one scenario differed: the simulator or the core depends on something else.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("runs differ at moment {at}: first {first:?}, then {second:?}")]
pub struct Difference {
    /// Index of the first moment that differs; the length of the shorter trace if one just ends.
    pub at: usize,
    /// What the first run had there.
    pub first: Option<Box<Moment>>,
    /// What the second run had there.
    pub second: Option<Box<Moment>>,
}

/// The fingerprint of a run, for comparison between processes. It covers every input and action.
pub fn fingerprint(scenario: &Scenario) -> u64 {
    let choice = Choice { to_the_end: true, ..Choice::default() };
    play(scenario, choice).report.fingerprint
}

/// Plays a scenario twice and compares; its fingerprint if both runs are equal.
///
/// # Errors
/// The first difference of their traces.
pub fn check_determinism(scenario: &Scenario) -> Result<u64, Difference> {
    let (first, second) = (fingerprint(scenario), fingerprint(scenario));
    if first == second {
        return Ok(first);
    }
    let moments = || {
        let choice = Choice { to_the_end: true, traced: true, ..Choice::default() };
        play(scenario, choice).trace.map(|trace| trace.moments).unwrap_or_default()
    };
    let (first, second) = (moments(), moments());
    let at = first.iter().zip(&second).take_while(|(one, other)| one == other).count();
    let of = |moments: &[Moment]| moments.get(at).cloned().map(Box::new);
    Err(Difference { at, first: of(&first), second: of(&second) })
}
