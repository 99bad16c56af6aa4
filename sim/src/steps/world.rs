//! Scripted writers, a bus, fetch sources and one real follower, on virtual time.

use std::collections::VecDeque;
use std::hash::Hash;

use bytes::Bytes;
use synrepl_core::{
    Action, Config, ConnectionId, FetchId, Input, Node, Start, Timestamp, Transport,
    stream::{FetchError, Page, Source, Span, Token},
    wire::{Command, Decoder},
};

use super::model::{Answer, Step};
use crate::{
    oracle::{Oracle, Promise, Violation},
    world::{Log, Logs, damaged, look},
};

/// Simulated time within which everything must arrive once all faults are gone.
const CONVERGES_WITHIN_S: u64 = 600;

/// Rows of one token.
const BATCH_ROWS: u8 = 2;
/// Rows that a fetched page holds at most.
const PAGE_ROWS_MAX: u32 = 2;

fn start(config: &Config) -> Node {
    Node::new(config.clone()).expect("the settings of simulations are good")
}

/// What happens to a writer besides its logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Writer {
    online: bool,
    must_announce: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Fetch {
    query: FetchId,
    source: Source,
    from: Token,
    upto: Token,
    /// What the writer held when it was asked.
    seen: Page,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    config: Config,
    node: Node,
    now: Timestamp,
    conn: ConnectionId,
    up: bool,
    bus: VecDeque<Bytes>,
    fetches: Vec<Fetch>,
    lose_replicate: bool,
    writers: Vec<Writer>,
    logs: Logs,
    oracle: Oracle,
}

impl World {
    /// Streams with the number of their writers, and whether every queue of the follower is to
    /// overflow.
    pub(crate) fn new(streams: &[(&str, usize)], tight_limits: bool) -> Self {
        let mut config = Config::default();
        config.seed = 0;
        config.start = Start::Beginning;
        if tight_limits {
            config.limits.held_rows_max = 2;
            config.limits.batch_rows_max = 2;
            config.limits.burst_rows_max = 3;
            config.catch_up.burst_window_max = 3;
            config.catch_up.fetches_in_flight_max = 1;
        }
        let instance = config.instance.clone();
        let writers = streams.iter().map(|(_, writers)| *writers).max().unwrap_or_default();
        Self {
            node: start(&config),
            config,
            now: Timestamp::ZERO,
            conn: ConnectionId::new(0),
            up: false,
            bus: VecDeque::new(),
            fetches: Vec::new(),
            lose_replicate: false,
            writers: vec![Writer { online: true, must_announce: true }; writers],
            logs: Logs::of(streams.iter().map(|(name, writers)| (*name, (0..*writers).collect()))),
            oracle: Oracle::new(instance, true, Transport::Bus),
        }
    }

    /// The follower starts.
    pub(crate) fn begin(&mut self) -> Result<(), Violation> {
        self.drain()
    }

    pub(crate) fn step(&mut self, step: Step) -> Result<(), Violation> {
        match step {
            Step::Write { source } => self.logs.write(source, BATCH_ROWS),
            Step::Flush { writer } => self.flush(writer),
            Step::Deliver => self.deliver()?,
            Step::Damage => self.damage(),
            Step::Answer { fetch, answer } => self.answer(fetch, answer)?,
            Step::Lose => self.disconnect()?,
            Step::Connect => self.connect()?,
            Step::LoseReplicate => self.lose_replicate = true,
            Step::Wait => self.wait(u64::from(self.until_timeout_ms().unwrap_or(0)) * 1_000)?,
            Step::RestartWriter { writer } => {
                self.logs.of_writer(writer).for_each(Log::restart);
                self.writers[writer] = Writer { online: true, must_announce: true };
                self.announce(writer);
            }
            Step::WriterOffline { writer } => self.writers[writer].online = false,
            Step::WriterOnline { writer } => self.bring_online(writer),
            Step::RestartFollower => self.restart_follower()?,
        }
        Ok(())
    }

