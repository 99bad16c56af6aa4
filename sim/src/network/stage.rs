//! The state that all hosts share: the writers' logs, the judges, the trace, and the faults that
//! are planned.

use std::{
    cell::Cell,
    hash::Hasher as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use synrepl_core::{
    ByteString, Event, Origin, Timestamp,
    stream::{Order, Positions, Source, Token},
};

use super::{
    direct::{Direct, SERVER},
    links::OpenStreams,
    parts::{FollowerPart, WriterPart},
    redis::Party,
};
use crate::{
    marks::{Mark, Marks},
    oracle::{Promise, PublishOracle, Violation},
    recorder::Recorder,
    report::event_words,
    scenario::{FollowerPlan, Scenario, Via},
    trace::What,
    world::{Fingerprint, Log, Logs, scramble},
};

/// The shared state. Clones are cheap, and share it. A simulation runs on one thread, so nobody
/// ever waits for the lock.
#[derive(Clone)]
pub(super) struct Stage(Arc<Mutex<Contents>>);

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stage")
    }
}

pub(super) struct Contents {
    pub(super) scenario: Scenario,
    pub(super) logs: Logs,
    pub(super) writers: Vec<WriterPart>,
    pub(super) followers: Vec<FollowerPart>,
    pub(super) violations: Vec<Violation>,
    pub(super) recorder: Option<Recorder>,
    pub(super) fingerprint: Fingerprint,
    pub(super) marks: Marks,
    pub(super) steps: u64,
    pub(super) rows_fetched: u64,
    /// Simulated time from the end of the faults until everything had arrived.
    pub(super) converged_in: Duration,
    /// The connections of direct TCP.
    pub(super) direct: Direct,
    /// The ends of all byte streams but those of the bus.
    pub(super) open: OpenStreams,
    /// Judges what the writers say on the bus.
    pub(super) publish: PublishOracle,
    /// The most bytes of one piece of a byte stream, or 0 if streams are not cut.
    pub(super) pieces: u8,
    /// The number of connections that the bus has taken.
    pub(super) bus_clients: u64,
    /// The number of bad answers so far.
    pub(super) spoilt: u64,
    /// The number of PUBLISHes that the bus took and did not pass on. Every other one is refused.
    pub(super) unpublished: u64,
    messages: u64,
    lives: u64,
    streams: u64,
}

impl Stage {
    pub(super) fn new(contents: Contents) -> Self {
        Self(Arc::new(Mutex::new(contents)))
    }

