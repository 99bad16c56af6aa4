//! Bugs put in on purpose: each must be caught, or the simulator has a hole.

use std::fmt;

use serde::{Deserialize, Serialize};
use synrepl_core::PlantedBug;

/// One known-bad variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Planted {
    /// In the core.
    Core(PlantedBug),
    /// In the simulated driver.
    Driver(DriverBug),
    /// In the driver on tokio, which only the network level runs.
    #[cfg(feature = "network")]
    Tokio(synrepl::PlantedBug),
}

synrepl_core::planted_bugs! {
    /// Known-bad variants of what a driver does around the core.
    DriverBug {
        HidesReconnection: "resubscribes by itself, and does not tell the core of the loss", "A04, clients that resubscribe by themselves";
        DropsEventsWhenBehind: "drops events while the application is behind", "queues that drop when full";
        ConnectedBeforeSubscribed: "says connected before its subscription is confirmed", "A05";
        SavesPositionsEarly: "saves positions of events that were not handled yet", "A66";
        NeverTicks: "never wakes the core at its deadline", "X3, a lost wake-up";
        LosesLateAnswers: "loses answers to fetches of an earlier connection", "F7";
        SwallowsMalformed: "drops lines that it cannot read", "A11";
        ConfirmsEarly: "confirms what it has only handed over, not what was answered", "X1";
    }
}

impl Planted {
    /// All known-bad variants that the logical level must catch.
    pub fn all() -> impl Iterator<Item = Self> {
        let core = PlantedBug::ALL.iter().copied().map(Self::Core);
        core.chain(DriverBug::ALL.iter().copied().map(Self::Driver))
    }

    /// All known-bad variants of the driver on tokio, which the network level must catch.
    #[cfg(feature = "network")]
    pub fn all_of_tokio() -> impl Iterator<Item = Self> {
        synrepl::PlantedBug::ALL.iter().copied().map(Self::Tokio)
    }

    /// What it does wrong, in one line.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Core(bug) => bug.description(),
            Self::Driver(bug) => bug.description(),
            #[cfg(feature = "network")]
            Self::Tokio(bug) => bug.description(),
        }
    }

    /// Where the bug is known from.
    pub const fn origin(self) -> &'static str {
        match self {
            Self::Core(bug) => bug.origin(),
            Self::Driver(bug) => bug.origin(),
            #[cfg(feature = "network")]
            Self::Tokio(bug) => bug.origin(),
        }
    }

    pub(crate) const fn in_core(self) -> Option<PlantedBug> {
        match self {
            Self::Core(bug) => Some(bug),
            Self::Driver(_) => None,
            #[cfg(feature = "network")]
            Self::Tokio(_) => None,
        }
    }

    #[cfg(feature = "network")]
    pub(crate) const fn in_tokio(self) -> Option<synrepl::PlantedBug> {
        match self {
            Self::Tokio(bug) => Some(bug),
            Self::Core(_) | Self::Driver(_) => None,
        }
    }
}

impl fmt::Display for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Core(bug) => write!(f, "{bug:?}"),
            Self::Driver(bug) => write!(f, "driver {bug:?}"),
            #[cfg(feature = "network")]
            Self::Tokio(bug) => write!(f, "tokio {bug:?}"),
        }
    }
}