    fn flush(&mut self, writer: usize) {
        let Writer { online, must_announce } = self.writers[writer];
        self.writers[writer].must_announce &= !online;
        for index in 0..self.logs.len() {
            if self.logs[index].writer == writer {
                self.logs.follow(index);
            }
        }
        for log in self.logs.of_writer(writer) {
            let said = look(log, must_announce);
            let lines: Vec<_> = said.iter().flat_map(|said| said.lines(&log.source)).collect();
            for line in lines.into_iter().filter(|_| online) {
                if let Ok(command) = Decoder::new().decode(&line) {
                    log.on_said(&command);
                }
                if self.up {
                    self.bus.push_back(line);
                }
            }
        }
    }

    /// What a writer says when it connects: where it stands, before anything else.
    fn announce(&mut self, writer: usize) {
        self.writers[writer].must_announce = true;
        self.flush(writer);
    }

    fn bring_online(&mut self, writer: usize) {
        if self.writers[writer].online {
            return;
        }
        // What was written meanwhile was moved past, not sent.
        self.logs.of_writer(writer).for_each(|log| log.last_token = log.current);
        self.writers[writer].online = true;
        self.announce(writer);
    }

    /// Damage that leaves the source readable: what is lost beyond that, nobody can know.
    fn damage(&mut self) {
        if let Some(line) = self.bus.front_mut().filter(|line| line.starts_with(b"RDATA")) {
            *line = damaged(line, 0);
        }
    }

    fn deliver(&mut self) -> Result<(), Violation> {
        let Some(line) = self.bus.pop_front() else { return Ok(()) };
        let read = Decoder::new().decode(&line);
        let about = self.logs.named_in(&read);
        let input = match read {
            Ok(command) => Input::Received { conn: self.conn, command },
            Err(error) => Input::Malformed { conn: self.conn, error },
        };
        self.handle(input, about)
    }

    fn connect(&mut self) -> Result<(), Violation> {
        if self.up || self.conn.get() == 0 {
            return Ok(());
        }
        self.up = true;
        self.handle(Input::Connected { conn: self.conn }, None)
    }

    fn disconnect(&mut self) -> Result<(), Violation> {
        let conn = std::mem::replace(&mut self.conn, ConnectionId::new(0));
        self.up = false;
        self.bus.clear();
        self.handle(Input::Disconnected { conn, reason: "lost".to_owned() }, None)
    }

    fn wait(&mut self, micros: u64) -> Result<(), Violation> {
        self.now = Timestamp::from_micros(self.now.as_micros() + micros);
        self.handle(Input::Tick, None)
    }

    fn answer(&mut self, index: usize, answer: Answer) -> Result<(), Violation> {
        let Fetch { query, source, from, upto, seen } = self.fetches.remove(index);
        let result = match answer {
            Answer::Now => Ok(self.page(&source, from, upto)),
            Answer::Stale => Ok(seen),
            Answer::Failed => {
                let (endpoint, message) = ("http://writer".to_owned(), String::new());
                Err(FetchError::Status { endpoint, status: 500, message })
            }
        };
        self.handle(Input::Fetched { query, result }, Some(source))
    }

    fn page(&self, source: &Source, from: Token, upto: Token) -> Page {
        self.logs.page(source, from, upto, PAGE_ROWS_MAX)
    }

    fn restart_follower(&mut self) -> Result<(), Violation> {
        let mut config = self.config.clone();
        config.positions = self.oracle.positions();
        self.oracle.on_restart(&config.positions, &[], &self.logs);
        self.node = start(&config);
        self.now = Timestamp::ZERO;
        self.up = false;
        self.conn = ConnectionId::new(0);
        self.bus.clear();
        self.fetches.clear();
        self.drain()
    }

