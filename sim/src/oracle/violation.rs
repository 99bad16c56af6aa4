//! A broken promise.

use std::fmt;

use serde::{Deserialize, Serialize};
use synrepl_core::{Timestamp, stream::Source};

/// What the core promises its applications and the other instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Promise {
    /// F1: delivered tokens rise, between resets.
    Order,
    /// F2: every row between two positions is delivered, or a gap stands in its place.
    Complete,
    /// F3: no row is delivered twice, between resets.
    Once,
    /// F4: the rows of one token come together, whole and unmixed.
    Batches,
    /// F5: rows under our own name are not delivered.
    NoEcho,
    /// F6: a position comes after every row up to it.
    HonestPosition,
    /// F7: with all faults gone, every source reaches its writer.
    Progress,
    /// F8: what happens on one source changes nothing of another.
    Isolation,
    /// F9: every queue has its limit.
    Bounded,
    /// F10: tokens go back only after a reset, and only where that can be.
    ExplicitReset,
    /// F11: a log counts as another one, or as gone back, only where it is.
    Continuity,
    /// F12: a token that got lost with its messages is looked for once its writer has passed it.
    Holes,
    /// P1: every appended row is sent, in token order, its batch unbroken.
    SentInOrder,
    /// P2: a POSITION says nothing of rows that there are.
    TruePosition,
    /// P3: after a send of unknown fate, followers are made to fetch.
    UnknownFate,
    /// P4: announcements answer REPLICATE and follow every connection, never ahead of rows unsent.
    Announces,
    /// P5: a slow peer is cut off at its limit.
    CutsOff,
    /// P6: only streams for which Synapse's configuration names the writer go out on its channel.
    NoHarm,
    /// A wait ends once its own source has reached its token, and not before.
    Waits,
    /// C1: the same inputs lead to the same actions.
    Deterministic,
    /// C2: no input is refused that a driver may give, and what is not a command costs nothing
    /// else.
    Total,
    /// An observer says nothing at all.
    Silence,
    /// What the application under test promises its own users.
    Application,
}

impl Promise {
    /// The id that documents and tests use; empty for promises without one.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Order => "F1",
            Self::Complete => "F2",
            Self::Once => "F3",
            Self::Batches => "F4",
            Self::NoEcho => "F5",
            Self::HonestPosition => "F6",
            Self::Progress => "F7",
            Self::Isolation => "F8",
            Self::Bounded => "F9",
            Self::ExplicitReset => "F10",
            Self::Continuity => "F11",
            Self::Holes => "F12",
            Self::SentInOrder => "P1",
            Self::TruePosition => "P2",
            Self::UnknownFate => "P3",
            Self::Announces => "P4",
            Self::CutsOff => "P5",
            Self::NoHarm => "P6",
            Self::Deterministic => "C1",
            Self::Total => "C2",
            Self::Waits | Self::Silence | Self::Application => "",
        }
    }
}

/// A broken promise: which, where, when, and what was expected and came.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Violation {
    /// The promise that is broken.
    pub promise: Promise,
    /// The time at which the oracle noticed it.
    pub at: Timestamp,
    /// The name of the instance that broke it.
    pub instance: String,
    /// The source that it is about, if it is about one.
    pub source: Option<Source>,
    /// What was expected and what came.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { promise, at, instance, source, what } = self;
        match promise.id() {
            "" => write!(f, "{promise:?}")?,
            id => write!(f, "{id} {promise:?}")?,
        }
        write!(f, " of {instance} at {at}")?;
        if let Some(source) = source {
            write!(f, ", source {source}")?;
        }
        write!(f, ": {what}")
    }
}
