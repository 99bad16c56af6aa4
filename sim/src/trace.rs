//! A run as a list of moments, for reports: who did what when, which message went where.
//!
//! A trace has every moment of a run, so it is made only on request: a run is the same with and
//! without.

use serde::{Deserialize, Serialize};
use synrepl_core::{Timestamp, stream::Source};

use crate::{oracle::Violation, scenario::Scenario};

/// A recorded run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// What was played.
    pub scenario: Scenario,
    /// The instances, and the bus.
    pub lanes: Vec<Lane>,
    /// What happened, in order; times never go back.
    pub moments: Vec<Moment>,
    /// Promises that were broken, in order; each also stands as a moment.
    pub violations: Vec<Violation>,
    /// When the faults ended.
    pub faults_end: Timestamp,
}

impl Trace {
    /// The trace of a run in which nothing happened.
    pub fn empty(scenario: &Scenario) -> Self {
        Self {
            scenario: scenario.clone(),
            lanes: Vec::new(),
            moments: Vec::new(),
            violations: Vec::new(),
            faults_end: Timestamp::from_micros(u64::from(scenario.faults_end_ms) * 1_000),
        }
    }
}

/// One instance of a trace, or the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// Instance name; `bus` for the bus.
    pub name: String,
    /// What it is.
    pub role: LaneRole,
}

/// What a lane stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LaneRole {
    /// Writes streams.
    Writer,
    /// Carries messages.
    Bus,
    /// Follows streams.
    Follower,
}

/// Index of a lane in [`Trace::lanes`].
pub type LaneIndex = usize;

/// One thing that happened on one lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// Where.
    pub lane: LaneIndex,
    /// Which source it concerns, if one.
    pub source: Option<Source>,
    /// What.
    pub what: What,
}

/// What happened at a moment. Texts are for people, one line each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// A message left for another lane.
    Sent {
        /// Its number in this trace; `Received` or `Lost` has the same.
        message: u64,
        /// Where to.
        to: LaneIndex,
        /// What it is.
        kind: MessageKind,
        /// As on the wire.
        text: String,
    },
    /// A message arrived on this lane.
    Received {
        /// Its number.
        message: u64,
    },
    /// A message did not arrive. The lane is the one that it was to arrive at.
    Lost {
        /// Its number.
        message: u64,
        /// Why.
        why: String,
    },
    /// A writer appended rows to its log.
    Wrote {
        /// Under which tokens, and how many rows.
        text: String,
    },
    /// An instance was told something that is not a message: connected, disconnected, tick.
    Input {
        /// What.
        text: String,
    },
    /// An instance's application was told something.
    Event {
        /// What.
        text: String,
    },
    /// Something went wrong on purpose.
    Fault {
        /// What.
        text: String,
    },
    /// A promise was broken.
    Violation {
        /// Index in [`Trace::violations`].
        index: usize,
    },
    /// The faults are gone.
    FaultsEnd,
}

/// Kinds of messages between lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MessageKind {
    /// A command.
    Command,
    /// A question for missed rows.
    Fetch,
    /// The answer to it.
    Page,
}
