//! What came of a run.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{marks::Marks, oracle::Violation, scenario::Scenario, trace::Trace, world::Log};

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// Inputs handed to all cores: one step each.
    pub steps: u64,
    /// Rows that the writers appended.
    pub rows_written: u64,
    /// Rows that followers delivered.
    pub rows_delivered: u64,
    /// Rows of these that were fetched.
    pub rows_fetched: u64,
    /// Rows that could be missed without a trace on the wire, because a writer broke its side of
    /// the protocol.
    pub rows_untold: u64,
    /// Rows of these that an audit found.
    pub rows_audited: u64,
    /// Rows of those that could be missed that were: followers passed over them without a word.
    pub rows_missed: u64,
    /// Gaps that followers reported.
    pub gaps: u64,
    /// Resets that followers reported.
    pub resets: u64,
    /// Times that a queue overflowed into a fetch.
    pub overflows: u64,
    /// Simulated time, in milliseconds.
    pub simulated_ms: u64,
    /// Simulated time from the end of the faults until everything had arrived, in milliseconds.
    pub converged_ms: u64,
    /// Stands for all inputs and actions: equal runs have equal ones, in every process.
    pub fingerprint: u64,
    /// What was reached.
    pub marks: Marks,
}

/// A run with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// What it did.
    pub report: Report,
    /// Promises that were broken, in order.
    pub violations: Vec<Violation>,
    /// What every writer holds at the end.
    pub logs: Vec<Log>,
    /// The trace, if it was asked for.
    pub trace: Option<Trace>,
}

/// A run that broke a promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub struct Failure {
    /// Which promise, and how.
    pub violation: Violation,
    /// The scenario, to play again.
    pub scenario: Scenario,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.violation)?;
        let Scenario { seed, mode, events, .. } = &self.scenario;
        writeln!(f, "seed {seed}, {mode:?}, {} events", events.len())?;
        write!(f, "scenario: {}", serde_json::to_string(&self.scenario).unwrap_or_default())
    }
}
