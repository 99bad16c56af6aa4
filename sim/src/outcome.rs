//! The results of a run: its figures, the promises that it broke, and the writers' logs at its end.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{marks::Marks, oracle::Violation, scenario::Scenario, trace::Trace, world::Log};

/// The figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// Inputs handed to all machines, each of which is a step.
    pub steps: u64,
    /// Rows that the writers appended.
    pub rows_written: u64,
    /// Rows that followers delivered.
    pub rows_delivered: u64,
    /// Rows among those delivered that were fetched.
    pub rows_fetched: u64,
    /// Rows that could be missed without a trace on the wire, because a writer broke its side of
    /// the protocol.
    pub rows_untold: u64,
    /// Rows among those that an audit found.
    pub rows_audited: u64,
    /// Rows among those that a follower did miss, without a gap.
    pub rows_missed: u64,
    /// Gaps that followers reported.
    pub gaps: u64,
    /// Resets that followers reported.
    pub resets: u64,
    /// Overflows of holding queues, each of which became a fetch.
    pub overflows: u64,
    /// Duration of the run in simulated milliseconds.
    pub simulated_ms: u64,
    /// Simulated milliseconds from the end of the faults until everything had arrived.
    pub converged_ms: u64,
    /// A hash of all inputs and actions: equal runs have equal fingerprints, in every process.
    pub fingerprint: u64,
    /// The coverage marks that the run reached.
    pub marks: Marks,
}

/// The complete result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The figures of the run.
    pub report: Report,
    /// The broken promises, in order.
    pub violations: Vec<Violation>,
    /// The writers' logs at the end.
    pub logs: Vec<Log>,
    /// The trace, if one was requested.
    pub trace: Option<Trace>,
}

/// A run that broke a promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub struct Failure {
    /// The promise that was broken, and how.
    pub violation: Violation,
    /// The scenario, which gives the same run when it is played again.
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
