//! The recorder of a run: moments enter as they happen, a [`Trace`] leaves.

use synrepl_core::{Timestamp, stream::Source};

use crate::{
    oracle::Violation,
    scenario::Scenario,
    trace::{Lane, LaneIndex, LaneRole, Moment, Trace, What},
};

/// The most moments that are recorded; later ones are dropped.
const MOMENTS_MAX: usize = 200_000;

#[derive(Debug)]
pub(crate) struct Recorder {
    trace: Trace,
    messages: u64,
}

impl Recorder {
    /// Creates a recorder whose lanes are the writers, the bus and the followers, in this order.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let writers = (0..scenario.writers.len())
            .map(|number| Lane { name: Scenario::writer_name(number), role: LaneRole::Writer });
        let bus = Lane { name: "bus".to_owned(), role: LaneRole::Bus };
        let followers = (0..scenario.followers.len())
            .map(|number| Lane { name: format!("f{number}"), role: LaneRole::Follower });
        let trace = Trace {
            scenario: scenario.clone(),
            lanes: writers.chain([bus]).chain(followers).collect(),
            moments: Vec::new(),
            violations: Vec::new(),
            faults_end: Timestamp::from_micros(u64::from(scenario.faults_end_ms) * 1_000),
        };
        Self { trace, messages: 0 }
    }

    pub(crate) fn note(
        &mut self,
        at: Timestamp,
        lane: LaneIndex,
        source: Option<&Source>,
        what: What,
    ) {
        if self.trace.moments.len() < MOMENTS_MAX {
            self.trace.moments.push(Moment { at, lane, source: source.cloned(), what });
        }
    }

    pub(crate) fn next_message(&mut self) -> u64 {
        self.messages += 1;
        self.messages
    }

    pub(crate) fn violation(&mut self, at: Timestamp, lane: LaneIndex, violation: &Violation) {
        let index = self.trace.violations.len();
        self.trace.violations.push(violation.clone());
        self.note(at, lane, violation.source.as_ref(), What::Violation { index });
    }

    pub(crate) fn into_trace(self) -> Trace {
        self.trace
    }
}
