//! The world: who is there, what is planned, and the two phases of a run.

use std::{collections::BTreeMap, hash::Hash, rc::Rc, time::Duration};

use bytestring::ByteString;
use synrepl_core::{
    Config, Input, Start, Timestamp, Transport,
    stream::{Order, Positions, Source, Token},
};

use super::{
    fingerprint::{Fingerprint, scramble},
    log::Log,
    outcome::{Outcome, Report},
    process::{Due, Follower, Link, Process, ProcessIndex, Writer, as_named},
    queue::Queue,
    recorder::Recorder,
    tcp::SERVER,
};
use crate::{
    marks::{Mark, Marks},
    oracle::{Oracle, Promise, PublishOracle, Violation},
    planted::{DriverBug, Planted},
    run::Choice,
    scenario::{FollowerPlan, Manners, Noise, Scenario, Timed, Via},
    trace::What,
};

/// Simulated time within which everything announced must have arrived once all faults are gone.
/// The longest delays of the core are a REPLICATE after 60 s and a fetch after 30 s, each plus a
/// quarter, and one may follow the other.
const CONVERGES_WITHIN: Duration = Duration::from_secs(300);
/// Simulated time within which rows written after that must have arrived.
const FRESH_WITHIN: Duration = Duration::from_secs(120);
/// Commands that a peer may leave untaken.
pub(super) const PEER_PENDING_MAX: u32 = 64;
/// Name of the homeserver.
const SERVER_NAME: &str = "example.org";
/// Steps of one run; more means that something goes round in circles.
const STEPS_MAX: u64 = 200_000;
/// Every so many steps the positions that a machine states are compared with what it told.
const TOLD_EVERY: u64 = 16;
/// Quiet this long, it is worth looking whether everything has arrived.
const LULL: Duration = Duration::from_millis(10);

