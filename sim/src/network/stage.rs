//! What all hosts share: the truth, the judges, the trace, and what is to go wrong next.

use std::{
    collections::{BTreeSet, VecDeque},
    hash::Hasher as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use synrepl::log::LogEnds;
use synrepl_core::{
    ByteString, Event, Origin, Timestamp, Transport,
    stream::{Positions, Source, Token},
};
use tokio::sync::Notify;

use crate::{
    logical::{Fingerprint, Log, Recorder, scramble},
    marks::Marks,
    oracle::{Oracle, Violation},
    report::event_words,
    scenario::{FollowerPlan, Scenario},
    trace::What,
};

/// Cheap to clone; all clones are one. A simulation runs on one thread, so nobody ever waits.
#[derive(Clone)]
pub(super) struct Stage(Arc<Mutex<Contents>>);

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stage")
    }
}

pub(super) struct Contents {
    pub(super) scenario: Scenario,
    pub(super) logs: Vec<Log>,
    pub(super) sequences: Vec<Token>,
    pub(super) serial: u64,
    pub(super) writers: Vec<WriterPart>,
    pub(super) followers: Vec<FollowerPart>,
    pub(super) violations: Vec<Violation>,
    pub(super) recorder: Option<Recorder>,
    pub(super) fingerprint: Fingerprint,
    pub(super) marks: Marks,
    pub(super) steps: u64,
    pub(super) rows_fetched: u64,
    messages: u64,
    lives: u64,
}

/// What the stage has of one writer.
#[derive(Default)]
pub(super) struct WriterPart {
    pub(super) ends: Option<LogEnds>,
    pub(super) starts: u32,
    pub(super) is_up: bool,
    /// PUBLISHes of rows and positions that the server takes and loses, with the connection.
    pub(super) lose: u8,
    /// Ends its connections to the server.
    pub(super) kick: Arc<Notify>,
}

/// What the stage has of one follower.
pub(super) struct FollowerPart {
    pub(super) oracle: Oracle,
    /// What goes with the events that its application has handled.
    pub(super) saved: Positions,
    pub(super) starts: u32,
    pub(super) slow_until: Timestamp,
    pub(super) lose_replicates: u8,
    pub(super) damage: Option<u8>,
    pub(super) cut_after: Option<u8>,
    /// Connections that the server does not take.
    pub(super) refuse: u8,
    pub(super) kick: Arc<Notify>,
    /// Messages that the server has sent and the core has not seen.
    pub(super) under_way: VecDeque<(u64, ByteString)>,
}

impl Stage {
    pub(super) fn new(contents: Contents) -> Self {
        Self(Arc::new(Mutex::new(contents)))
    }

