//! The trace of a run, for reports: what each instance did when, and which message went where.
//!
//! A trace holds every moment of a run, so it is recorded only on request. Recording does not
//! change the run.

use serde::{Deserialize, Serialize};
use synrepl_core::{Timestamp, stream::Source};

use crate::{oracle::Violation, scenario::Scenario};

/// A recorded run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The scenario that was played.
    pub scenario: Scenario,
    /// The instances and the bus.
    pub lanes: Vec<Lane>,
    /// The moments of the run, in order of time.
    pub moments: Vec<Moment>,
    /// The broken promises, in order; each also has a moment, [`What::Violation`].
    pub violations: Vec<Violation>,
    /// The time at which the faults ended.
    pub faults_end: Timestamp,
}

impl Trace {
    /// Returns a trace without lanes and moments.
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
    /// The part that it plays.
    pub role: LaneRole,
}

/// The part that a lane plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LaneRole {
    /// An instance that writes streams.
    Writer,
    /// The bus, which carries messages.
    Bus,
    /// An instance that follows streams.
    Follower,
}

/// Index of a lane in [`Trace::lanes`].
pub type LaneIndex = usize;

/// One thing that happened on one lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The simulated time.
    pub at: Timestamp,
    /// The lane on which it happened.
    pub lane: LaneIndex,
    /// The source that it concerns, if it concerns one.
    pub source: Option<Source>,
    /// What happened.
    pub what: What,
}

/// What happened at a moment. Each text is one line for readers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// A message left for another lane.
    Sent {
        /// The number of the message in this trace; its `Received` or `Lost` has the same number.
        message: u64,
        /// The lane that the message goes to.
        to: LaneIndex,
        /// The kind of the message.
        kind: MessageKind,
        /// The message as it is on the wire.
        text: String,
    },
    /// A message arrived on this lane.
    Received {
        /// The number of the message.
        message: u64,
    },
    /// A message did not arrive. The moment is on the lane that it was sent to.
    Lost {
        /// The number of the message.
        message: u64,
        /// The reason.
        why: String,
    },
    /// A writer appended rows to its log.
    Wrote {
        /// The tokens, and the number of rows.
        text: String,
    },
    /// An instance received an input that is not a message: connected, disconnected, or a tick.
    Input {
        /// A description of the input.
        text: String,
    },
    /// The application of an instance received an event.
    Event {
        /// A description of the event.
        text: String,
    },
    /// A fault of the scenario took effect.
    Fault {
        /// A description of the fault.
        text: String,
    },
    /// A promise was broken.
    Violation {
        /// Index of the violation in [`Trace::violations`].
        index: usize,
    },
    /// The faults ended.
    FaultsEnd,
}

/// Kinds of messages between lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MessageKind {
    /// A command.
    Command,
    /// A request for missed rows.
    Fetch,
    /// The response to a fetch.
    Page,
}
