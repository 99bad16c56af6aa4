//! The check of promise C1: two runs of one scenario have the same fingerprint. If they do not, the
//! traces are compared for the first difference.

use thiserror::Error;

use crate::{choice::Choice, run::play, scenario::Scenario, trace::Moment};

/// Two runs of one scenario differed: the simulator or the core depends on more than the scenario.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("runs differ at moment {at}: first {first:?}, then {second:?}")]
pub struct Difference {
    /// Index of the first moment that differs; the length of the shorter trace if that one ends
    /// first.
    pub at: usize,
    /// The moment of the first run at that index.
    pub first: Option<Box<Moment>>,
    /// The moment of the second run at that index.
    pub second: Option<Box<Moment>>,
}

/// Plays a scenario to its end and returns the fingerprint of its inputs and actions, for
/// comparison between processes.
pub fn fingerprint(scenario: &Scenario) -> u64 {
    let choice = Choice { to_the_end: true, ..Choice::default() };
    play(scenario, choice).report.fingerprint
}

/// Plays a scenario twice and returns its fingerprint if both runs are equal.
///
/// # Errors
/// [`Difference`] names the first moment that differs.
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
