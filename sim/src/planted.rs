//! Bugs put in on purpose into the simulated driver: each must be caught, or the simulator has a
//! hole. Bugs of shipped code are edits of it (`sim/bugs`), and stand in no build for use.

use std::fmt;

/// A known-bad variant of what a driver does around the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DriverBug {
    /// Resubscribes by itself, and does not tell the core of the loss.
    HidesReconnection,
    /// Drops events while the application is behind.
    DropsEventsWhenBehind,
    /// Says connected before its subscription is confirmed.
    ConnectedBeforeSubscribed,
    /// Saves positions of events that were not handled yet.
    SavesPositionsEarly,
    /// Never wakes the core at its deadline.
    NeverTicks,
    /// Loses answers to fetches of an earlier connection.
    LosesLateAnswers,
    /// Drops lines that it cannot read.
    SwallowsMalformed,
    /// Confirms what it has only handed over, not what was answered.
    ConfirmsEarly,
}

/// What is told of a bug: its name, what it does wrong, and where it is known from.
type Told = (&'static str, &'static str, &'static str);

impl DriverBug {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::HidesReconnection,
        Self::DropsEventsWhenBehind,
        Self::ConnectedBeforeSubscribed,
        Self::SavesPositionsEarly,
        Self::NeverTicks,
        Self::LosesLateAnswers,
        Self::SwallowsMalformed,
        Self::ConfirmsEarly,
    ];

    const fn told(self) -> Told {
        match self {
            Self::HidesReconnection => (
                "hides_reconnection",
                "resubscribes by itself, and does not tell the core of the loss",
                "A04, clients that resubscribe by themselves",
            ),
            Self::DropsEventsWhenBehind => (
                "drops_events_when_behind",
                "drops events while the application is behind",
                "queues that drop when full",
            ),
            Self::ConnectedBeforeSubscribed => (
                "connected_before_subscribed",
                "says connected before its subscription is confirmed",
                "A05",
            ),
            Self::SavesPositionsEarly => (
                "saves_positions_early",
                "saves positions of events that were not handled yet",
                "A66",
            ),
            Self::NeverTicks => {
                ("never_ticks", "never wakes the core at its deadline", "X3, a lost wake-up")
            }
            Self::LosesLateAnswers => {
                ("loses_late_answers", "loses answers to fetches of an earlier connection", "F7")
            }
            Self::SwallowsMalformed => {
                ("swallows_malformed", "drops lines that it cannot read", "A11")
            }
            Self::ConfirmsEarly => (
                "confirms_early",
                "confirms what it has only handed over, not what was answered",
                "X1",
            ),
        }
    }

    /// Its name on the command line and in kept scenarios.
    pub const fn name(self) -> &'static str {
        self.told().0
    }

    /// What it does wrong, in one line.
    pub const fn description(self) -> &'static str {
        self.told().1
    }

    /// Where the bug is known from: a known bug, or a hazard of `protocol.md`.
    pub const fn origin(self) -> &'static str {
        self.told().2
    }

    /// The bug of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|bug| bug.name() == name)
    }
}

impl fmt::Display for DriverBug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