    /// Waits while a writer takes no connections.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn wait_to_accept(&self, writer: usize) {
        loop {
            let wait = {
                let mut stage = self.lock();
                let wait = stage.writers[writer].accepts_at.saturating_since(now());
                if !wait.is_zero() {
                    stage.marks.hit(Mark::SlowAccept);
                }
                wait
            };
            if wait.is_zero() {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Locks the state. The lock must not be held over an `await`.
    pub(super) fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    /// The time at which the present step of this thread's simulation ends.
    static STEP_ENDS: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Notes the time at which the next step of the simulation ends.
pub(super) fn begin_step(ends: Duration) {
    STEP_ENDS.set(ends);
}

/// Returns the time of the simulation. A host whose clock jumps would be ahead of its step, so the
/// end of the step is the limit.
pub(super) fn now() -> Timestamp {
    let elapsed = turmoil::sim_elapsed().unwrap_or_default().min(STEP_ENDS.get());
    Timestamp::from_micros(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
}

impl Contents {
    /// Makes the stage of a scenario, before anything has happened.
    pub(super) fn new(scenario: &Scenario, traced: bool) -> Self {
        let follower = |(number, plan): (usize, &FollowerPlan)| {
            FollowerPart::new(scenario.follower_name(number), plan)
        };
        let mut marks = Marks::default();
        if scenario.writers.iter().any(|plan| plan.starts_ms > 0) {
            marks.hit(Mark::WriterAppeared);
        }
        if scenario.followers.iter().any(|plan| plan.namesake_of.is_some()) {
            marks.hit(Mark::SameName);
        }
        Self {
            logs: Logs::planned(scenario),
            writers: scenario.writers.iter().map(|_| WriterPart::default()).collect(),
            followers: scenario.followers.iter().enumerate().map(follower).collect(),
            violations: Vec::new(),
            recorder: traced.then(|| Recorder::new(scenario)),
            fingerprint: Fingerprint::default(),
            marks,
            steps: 0,
            rows_fetched: 0,
            converged_in: Duration::ZERO,
            direct: Direct::default(),
            open: OpenStreams::default(),
            publish: PublishOracle::default(),
            pieces: 0,
            bus_clients: 0,
            spoilt: 0,
            unpublished: 0,
            messages: 0,
            lives: 0,
            streams: 0,
            scenario: scenario.clone(),
        }
    }

    /// Returns the lane of a follower. Lanes are those of the writers, of the bus, of the
    /// followers.
    pub(super) fn follower_lane(&self, follower: usize) -> usize {
        self.writers.len() + 1 + follower
    }

    pub(super) fn bus_lane(&self) -> usize {
        self.writers.len()
    }

    /// Returns the number for a message that leaves.
    pub(super) fn next_message(&mut self) -> u64 {
        self.messages += 1;
        self.messages
    }

    /// Returns the seed for one life of an instance.
    pub(super) fn next_seed(&mut self) -> u64 {
        self.lives += 1;
        scramble(self.scenario.seed, 1, self.lives)
    }

    /// Returns the number and the seed for one end of a byte stream.
    pub(super) fn next_stream(&mut self) -> (u64, u64) {
        self.streams += 1;
        (self.streams, scramble(self.scenario.seed, 3, self.streams))
    }

    /// Returns whether a server takes the next connection of this instance.
    pub(super) fn takes(&mut self, party: Party) -> bool {
        let Party::Follower(index) = party else { return true };
        let refuse = &mut self.followers[index].refuse;
        let takes = *refuse == 0;
        *refuse = refuse.saturating_sub(1);
        if !takes {
            self.marks.hit(Mark::ConnectionRefused);
        }
        takes
    }

    /// Checks F9 as a follower calls for missed rows: the driver has no more calls under way than
    /// the core wants, which keeps to its limit.
    pub(super) fn on_call(&mut self, follower: usize) {
        let part = &mut self.followers[follower];
        part.calls += 1;
        if part.calls > part.wanted {
            let what = format!("{} calls for {} fetches", part.calls, part.wanted);
            let violation = part.oracle.violation(Promise::Bounded, None, what);
            let lane = self.follower_lane(follower);
            self.break_promise(now(), lane, violation);
        }
    }

    /// Notes that a follower starts again from saved positions.
    pub(super) fn restart_follower(&mut self, follower: usize, saved: &Positions) {
        let part = &mut self.followers[follower];
        part.oracle.on_restart(saved, &[], &self.logs);
        part.counts.on_restart(saved);
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
        if !self.violations.is_empty() {
            // The run ends with the first broken promise.
            return;
        }
        let violation = Violation { at, ..violation };
        if let Some(recorder) = &mut self.recorder {
            recorder.violation(at, lane, &violation);
        }
        self.violations.push(violation);
    }

    /// Adds a text to the fingerprint of the run.
    pub(super) fn imprint(&mut self, at: Timestamp, who: usize, text: &str) {
        self.fingerprint.write_u64(at.as_micros());
        self.fingerprint.write_u64(who as u64);
        self.fingerprint.write(text.as_bytes());
    }

    /// Judges an event that the application of a follower is given.
    pub(super) fn on_event(&mut self, at: Timestamp, follower: usize, event: &Event) {
        let lane = self.follower_lane(follower);
        let source = event.position().map(|(source, _)| source.clone());
        self.note(at, lane, source.as_ref(), || What::Event { text: event_words(event) });
        if let Event::Rows { rows, origin, .. } = event {
            let caught_up = *origin == Origin::CatchUp;
            self.rows_fetched += if caught_up { rows.len() as u64 } else { 0 };
            if matches!(self.followers[follower].via, Via::Tcp(_)) {
                self.marks.hit(if caught_up { Mark::DirectCatchUp } else { Mark::DirectLive });
            }
        }
        let part = &mut self.followers[follower];
        part.oracle.on_input(at, None);
        part.counts.count(event, &self.logs, &mut self.marks);
        let verdict = part.oracle.judge(event, &self.logs);
        if let Some((source, token)) = event.position() {
            part.saved.set(source, token);
        }
        if let Err(violation) = verdict {
            self.break_promise(at, lane, violation);
        }
    }

    /// Appends rows under some tokens to a log, in one transaction, if its writer is up.
    pub(super) fn write(&mut self, at: Timestamp, index: usize, tokens: u8, rows: u8) {
        let (writer, stream) = (self.logs[index].writer, self.logs[index].stream);
        if !self.writers[writer].is_up {
            return;
        }
        let first = self.logs.rows_written() + 1;
        (0..tokens).for_each(|_| self.logs.write(index, rows));
        let (last, upto) = (self.logs.rows_written(), self.logs[index].current);
        let source = self.logs[index].source.clone();
        self.note(at, writer, Some(&source), || What::Wrote {
            text: format!("rows {first} to {last}, up to token {upto}"),
        });
        // The other writers of the sequence see it move on.
        for other in 0..self.logs.len() {
            let log = &self.logs[other];
            if log.stream == stream && self.writers[log.writer].is_up {
                self.logs.follow(other);
            }
        }
        for log in self.logs.iter().filter(|log| log.stream == stream) {
            if let Some(ends) = &self.writers[log.writer].ends {
                ends.advance(&ByteString::from(log.source.stream()), log.current);
            }
        }
    }

    /// Notes that a writer starts, for the first time or again.
    pub(super) fn start_writer(&mut self, at: Timestamp, writer: usize) {
        let part = &mut self.writers[writer];
        part.starts += 1;
        part.is_up = true;
        part.ends = None;
        part.subscribed_at = None;
        // Messages that are still on their way are of the life before.
        part.publishes_on = self.bus_clients + 1;
        let first = part.starts == 1;
        if writer == SERVER {
            self.direct.restart();
        }
        for index in 0..self.logs.len() {
            if self.logs[index].writer != writer {
                continue;
            }
            if !first {
                self.logs[index].restart();
            }
            self.logs.follow(index);
            self.publish.on_start(&self.logs[index]);
        }
        self.note(at, writer, None, || What::Input { text: "starts".to_owned() });
    }

    /// Returns whether some follower is an observer.
    pub(super) fn has_observers(&self) -> bool {
        self.scenario.followers.iter().any(|plan| plan.observe_only)
    }

    /// Returns a broken promise if something has not arrived at a follower. `fresh` says that rows
    /// were written after all faults were over.
    pub(super) fn unconverged(&self, fresh: bool) -> Option<(usize, Violation)> {
        self.followers.iter().enumerate().find_map(|(index, part)| {
            let plan = &self.scenario.followers[index];
            if !fresh && plan.observe_only && plan.via != Via::Bus {
                // It may not ask, and nobody else can on its connection, so only rows make it live.
                return None;
            }
            let upto = |log: &Log| {
                if plan.via == Via::Bus {
                    return Some(log.current);
                }
                // Streams of bursts need an announcement, for which nobody asks on its connection.
                let bursts = plan.observe_only && log.traits.order == Order::Bursts;
                // Not every dialect speaks of tokens without rows.
                let last = log.entries.keys().next_back().copied().unwrap_or(Token::START);
                (log.writer == SERVER && !bursts).then_some(last)
            };
            let verdict = part.oracle.check_converged(&self.logs, upto);
            verdict.err().map(|violation| (self.follower_lane(index), violation))
        })
    }
}
