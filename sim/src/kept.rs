//! Kept scenarios: files with a scenario that once broke a promise or that catches a planted bug.
//! Each is played again in every test run.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    level::Level,
    outcome::{Failure, Outcome},
    planted::DriverBug,
    scenario::Scenario,
};

/// The contents of a kept file: a scenario that broke a promise, by itself or with a planted bug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// A sentence for readers that says what went wrong.
    pub what: String,
    /// The planted bug that the scenario catches, if it is kept for one: the name of a
    /// [`DriverBug`], or of a file in `sim/bugs`.
    pub planted: Option<String>,
    /// The level on which it is played.
    #[serde(default)]
    pub level: Level,
    /// The scenario to play.
    pub scenario: Scenario,
}

/// A kept scenario failed its check.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeptError {
    /// It breaks a promise, with no bug planted.
    #[error("{0}")]
    Breaks(Box<Failure>),
    /// It breaks no promise with the planted bug that it is kept for.
    #[error("no longer catches {0}: {description}", description = .0.description())]
    Misses(DriverBug),
}

impl Kept {
    /// Plays the scenario as it is, which must break no promise; then, if a bug of the simulated
    /// driver is named, with that bug, which must break one. Bugs of shipped code are not planted
    /// here: `synrepl-sim bugs` plays their scenarios in a copy of the workspace that has them.
    ///
    /// # Errors
    /// [`KeptError`] says which of the two is not so.
    pub fn replay(&self) -> Result<(), KeptError> {
        if let Some(violation) = self.play(None).violations.into_iter().next() {
            let scenario = self.scenario.clone();
            return Err(KeptError::Breaks(Box::new(Failure { violation, scenario })));
        }
        match self.planted.as_deref().and_then(DriverBug::named) {
            Some(bug) if self.play(Some(bug)).violations.is_empty() => Err(KeptError::Misses(bug)),
            _ => Ok(()),
        }
    }

    /// Plays the scenario on its level, up to the first broken promise.
    pub fn play(&self, planted: Option<DriverBug>) -> Outcome {
        self.level.play(&self.scenario, planted, false)
    }
}
