//! Scenarios that are kept as files, to be played again for all time.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    choice::Choice,
    outcome::{Failure, Outcome},
    planted::DriverBug,
    run::play,
    scenario::Scenario,
};

/// How deep a kept scenario is simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Level {
    /// Cores on one queue of events.
    #[default]
    Logical,
    /// The whole driver on simulated hosts.
    #[cfg(feature = "network")]
    Turmoil,
}

/// A scenario that once broke a promise, as a file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What went wrong, for people.
    pub what: String,
    /// The name of the bug that it went wrong with, if one was planted: of a [`DriverBug`], or of a
    /// file in `sim/bugs`.
    pub planted: Option<String>,
    /// Where it is played.
    #[serde(default)]
    pub level: Level,
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
    Misses(DriverBug),
}

impl Kept {
    /// Plays the scenario: nothing may break, and, if a bug of the simulated driver is named,
    /// something must with it. A bug of shipped code is not in shipped code: `synrepl-sim bugs`
    /// plays its scenario where it is.
    ///
    /// # Errors
    /// What is not so.
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

    /// Plays the scenario where it is kept for, up to the first broken promise.
    pub fn play(&self, planted: Option<DriverBug>) -> Outcome {
        match self.level {
            Level::Logical => play(&self.scenario, Choice { planted, ..Choice::default() }),
            // The simulated driver has no part in it.
            #[cfg(feature = "network")]
            Level::Turmoil => crate::network::play(&self.scenario, false),
        }
    }
}