    /// Hands an input in, of which `about` is the source.
    fn handle(&mut self, input: Input, about: Option<Source>) -> Result<(), Violation> {
        self.oracle.on_input(self.now, about.as_ref());
        if let Err(misuse) = self.node.handle(self.now, input) {
            return Err(self.oracle.violation(Promise::Total, None, misuse.to_string()));
        }
        self.drain()?;
        let stats = self.node.stats();
        self.oracle.check_settled(&self.config, Some(&stats), self.fetches.len())?;
        self.oracle.check_told(&self.node.positions())?;
        self.oracle.on_handled();
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "other actions are for real sockets")]
    fn drain(&mut self) -> Result<(), Violation> {
        while let Some(action) = self.node.poll_action() {
            match action {
                Action::Connect { conn } => self.conn = conn,
                Action::Send { command: Command::Replicate(_), .. } => {
                    let heard = !std::mem::take(&mut self.lose_replicate);
                    self.writers.iter_mut().for_each(|writer| writer.must_announce |= heard);
                }
                Action::Fetch { query, source, span: Span { from, upto } } => {
                    let seen = self.page(&source, from, upto);
                    self.fetches.push(Fetch { query, source, from, upto, seen });
                }
                Action::CancelFetch { query } => {
                    self.fetches.retain(|fetch| fetch.query != query);
                }
                Action::Notify(event) => self.oracle.judge(&event, &self.logs)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The liveness phase: no more faults, one more row everywhere, and all of it must arrive.
    pub(crate) fn converge(&mut self) -> Result<(), Violation> {
        self.lose_replicate = false;
        for writer in 0..self.writers.len() {
            self.bring_online(writer);
        }
        for index in 0..self.logs.len() {
            self.logs.write(index, BATCH_ROWS);
        }
        let deadline = self.now + std::time::Duration::from_secs(CONVERGES_WITHIN_S);
        while self.now < deadline {
            self.connect()?;
            for writer in 0..self.writers.len() {
                self.flush(writer);
            }
            while !self.bus.is_empty() || !self.fetches.is_empty() {
                self.deliver()?;
                if !self.fetches.is_empty() {
                    self.answer(0, Answer::Now)?;
                }
            }
            let idle = self.writers.iter().all(|writer| !writer.must_announce);
            if self.up && idle && self.check_converged().is_ok() {
                return self.shut_down();
            }
            match self.node.poll_timeout() {
                Some(at) => {
                    let micros = at.saturating_since(self.now).as_micros();
                    self.wait(u64::try_from(micros).unwrap_or(u64::MAX))?;
                }
                None => break,
            }
        }
        self.check_converged()
    }

    /// The follower is live and has all that the writers have said.
    fn check_converged(&self) -> Result<(), Violation> {
        self.oracle.check_converged(&self.logs, |log| Some(log.last_token))
    }

    /// The follower stops: at once, but for the end of its connection.
    fn shut_down(&mut self) -> Result<(), Violation> {
        self.handle(Input::Shutdown, None)?;
        self.handle(Input::Disconnected { conn: self.conn, reason: "closed".to_owned() }, None)?;
        if self.node.is_stopped() && self.node.poll_timeout().is_none() && self.fetches.is_empty() {
            return Ok(());
        }
        Err(self.oracle.violation(Promise::Progress, None, "did not stop".to_owned()))
    }
}

impl World {
    /// What the future depends on, which is all but the trace and the tallies.
    pub(crate) fn essence(&self) -> impl Hash + Eq + '_ {
        (
            (&self.node, self.now, self.conn, self.up, &self.bus, &self.fetches),
            (self.lose_replicate, &self.writers, &self.logs),
            &self.oracle,
        )
    }

    /// How many messages are on their way, and how many fetches.
    pub(crate) fn pending(&self) -> (usize, usize) {
        (self.bus.len(), self.fetches.len())
    }

    /// How many writers there are.
    pub(crate) const fn writers(&self) -> usize {
        self.writers.len()
    }

    /// Whether the follower has a connection, and whether it wants one.
    pub(crate) fn connection(&self) -> (bool, bool) {
        (self.up, self.conn.get() != 0 && !self.up)
    }

    /// Whether a fetch would be answered otherwise now than when it was asked.
    pub(crate) fn is_stale(&self, fetch: usize) -> bool {
        let Fetch { source, from, upto, seen, .. } = &self.fetches[fetch];
        self.page(source, *from, *upto) != *seen
    }

    /// The time until the follower wants to be woken.
    pub(crate) fn until_timeout_ms(&self) -> Option<u16> {
        let micros = self.node.poll_timeout()?.saturating_since(self.now).as_micros();
        u16::try_from(micros.div_ceil(1_000)).ok()
    }
}
