//! The planted bugs of the simulated driver: the scenarios must catch each of them, which shows
//! that the oracle works. The bugs of shipped code are edits of a copy (`sim/bugs`), so no build
//! for use contains one.

use std::fmt;

/// A planted bug: something that a driver around the core could do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DriverBug {
    /// Subscribes again by itself, and does not report the lost connection to the core.
    HidesReconnection,
    /// Drops events while the application is slow.
    DropsEventsWhenBehind,
    /// Reports `Connected` before its subscription is confirmed.
    ConnectedBeforeSubscribed,
    /// Saves positions of events that the application has not handled yet.
    SavesPositionsEarly,
    /// Never sends a `Tick` at the core's deadline.
    NeverTicks,
    /// Discards responses to fetches that began under an earlier connection.
    LosesLateAnswers,
    /// Discards lines that it cannot parse instead of reporting them.
    SwallowsMalformed,
    /// Reports a PUBLISH as gone out once it is written, before Redis has answered it.
    ConfirmsEarly,
}

/// The name, the description and the origin of a bug.
type Facts = (&'static str, &'static str, &'static str);

impl DriverBug {
    /// All bugs of the simulated driver.
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

    const fn facts(self) -> Facts {
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

    /// Returns the bug's name on the command line and in kept scenarios.
    pub const fn name(self) -> &'static str {
        self.facts().0
    }

    /// Returns one line that says what the bug does wrong.
    pub const fn description(self) -> &'static str {
        self.facts().1
    }

    /// Returns the known bug, or the hazard of `protocol.md`, that this is an example of.
    pub const fn origin(self) -> &'static str {
        self.facts().2
    }

    /// Returns the bug of this name, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|bug| bug.name() == name)
    }
}

impl fmt::Display for DriverBug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