    /// Not to be held over an `await`.
    pub(super) fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time of the simulation.
pub(super) fn now() -> Timestamp {
    let elapsed = turmoil::sim_elapsed().unwrap_or_default();
    Timestamp::from_micros(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
}

impl Contents {
    /// A stage before anything has happened.
    pub(super) fn new(scenario: &Scenario, traced: bool) -> Self {
        let writers = scenario.writers.len();
        let mut logs: Vec<Log> = Vec::new();
        let mut sequences = Vec::new();
        for plan in &scenario.streams {
            if logs.iter().any(|log| log.source.stream() == plan.name) {
                continue;
            }
            let of: BTreeSet<usize> =
                plan.writers.iter().map(|writer| usize::from(*writer) % writers.max(1)).collect();
            for writer in of {
                let source = Source::new(&plan.name, &Scenario::writer_name(writer));
                logs.push(Log::new(source, writer, sequences.len()));
            }
            sequences.push(Token::new(1));
        }
        let follower = |(number, plan): (usize, &FollowerPlan)| FollowerPart {
            oracle: Oracle::new(
                scenario.follower_name(number),
                plan.from_beginning,
                Transport::Bus,
            ),
            saved: Positions::new(),
            starts: 0,
            slow_until: Timestamp::ZERO,
            lose_replicates: 0,
            damage: None,
            cut_after: None,
            refuse: 0,
            kick: Arc::default(),
            under_way: VecDeque::new(),
        };
        Self {
            logs,
            sequences,
            serial: 0,
            writers: scenario.writers.iter().map(|_| WriterPart::default()).collect(),
            followers: scenario.followers.iter().enumerate().map(follower).collect(),
            violations: Vec::new(),
            recorder: traced.then(|| Recorder::new(scenario)),
            fingerprint: Fingerprint::default(),
            marks: Marks::default(),
            steps: 0,
            rows_fetched: 0,
            messages: 0,
            lives: 0,
            scenario: scenario.clone(),
        }
    }

    /// The lane of a follower: the bus stands before them.
    pub(super) fn follower_lane(&self, follower: usize) -> usize {
        self.writers.len() + 1 + follower
    }

    pub(super) fn bus_lane(&self) -> usize {
        self.writers.len()
    }

    /// The number of a message that leaves.
    pub(super) fn next_message(&mut self) -> u64 {
        self.messages += 1;
        self.messages
    }

    /// A seed for one life of an instance.
    pub(super) fn next_seed(&mut self) -> u64 {
        self.lives += 1;
        scramble(self.scenario.seed, 1, self.lives)
    }

    /// A follower starts again from what was saved.
    pub(super) fn restart_follower(&mut self, follower: usize, saved: &Positions) {
        self.followers[follower].oracle.on_restart(saved, &[], &self.logs);
    }

    /// Records a moment, if the run is traced.
    pub(super) fn note(
        &mut self,
        at: Timestamp,
        lane: usize,
        source: Option<&Source>,
        what: impl FnOnce() -> What,
    ) {
        if let Some(recorder) = &mut self.recorder {
            recorder.note(at, lane, source, what());
        }
    }

    pub(super) fn break_promise(&mut self, at: Timestamp, lane: usize, violation: Violation) {
        let violation = Violation { at, ..violation };
        if let Some(recorder) = &mut self.recorder {
            recorder.violation(at, lane, &violation);
        }
        self.violations.push(violation);
    }

    /// Adds to the fingerprint of the run.
    pub(super) fn imprint(&mut self, at: Timestamp, who: usize, text: &str) {
        self.fingerprint.write_u64(at.as_micros());
        self.fingerprint.write_u64(who as u64);
        self.fingerprint.write(text.as_bytes());
    }

    /// An application is told something.
    pub(super) fn on_event(&mut self, at: Timestamp, follower: usize, event: &Event) {
        let lane = self.follower_lane(follower);
        let source = event.position().map(|(source, _)| source.clone());
        self.note(at, lane, source.as_ref(), || What::Event { text: event_words(event) });
        if let Event::Rows { rows, origin: Origin::CatchUp, .. } = event {
            self.rows_fetched += rows.len() as u64;
        }
        let part = &mut self.followers[follower];
        part.oracle.on_input(at, None);
        let verdict = part.oracle.judge(event, &self.logs, &mut self.marks);
        if let Some((source, token)) = event.position() {
            part.saved.set(source.stream(), source.instance(), token);
        }
        if let Err(violation) = verdict {
            self.break_promise(at, lane, violation);
        }
    }

    /// A source appends rows under some tokens in one transaction, if its writer is there.
    pub(super) fn write(&mut self, at: Timestamp, index: usize, tokens: u8, rows: u8) {
        let (writer, stream) = (self.logs[index].writer, self.logs[index].stream);
        if !self.writers[writer].is_up {
            return;
        }
        let first = self.serial + 1;
        for _ in 0..tokens {
            let log = &mut self.logs[index];
            let token = if log.traits.resettable {
                log.current.advanced_by(1)
            } else {
                let next = self.sequences[stream].advanced_by(1);
                self.sequences[stream] = next;
                next
            };
            log.append(token, rows, &mut self.serial);
        }
        let (last, upto) = (self.serial, self.logs[index].current);
        let source = self.logs[index].source.clone();
        self.note(at, writer, Some(&source), || What::Wrote {
            text: format!("rows {first} to {last}, up to token {upto}"),
        });
        if !self.logs[index].traits.resettable {
            // The other writers of the sequence see it move on.
            let seen = self.sequences[stream];
            for log in self.logs.iter_mut().filter(|log| log.stream == stream) {
                if self.writers[log.writer].is_up {
                    log.current = log.current.max(seen);
                }
            }
        }
        for log in self.logs.iter().filter(|log| log.stream == stream) {
            if let Some(ends) = &self.writers[log.writer].ends {
                ends.advance(&ByteString::from(log.source.stream()), log.current);
            }
        }
    }

    /// A writer starts, for the first time or again.
    pub(super) fn start_writer(&mut self, at: Timestamp, writer: usize) {
        let part = &mut self.writers[writer];
        part.starts += 1;
        part.is_up = true;
        part.ends = None;
        let first = part.starts == 1;
        for log in self.logs.iter_mut().filter(|log| log.writer == writer) {
            if !first {
                log.restart();
            }
            if !log.traits.resettable {
                log.current = log.current.max(self.sequences[log.stream]);
            }
        }
        self.note(at, writer, None, || What::Input { text: "starts".to_owned() });
    }

    /// Whether somebody only listens.
    pub(super) fn has_observers(&self) -> bool {
        self.scenario.followers.iter().any(|plan| plan.observe_only)
    }

    /// What has not arrived at some follower.
    pub(super) fn unconverged(&self) -> Option<(usize, Violation)> {
        self.followers.iter().enumerate().find_map(|(index, part)| {
            let verdict = part.oracle.check_converged(&self.logs, |log| Some(log.current));
            verdict.err().map(|violation| (self.follower_lane(index), violation))
        })
    }
}
