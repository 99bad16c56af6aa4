//! The world, in which planned events happen one after the other.

use std::{collections::BTreeMap, hash::Hash, rc::Rc, time::Duration};

use synrepl_core::{
    Input, Timestamp,
    stream::{Source, Token},
};

use super::{
    process::{Due, Process, ProcessIndex, as_named},
    queue::Queue,
};
use crate::{
    choice::Choice,
    marks::Marks,
    oracle::{Promise, PublishOracle, Violation},
    outcome::Report,
    panic::caught,
    planted::DriverBug,
    recorder::Recorder,
    scenario::{Scenario, Timed},
    trace::What,
    world::{Fingerprint, Logs, scramble},
};

/// Steps of one run at most: more of them mean that something goes round in circles.
const STEPS_MAX: u64 = 200_000;
/// Every so many steps the positions that a machine states are compared with what it told.
const TOLD_EVERY: u64 = 16;
pub(crate) struct World<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) options: Choice<'a>,
    pub(super) now: Timestamp,
    pub(super) queue: Queue<Due>,
    pub(super) processes: Vec<Process>,
    /// How many of the processes are writers.
    pub(super) writers: usize,
    pub(super) logs: Logs,
    pub(super) waits: u64,
    pub(super) messages: u64,
    /// Connections taken over direct TCP.
    pub(super) accepted: u64,
    pub(super) bus_down_until: Timestamp,
    /// The liveness phase has begun.
    pub(super) healed: bool,
    pub(super) publish: PublishOracle,
    pub(super) violations: Vec<Violation>,
    pub(super) recorder: Option<Recorder>,
    pub(super) fingerprint: Fingerprint,
    pub(super) marks: Marks,
    pub(super) report: Report,
}

impl<'a> World<'a> {
    /// Something may go round in circles without time passing.
    fn check_steps(&mut self, index: ProcessIndex) {
        if self.report.steps == STEPS_MAX {
            self.fail(index, Promise::Progress, format!("{STEPS_MAX} steps and no end"));
        }
    }

    pub(super) fn stops(&self) -> bool {
        !self.violations.is_empty() && !self.options.to_the_end || self.report.steps > 2 * STEPS_MAX
    }

    pub(super) fn break_promise(&mut self, process: ProcessIndex, violation: Violation) {
        if self.stops() {
            return;
        }
        let lane = self.lane(process);
        if let Some(recorder) = &mut self.recorder {
            recorder.violation(self.now, lane, &violation);
        }
        self.violations.push(violation);
    }

    /// A process has broken a promise that is not about one source.
    pub(super) fn fail(&mut self, index: ProcessIndex, promise: Promise, what: String) {
        let (at, instance) = (self.now, self.processes[index].name.clone());
        self.break_promise(index, Violation { promise, at, instance, source: None, what });
    }

    /// The lane of a process in a trace: the bus stands between writers and followers.
    pub(super) fn lane(&self, process: ProcessIndex) -> usize {
        process + usize::from(process >= self.writers)
    }

    /// Records a moment, if the run is traced.
    pub(super) fn note(
        &mut self,
        lane: usize,
        source: Option<&Source>,
        what: impl FnOnce() -> What,
    ) {
        if let Some(recorder) = &mut self.recorder {
            recorder.note(self.now, lane, source, what());
        }
    }

    pub(super) fn happen(&mut self, due: Due) {
        match due {
            Due::Happening(index) => {
                let Timed { what, .. } = self.scenario.events[index];
                self.apply(what);
            }
            Due::AtBus { conn, message, leg } => self.on_bus(conn, &message, leg),
            Due::Arrive { to, conn, message, leg } => self.on_arrival(to, conn, &message, leg),
            Due::TcpInward { to, conn, line, leg } => self.on_tcp_inward(to, conn, &line, leg),
            Due::TcpOutward { from, peer, line, leg } => {
                self.on_tcp_outward(from, peer, &line, leg);
            }
            Due::Taken { by, conn } => {
                let link = &self.processes[by].link;
                if link.is_up() && link.conn == conn && !link.broken {
                    self.feed(by, Input::Sent { conn: as_named(conn), count: 1 }, None);
                }
            }
            Due::Connect { process, conn } => self.on_connect(process, conn),
            Due::Disconnect { process, conn, reason } => self.disconnect(process, conn, reason),
            Due::Tick { process, at } => {
                if self.processes[process].timer_at == Some(at) {
                    self.processes[process].timer_at = None;
                    if !self.has_driver_bug(DriverBug::NeverTicks) {
                        self.feed(process, Input::Tick, None);
                    }
                }
            }
            Due::Asked { process, life, query, leg } => self.on_asked(process, life, query, leg),
            Due::Answer { process, life, query, answer, leg } => {
                self.on_answer(process, life, query, *answer, leg);
            }
            Due::LogRead { process, life, query, read } => {
                self.on_log_read(process, life, query, &read);
            }
            Due::HandlerFree { process } => self.on_handler_free(process),
            Due::SendLoop { writer } => self.on_send_loop(writer),
            Due::WriterStarts { writer } => self.start_writer(writer),
            Due::WriterBack { writer } => self.bring_back(writer),
            Due::WriterDies { writer, down_ms } => self.crash_writer(writer, down_ms),
        }
    }

