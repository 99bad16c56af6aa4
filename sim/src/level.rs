//! The two levels on which a scenario is simulated.

use serde::{Deserialize, Serialize};

use crate::{
    choice::Choice,
    outcome::{Failure, Outcome},
    planted::DriverBug,
    run::play,
    scenario::Scenario,
    shrink::shrink,
};

/// The level of the simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "command", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Level {
    /// Cores on one queue of events, in virtual time: thousands of scenarios a minute
    #[default]
    Logical,
    /// The whole tokio driver over simulated TCP: followers and writers as people run them
    #[cfg(feature = "network")]
    Turmoil,
}

impl Level {
    /// Returns the name on the command line and in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logical => "logical",
            #[cfg(feature = "network")]
            Self::Turmoil => "turmoil",
        }
    }

    /// Plays a scenario up to the first broken promise; with its trace if `traced`. Only the
    /// logical level has the simulated driver, and so its bugs.
    #[must_use]
    pub fn play(self, scenario: &Scenario, planted: Option<DriverBug>, traced: bool) -> Outcome {
        match self {
            Self::Logical => play(scenario, Choice { planted, traced, ..Choice::default() }),
            #[cfg(feature = "network")]
            Self::Turmoil => crate::network::play(scenario, traced),
        }
    }

    /// Returns the scenario with the faults that only this level has, drawn as by its seed.
    #[must_use]
    pub fn complete(self, scenario: Scenario) -> Scenario {
        match self {
            Self::Logical => scenario,
            #[cfg(feature = "network")]
            Self::Turmoil => scenario.with_sockets(),
        }
    }

    /// Returns the scenarios that a search for planted bugs plays before the drawn ones.
    #[must_use]
    pub fn orders(self) -> Vec<Scenario> {
        match self {
            Self::Logical => Vec::new(),
            #[cfg(feature = "network")]
            Self::Turmoil => crate::network::orders(),
        }
    }

    /// Returns the smallest scenario found that breaks the same promise.
    #[must_use]
    pub fn shrink(self, failure: &Failure, planted: Option<DriverBug>) -> Box<Failure> {
        match self {
            Self::Logical => shrink(failure, planted),
            #[cfg(feature = "network")]
            Self::Turmoil => crate::network::shrink(failure),
        }
    }
}
