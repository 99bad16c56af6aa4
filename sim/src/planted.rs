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

/// Known-bad variants of what a driver does around the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DriverBug {
    /// Resubscribes by itself and does not tell the core that the connection was lost.
    HidesReconnection,
    /// Drops events while the application is behind.
    DropsEventsWhenBehind,
    /// Reports a connection as usable before its subscription is confirmed.
    ConnectedBeforeSubscribed,
    /// Saves positions when events are emitted, not when they were handled.
    SavesPositionsEarly,
    /// Never wakes the core at its deadline.
    NeverTicks,
    /// Loses the answer to a fetch that comes after a reconnection.
    LosesLateAnswers,
    /// Drops lines that it cannot read instead of reporting them.
    SwallowsMalformed,
    /// Reports a publish as gone out when it was handed over, not when it was answered.
    ConfirmsEarly,
}

impl DriverBug {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::HidesReconnection,
        Self::DropsEventsWhenBehind,
        Self::ConnectedBeforeSubscribed,
        Self::SavesPositionsEarly,
        Self::NeverTicks,
        Self::LosesLateAnswers,
        Self::SwallowsMalformed,
        Self::ConfirmsEarly,
    ];

    /// What it does wrong, in one line.
    pub const fn description(self) -> &'static str {
        match self {
            Self::HidesReconnection => "resubscribes silently, so that a loss goes unnoticed",
            Self::DropsEventsWhenBehind => "drops events while the application is behind",
            Self::ConnectedBeforeSubscribed => "says connected before it is subscribed",
            Self::SavesPositionsEarly => "saves positions of events that were not handled yet",
            Self::NeverTicks => "never wakes the core at its deadline",
            Self::LosesLateAnswers => "loses answers to fetches of an earlier connection",
            Self::SwallowsMalformed => "drops lines that it cannot read",
            Self::ConfirmsEarly => "confirms what it has only handed over",
        }
    }

    /// Where the bug is known from.
    pub const fn origin(self) -> &'static str {
        match self {
            Self::HidesReconnection => "A04, clients that resubscribe by themselves",
            Self::DropsEventsWhenBehind => "queues that drop when full",
            Self::ConnectedBeforeSubscribed => "A05",
            Self::SavesPositionsEarly => "A66",
            Self::NeverTicks => "X3, a lost wake-up",
            Self::LosesLateAnswers => "F7",
            Self::SwallowsMalformed => "A11",
            Self::ConfirmsEarly => "X1",
        }
    }
}

impl Planted {
    /// All known-bad variants that the logical level must catch.
    pub fn all() -> impl Iterator<Item = Self> {
        let core = PlantedBug::ALL.iter().copied().map(Self::Core);
        core.chain(DriverBug::ALL.into_iter().map(Self::Driver))
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
