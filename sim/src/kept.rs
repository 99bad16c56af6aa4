//! Scenarios that are kept as files, to be played again for all time.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    choice::Choice,
    outcome::Failure,
    planted::Planted,
    run::{play, run},
    scenario::Scenario,
};

/// A scenario that once broke a promise, as a file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What went wrong, for people.
    pub what: String,
    /// The bug that it went wrong with, if one was planted.
    pub planted: Option<Planted>,
    /// The scenario.
    pub scenario: Scenario,
}

/// A kept scenario that no longer does what it is kept for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeptError {
    /// It breaks a promise (again).
    #[error("{0}")]
    Breaks(Box<Failure>),
    /// It no longer catches the bug that it is kept for.
    #[error("no longer catches {0}: {description}", description = .0.description())]
    Misses(Planted),
}

impl Kept {
    /// Plays the scenario: nothing may break, and, if a bug is named, something must with it.
    ///
    /// # Errors
    /// What is not so.
    pub fn replay(&self) -> Result<(), KeptError> {
        run(&self.scenario).map_err(KeptError::Breaks)?;
        match self.planted {
            Some(bug) => {
                let choice = Choice { planted: Some(bug), ..Choice::default() };
                let outcome = play(&self.scenario, choice);
                if outcome.violations.is_empty() { Err(KeptError::Misses(bug)) } else { Ok(()) }
            }
            None => Ok(()),
        }
    }
}