    /// How long the next message of this link takes.
    pub(super) fn delay(&mut self, process: ProcessIndex) -> Duration {
        let (least, most) = self.scenario.delay_us;
        let link = &mut self.processes[process].link;
        link.legs += 1;
        let drawn = scramble(self.scenario.seed, 1 + process as u64, link.legs);
        let span = u64::from(most.saturating_sub(least)) + 1;
        let late = if self.now < link.late_until { link.late_by } else { Duration::ZERO };
        Duration::from_micros(u64::from(least) + drawn % span) + late
    }

    /// Takes all that a machine wants done, after an input of which `about` is the source.
    pub(super) fn feed_now(&mut self, index: ProcessIndex, input: Input, about: Option<&Source>) {
        let process = &mut self.processes[index];
        let Some(machine) = &mut process.machine else { return };
        let now = self.now + process.skew;
        self.report.steps += 1;
        (index, now, &input).hash(&mut self.fingerprint);
        if let Some(follower) = &mut process.follower {
            follower.oracle.on_input(self.now, about);
        }
        let handled = caught(|| machine.handle(now, input));
        if let Err(what) = handled.and_then(|handled| handled.map_err(|misuse| misuse.to_string()))
        {
            self.fail(index, Promise::Total, what);
            return;
        }
        self.drain(index);
        self.check_steps(index);
        self.check_settled(index);
        self.plan_tick(index);
    }

    fn check_settled(&mut self, index: ProcessIndex) {
        let process = &self.processes[index];
        let (Some(follower), Some(machine)) = (&process.follower, &process.machine) else { return };
        let stats = machine.as_node().map(synrepl_core::Node::stats);
        let in_flight = process.fetches.len();
        let mut verdict = follower.oracle.check_settled(&process.config, stats.as_ref(), in_flight);
        if verdict.is_ok() && self.report.steps.is_multiple_of(TOLD_EVERY) && stats.is_some() {
            verdict = follower.oracle.check_told(&machine.positions());
        }
        if let Err(violation) = verdict {
            self.break_promise(index, violation);
        }
    }

    fn plan_tick(&mut self, index: ProcessIndex) {
        let process = &mut self.processes[index];
        let Some(machine) = &process.machine else { return };
        let Some(due) = machine.poll_timeout() else {
            process.timer_at = None;
            return;
        };
        let local = self.now + process.skew;
        let wait = due.saturating_since(local).max(Duration::from_micros(1));
        let at = self.now + wait;
        if process.timer_at != Some(at) && at < Timestamp::from_micros(u64::MAX) {
            process.timer_at = Some(at);
            self.queue.plan(at, Due::Tick { process: index, at });
        }
    }

    /// Starts a machine, from the positions in its settings.
    pub(super) fn start_machine(&mut self, index: ProcessIndex) {
        let config = self.processes[index].config.clone();
        let made = if index < self.writers {
            self.options.cast.writer(&self.scenario.writers[index], config)
        } else {
            let plan = &self.scenario.followers[index - self.writers];
            self.options.cast.follower(plan, config).map(Some)
        };
        let process = &mut self.processes[index];
        process.life += 1;
        process.fetches.clear();
        process.cancelled.clear();
        process.timer_at = None;
        process.link.state = super::process::LinkState::Down;
        match made {
            Ok(machine) => {
                process.machine = machine;
                if let Some(follower) = &mut process.follower {
                    follower.oracle.on_input(self.now, None);
                }
                self.drain(index);
                self.plan_tick(index);
            }
            Err(error) => self.fail(index, Promise::Total, error.to_string()),
        }
    }

    pub(super) fn own_streams(&self, writer: ProcessIndex) -> BTreeMap<String, Token> {
        let of = self.logs.iter().filter(|log| log.writer == writer);
        of.map(|log| (log.source.stream().to_owned(), log.current)).collect()
    }

    pub(super) fn log_of(&self, source: &Source) -> Option<usize> {
        self.logs.iter().position(|log| log.source == *source)
    }

    /// Hands a line to the bus as `from`.
    pub(super) fn new_message(
        &mut self,
        from: ProcessIndex,
        line: bytes::Bytes,
        read: Result<synrepl_core::wire::Command, synrepl_core::wire::DecodeError>,
    ) -> Rc<super::process::Message> {
        self.messages += 1;
        let source = self.logs.named_in(&read);
        Rc::new(super::process::Message { line, read, source, number: self.messages, from })
    }
}
