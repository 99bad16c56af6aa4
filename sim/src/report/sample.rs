//! A sample trace for tests, with a lost PUBLISH and a violation.

use synrepl_core::{Timestamp, stream::Source};

use crate::{
    FollowerPlan, Mode, Promise, Scenario, StreamPlan, Violation, WriterPlan,
    trace::{Lane, LaneRole, MessageKind, Moment, Trace, What},
};

pub(super) fn scenario() -> Scenario {
    Scenario {
        seed: 17,
        mode: Mode::Swarm,
        streams: vec![StreamPlan { name: "events".to_owned(), writers: vec![0, 1] }],
        writers: vec![WriterPlan::default(); 2],
        followers: vec![FollowerPlan { from_beginning: true, ..FollowerPlan::default() }],
        delay_us: (100, 900),
        page_rows_max: 100,
        events: Vec::new(),
        faults_end_ms: 4_000,
    }
}

/// Returns the sample, whose lanes are `master`, `w1`, `bus` and `f0`.
pub(super) fn trace() -> Trace {
    let lane = |name: &str, role| Lane { name: name.to_owned(), role };
    let mut story = Story {
        trace: Trace {
            scenario: scenario(),
            lanes: vec![
                lane("master", LaneRole::Writer),
                lane("w1", LaneRole::Writer),
                lane("bus", LaneRole::Bus),
                lane("f0", LaneRole::Follower),
            ],
            moments: Vec::new(),
            violations: Vec::new(),
            faults_end: Timestamp::from_micros(4_000_000),
        },
        messages: 0,
    };
    let (a, b) = (Source::new("events", "master"), Source::new("events", "w1"));
    story.note(0, 3, None, What::Input { text: "Connected c1".to_owned() });
    story.through_bus(200, 3, 0, None, "REPLICATE ");
    story.through_bus(1_100, 0, 3, Some(&a), "POSITION events master 1 1");
    story.event(1_900, Some(&a), "Live at 1");
    story.through_bus(1_400, 1, 3, Some(&b), "POSITION events w1 1 1");
    story.event(2_200, Some(&b), "Live at 1");
    for token in 2..6 {
        let at = 100_000 * token;
        let (writer, source) = if token % 2 == 0 { (0, &a) } else { (1, &b) };
        let text = format!("token {token}, 1 row");
        story.note(at, writer, Some(source), What::Wrote { text });
        let line = format!("RDATA events {} {token} [{token}]", source.instance());
        if token == 4 {
            let text = "the next PUBLISH gets lost".to_owned();
            story.note(at, 0, Some(source), What::Fault { text });
            let message = story.sent(at + 50, 0, 2, Some(source), MessageKind::Command, &line);
            let why = "PUBLISH lost".to_owned();
            story.note(at + 700, 2, None, What::Lost { message, why });
        } else {
            story.through_bus(at + 50, writer, 3, Some(source), &line);
            story.event(at + 1_500, Some(source), &format!("Rows {token}: [{token}]"));
        }
    }
    story.note(4_000_000, 2, None, What::FaultsEnd);
    story.through_bus(4_000_100, 0, 3, Some(&a), "POSITION events master 4 4");
    let fetch = story.sent(4_001_500, 3, 0, Some(&a), MessageKind::Fetch, "events/master (2, 4]");
    story.note(4_002_000, 0, None, What::Received { message: fetch });
    let page = story.sent(4_002_000, 0, 3, Some(&a), MessageKind::Page, "0 rows up to 4");
    story.note(4_002_600, 3, None, What::Received { message: page });
    story.event(4_002_600, Some(&a), "Position 4");
    story.trace.violations.push(Violation {
        promise: Promise::Complete,
        at: Timestamp::from_micros(4_002_600),
        instance: "f0".to_owned(),
        source: Some(a.clone()),
        what: "the position is 4 but [4] at 4 never came".to_owned(),
    });
    story.note(4_002_600, 3, Some(&a), What::Violation { index: 0 });
    story.trace.moments.sort_by_key(|moment| moment.at);
    story.trace
}

struct Story {
    trace: Trace,
    messages: u64,
}

impl Story {
    fn note(&mut self, micros: u64, lane: usize, source: Option<&Source>, what: What) {
        let at = Timestamp::from_micros(micros);
        self.trace.moments.push(Moment { at, lane, source: source.cloned(), what });
    }

    fn event(&mut self, micros: u64, source: Option<&Source>, text: &str) {
        self.note(micros, 3, source, What::Event { text: text.to_owned() });
    }

    fn sent(
        &mut self,
        micros: u64,
        lane: usize,
        to: usize,
        source: Option<&Source>,
        kind: MessageKind,
        text: &str,
    ) -> u64 {
        self.messages += 1;
        let message = self.messages;
        let text = text.to_owned();
        self.note(micros, lane, source, What::Sent { message, to, kind, text });
        message
    }

    fn through_bus(
        &mut self,
        micros: u64,
        lane: usize,
        to: usize,
        source: Option<&Source>,
        text: &str,
    ) {
        let first = self.sent(micros, lane, 2, source, MessageKind::Command, text);
        self.note(micros + 400, 2, None, What::Received { message: first });
        let second = self.sent(micros + 400, 2, to, source, MessageKind::Command, text);
        self.note(micros + 800, to, None, What::Received { message: second });
    }
}