pub(crate) struct World<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) options: Choice<'a>,
    pub(super) now: Timestamp,
    pub(super) queue: Queue<Due>,
    pub(super) processes: Vec<Process>,
    /// How many of the processes are writers.
    pub(super) writers: usize,
    pub(super) logs: Vec<Log>,
    /// The last token of each stream's sequence.
    pub(super) sequences: Vec<Token>,
    /// Rows written.
    pub(super) serial: u64,
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
    pub(crate) fn new(scenario: &'a Scenario, options: Choice<'a>) -> Self {
        let writers = scenario.writers.len();
        let mut logs: Vec<Log> = Vec::new();
        let mut sequences = Vec::new();
        for plan in &scenario.streams {
            if logs.iter().any(|log| log.source.stream() == plan.name) {
                continue;
            }
            let mut of: Vec<usize> =
                plan.writers.iter().map(|writer| usize::from(*writer) % writers.max(1)).collect();
            of.sort_unstable();
            of.dedup();
            for writer in of {
                let source = Source::new(&plan.name, &Scenario::writer_name(writer));
                logs.push(Log::new(source, writer, sequences.len()));
            }
            sequences.push(Token::new(1));
        }
        let recorder = options.traced.then(|| Recorder::new(scenario));
        let mut world = Self {
            scenario,
            options,
            now: Timestamp::ZERO,
            queue: Queue::new(),
            processes: Vec::new(),
            writers,
            logs,
            sequences,
            serial: 0,
            waits: 0,
            messages: 0,
            accepted: 0,
            bus_down_until: Timestamp::ZERO,
            healed: false,
            publish: PublishOracle::default(),
            violations: Vec::new(),
            recorder,
            fingerprint: Fingerprint::default(),
            marks: Marks::default(),
            report: Report::default(),
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        let scenario = self.scenario;
        let faults_end = self.faults_end();
        for (number, plan) in scenario.writers.iter().enumerate() {
            let writer = Writer {
                started: false,
                down: true,
                must_announce: false,
                loop_planned: false,
                stalled_until: Timestamp::ZERO,
                lose: 0,
                empty_next: false,
                last_batch: Vec::new(),
                is_builtin: plan.manners != Manners::Ours,
            };
            let name = Scenario::writer_name(number);
            let mut config = self.config(number as u64);
            config.peer_pending_max = PEER_PENDING_MAX;
            config.server_name = Some(ByteString::from_static(SERVER_NAME));
            config.instance.clone_from(&name);
            self.processes.push(Process::new(name, config, None, Some(writer)));
            let at = millis(plan.starts_ms).min(faults_end);
            if at > Timestamp::ZERO {
                self.marks.hit(Mark::WriterAppeared);
            }
            self.queue.plan(at, Due::WriterStarts { writer: number });
        }
        for (number, plan) in scenario.followers.iter().enumerate() {
            let name = scenario.follower_name(number);
            if plan.namesake_of.is_some() {
                self.marks.hit(Mark::SameName);
            }
            let mut config = follower_config(plan, self.config(64 + number as u64));
            config.instance.clone_from(&name);
            let follower = Follower::new(
                Oracle::new(name.clone(), plan.from_beginning, config.transport),
                plan,
            );
            self.processes.push(Process::new(name, config, Some(follower), None));
        }
        for (index, Timed { at_ms, .. }) in scenario.events.iter().enumerate() {
            self.queue.plan(millis(*at_ms).min(faults_end), Due::Happening(index));
        }
    }

    fn config(&self, number: u64) -> Config {
        let mut config = Config::default();
        config.seed = scramble(self.scenario.seed, number, 0);
        config.planted = self.options.planted.and_then(Planted::in_core);
        config
    }

    fn faults_end(&self) -> Timestamp {
        millis(self.scenario.faults_end_ms)
    }

    /// Plays the scenario to its end, or to the first violation.
    pub(crate) fn play(mut self) -> Outcome {
        self.run_phases();
        self.report.simulated_ms = self.now.as_micros() / 1_000;
        for process in &self.processes {
            if let Some(node) = process.machine.as_ref().and_then(|machine| machine.as_node()) {
                let stats = node.stats();
                self.report.rows_fetched += stats.rows_caught_up;
                self.report.overflows += stats.overflows;
                if stats.overflows > 0 {
                    self.marks.hit(Mark::Overflow);
                }
                if stats.echoes > 0 {
                    self.marks.hit(Mark::Echo);
                }
            }
            if let Some(follower) = &process.follower {
                self.report.rows_delivered += follower.oracle.rows_delivered;
                self.report.gaps += follower.oracle.gaps;
                self.report.resets += follower.oracle.resets;
            }
        }
        self.report.rows_written = self.serial;
        self.report.fingerprint = std::hash::Hasher::finish(&self.fingerprint);
        self.report.marks = self.marks;
        Outcome {
            report: self.report,
            violations: self.violations,
            logs: self.logs,
            trace: self.recorder.map(Recorder::into_trace),
        }
    }

    fn run_phases(&mut self) {
        for follower in self.writers..self.processes.len() {
            self.start_machine(follower);
        }
        let faults_end = self.faults_end();
        self.run_until(faults_end, |_| false);
        self.now = self.now.max(faults_end);
        self.heal();
        let begun = self.now;
        // First, what is announced must arrive, with nothing more written that would hide a
        // forgotten retry.
        self.run_until(begun + CONVERGES_WITHIN, |world| world.unconverged(false).is_none());
        if let Some((process, violation)) = self.unconverged(false) {
            self.break_promise(process, violation);
        }
        self.report.converged_ms =
            u64::try_from(self.now.saturating_since(begun).as_millis()).unwrap_or(u64::MAX);
        // Then fresh rows must, also where only the writers' speaking makes a source live.
        let fresh = self.now;
        let mut again_at = fresh;
        while self.unconverged(true).is_some() && self.now < fresh + FRESH_WITHIN {
            if self.stops() {
                return;
            }
            for log in 0..self.logs.len() {
                self.write(log, 2, 2);
            }
            again_at = again_at + Duration::from_secs(15);
            self.run_until(again_at, |world| world.unconverged(true).is_none());
            // Somebody asks from time to time, if not the observer.
            self.noise(Noise::Replicate);
        }
        if let Some((process, violation)) = self.unconverged(true) {
            self.break_promise(process, violation);
        }
        for writer in 0..self.writers {
            let is_up = self.processes[writer].link.is_up();
            let verdict = self.publish.check_answered(self.now, &self.processes[writer].name);
            if let Err(violation) = verdict
                && is_up
            {
                self.break_promise(writer, violation);
            }
        }
        self.shut_down();
    }

    /// Plays what is planned up to `until`, or until `done` in a lull.
    fn run_until(&mut self, until: Timestamp, done: impl Fn(&Self) -> bool) {
        while let Some(at) = self.queue.next_at() {
            if self.stops() {
                return;
            }
            if at.saturating_since(self.now) >= LULL && done(self) {
                return;
            }
            if at > until {
                self.now = self.now.max(until);
                return;
            }
            let Some((at, due)) = self.queue.pop() else { break };
            self.now = at;
            self.happen(due);
        }
        // Nothing is planned: nothing will happen.
        self.now = self.now.max(until);
    }

    /// Something may go round in circles without time passing.
    fn check_steps(&mut self, index: ProcessIndex) {
        if self.report.steps == STEPS_MAX {
            let (at, instance) = (self.now, self.processes[index].name.clone());
            let (promise, what) = (Promise::Progress, format!("{STEPS_MAX} steps and no end"));
            self.break_promise(index, Violation { promise, at, instance, source: None, what });
        }
    }

    pub(super) fn stops(&self) -> bool {
        !self.violations.is_empty() && !self.options.to_the_end || self.report.steps > 2 * STEPS_MAX
    }

    /// What has not arrived of what was announced, or of everything if `fresh`.
    fn unconverged(&self, fresh: bool) -> Option<(ProcessIndex, Violation)> {
        (self.writers..self.processes.len()).find_map(|index| {
            let follower = self.processes[index].follower.as_ref()?;
            let plan = &self.scenario.followers[index - self.writers];
            if !fresh && plan.observe_only {
                return None;
            }
            let upto = |log: &Log| {
                let mute = self.scenario.writers[log.writer].manners == Manners::Mute;
                let started = self.processes[log.writer].writer.as_ref()?.started;
                let direct = self.dialect_of(index).is_some();
                let unknown = follower.oracle.position_of(&log.source).is_none();
                let untold = (follower.replicate_lost && unknown) || log.unannounced;
                if !fresh && untold {
                    return None;
                }
                if !started || (mute && !fresh) || (direct && log.writer != SERVER) {
                    return None;
                }
                if direct && plan.observe_only && log.traits.order == Order::Bursts {
                    // Nobody else on this connection asks for the announcement that it takes.
                    return None;
                }
                if direct {
                    // Not every dialect tells of tokens without rows.
                    return Some(log.entries.keys().next_back().copied().unwrap_or(Token::START));
                }
                Some(if fresh { log.current } else { log.published })
            };
            let behind = !follower.pending.is_empty() || !follower.inbox.is_empty();
            let verdict = if behind {
                let what = "its application is behind".to_owned();
                Err(follower.oracle.violation(Promise::Progress, None, what))
            } else {
                follower.oracle.check_converged(&self.logs, upto)
            };
            verdict.err().map(|violation| (index, Violation { at: self.now, ..violation }))
        })
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

    /// All faults end.
    fn heal(&mut self) {
        self.healed = true;
        self.note(self.writers, None, || What::FaultsEnd);
        self.bus_down_until = Timestamp::ZERO;
        let now = self.now;
        for index in 0..self.processes.len() {
            let process = &mut self.processes[index];
            let link = &mut process.link;
            (link.late_until, link.refuse, link.refuse_until) = (now, 0, Timestamp::ZERO);
            if let Some(follower) = &mut process.follower {
                follower.busy_until = follower.busy_until.min(now);
                follower.cut_after = None;
                follower.damage = None;
                follower.lose_replicates = 0;
                follower.spoil.clear();
                self.plan_handler(index);
            } else if let Some(writer) = &mut process.writer {
                (writer.stalled_until, writer.lose, writer.empty_next) = (now, 0, false);
                if !writer.started || writer.down {
                    self.start_writer(index);
                } else if writer.is_builtin {
                    self.bring_back(index);
                    self.plan_loop(index, now);
                }
            }
        }
    }

    /// The followers stop: at once, but for the end of their connections.
    fn shut_down(&mut self) {
        for index in self.writers..self.processes.len() {
            if self.stops() {
                return;
            }
            self.feed(index, Input::Shutdown, None);
            let conn = self.processes[index].link.conn;
            if self.processes[index].link.state != super::process::LinkState::Down {
                self.disconnect(index, conn, "closed");
            }
            let process = &self.processes[index];
            let Some(node) = process.machine.as_ref().and_then(|machine| machine.as_node()) else {
                continue;
            };
            let stopped = node.is_stopped() && node.poll_timeout().is_none();
            if (!stopped || !process.fetches.is_empty())
                && let Some(follower) = &process.follower
            {
                let what = "did not stop".to_owned();
                let violation = follower.oracle.violation(Promise::Progress, None, what);
                self.break_promise(index, violation);
            }
        }
    }

    fn happen(&mut self, due: Due) {
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
        if let Err(misuse) = machine.handle(now, input) {
            let (at, instance) = (self.now, process.name.clone());
            let (promise, what) = (Promise::Total, misuse.to_string());
            self.break_promise(index, Violation { promise, at, instance, source: None, what });
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
            Err(error) => {
                let (at, instance) = (self.now, process.name.clone());
                let (promise, what) = (Promise::Total, error.to_string());
                self.break_promise(index, Violation { promise, at, instance, source: None, what });
            }
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
        let source = super::arrivals::source_of(&read, &self.logs);
        Rc::new(super::process::Message { line, read, source, number: self.messages, from })
    }
}

impl Process {
    fn new(
        name: String,
        config: Config,
        follower: Option<Follower>,
        writer: Option<Writer>,
    ) -> Self {
        Self {
            name,
            machine: None,
            config,
            link: Link::new(),
            skew: Duration::ZERO,
            timer_at: None,
            life: 0,
            fetches: BTreeMap::new(),
            cancelled: BTreeMap::new(),
            follower,
            writer,
        }
    }
}

impl Follower {
    fn new(oracle: Oracle, plan: &FollowerPlan) -> Self {
        Self {
            oracle,
            handler_us: plan.handler_us,
            pending: std::collections::VecDeque::new(),
            inbox: std::collections::VecDeque::new(),
            busy_until: Timestamp::ZERO,
            tick_missed: false,
            handler_planned: false,
            applied: Positions::new(),
            cut_after: None,
            damage: None,
            lose_replicates: 0,
            replicate_lost: false,
            spoil: std::collections::VecDeque::new(),
            open_batches: std::collections::BTreeSet::new(),
            positioned: std::collections::BTreeSet::new(),
            last_was_position: false,
            latest: (0, 0),
            live_since: None,
        }
    }
}

pub(super) fn millis(ms: u32) -> Timestamp {
    Timestamp::from_micros(u64::from(ms) * 1_000)
}

fn follower_config(plan: &FollowerPlan, mut config: Config) -> Config {
    if let Via::Tcp(dialect) = plan.via {
        config.transport = Transport::Tcp(dialect);
    }
    config.start = if plan.from_beginning { Start::Beginning } else { Start::Now };
    config.observe_only = plan.observe_only;
    config.instance_id = ByteString::from_static("abcde");
    if plan.tight_limits {
        config.held_rows_max = 2;
        config.held_bytes_total_max = 64;
        config.batch_rows_max = 2;
        config.burst_rows_max = 3;
        config.burst_window_max = 3;
        config.fetches_in_flight_max = 1;
    }
    config.fetch_attempts_max = plan.gives_up.then_some(2);
    config
}
