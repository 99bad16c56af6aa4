//! The two nodes and what lies between them.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use synrepl_core::{
    Action, Backoff, ByteString, Config, ConnectionId, Event, FetchId, Input, Node, ReadId, Start,
    Timestamp, Transport,
    stream::{FetchError, LogError, Page, Source, Span, Token},
    wire::Command,
};

use super::sent::{Sent, violation};
use crate::{
    oracle::{Oracle, Promise, Violation},
    scenario::Scenario,
    world::Logs,
};

/// Rows that a fetched page holds at most, and that a log is asked for at once.
const PAGE_ROWS_MAX: u32 = 2;
/// Rows of one token.
const BATCH_ROWS: u8 = 2;

/// One of the two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Writer,
    Follower,
}

/// How a fetch is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// With what the log holds now.
    Now,
    /// With what it held when it was asked: the answer was long on its way.
    Stale,
    /// With an error.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Read {
    query: ReadId,
    stream: ByteString,
    from: Token,
    upto: Token,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Fetch {
    query: FetchId,
    source: Source,
    from: Token,
    upto: Token,
    /// What the log held when it was asked.
    seen: Page,
    /// No longer wanted; an answer may come all the same.
    cancelled: bool,
}

/// A node and its connection to the bus.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Member {
    node: Node,
    /// The connection that it wants or has.
    conn: Option<ConnectionId>,
    up: bool,
    inbox: VecDeque<Command>,
}

impl Member {
    fn new(config: Config) -> Self {
        let node = Node::new(config).expect("the settings of the model are good");
        Self { node, conn: None, up: false, inbox: VecDeque::new() }
    }
}

/// Everything that the future depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    now: Timestamp,
    writer_config: Config,
    follower_config: Config,
    writer: Member,
    follower: Member,
    logs: Logs,
    reads: Vec<Read>,
    /// Sent by the writer, not taken by the bus.
    outbound: VecDeque<Command>,
    /// Taken, the bus's answer on its way.
    unanswered: VecDeque<Command>,
    fetches: Vec<Fetch>,
    sent: Sent,
    oracle: Oracle,
    manner: Manner,
}

/// How finely the bus is modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Manner {
    /// A publishing connection hears itself, as it does on Redis.
    pub(super) echoes: bool,
    /// Messages and confirmations come one by one, not as many as there are. Nothing is lost by
    /// the latter but orders of steps that do not touch each other: the bus takes commands one by
    /// one, so each number of them can have been handled by either side as a connection ends.
    pub(super) one_by_one: bool,
    /// The world begins before the first connections, not with everyone greeted.
    pub(super) cold: bool,
}

type Outcome = Result<(), Violation>;

impl World {
    pub(super) fn new(streams: &[&str], manner: Manner) -> (Self, Outcome) {
        let logs = Logs::of(streams.iter().map(|name| (*name, BTreeSet::from([0]))));
        let mut config = Config::default();
        // The shortest delay of all, so that no other is due before it.
        config.connection.reconnect =
            Backoff::new(Duration::from_millis(1), Duration::from_millis(1));
        let mut follower = config.clone();
        "f".clone_into(&mut follower.instance);
        follower.start = Start::Beginning;
        config.instance = Scenario::writer_name(0);
        config.publish.log_rows_max = PAGE_ROWS_MAX;
        config.streams = Some(BTreeSet::new());
        for log in logs.iter() {
            config.publish.own_streams.insert(log.source.stream().to_owned(), log.current);
        }
        let mut world = Self {
            now: Timestamp::ZERO,
            writer: Member::new(config.clone()),
            writer_config: config,
            follower: Member::new(follower.clone()),
            follower_config: follower,
            logs,
            reads: Vec::new(),
            outbound: VecDeque::new(),
            unanswered: VecDeque::new(),
            fetches: Vec::new(),
            sent: Sent::default(),
            oracle: Oracle::new("f".to_owned(), true, Transport::Bus),
            manner,
        };
        world.sent.on_start(&world.logs);
        let mut outcome = world.drain(Side::Writer).and_then(|()| world.drain(Side::Follower));
        if !manner.cold {
            outcome = outcome.and_then(|()| world.greet());
        }
        (world, outcome)
    }

    /// Everyone connects and says where it stands.
    fn greet(&mut self) -> Outcome {
        self.connect(Side::Follower)?;
        self.connect(Side::Writer)?;
        while self.has_outbound() || self.has_mail(Side::Writer) || self.has_mail(Side::Follower) {
            self.publish();
            self.confirm()?;
            self.deliver(Side::Writer)?;
            self.deliver(Side::Follower)?;
            while self.has_fetches() {
                self.answer(0, Answer::Now)?;
            }
        }
        Ok(())
    }

    const fn member(&mut self, side: Side) -> &mut Member {
        match side {
            Side::Writer => &mut self.writer,
            Side::Follower => &mut self.follower,
        }
    }

    fn handle(&mut self, side: Side, input: Input) -> Outcome {
        self.handle_of(side, input, None)
    }

    /// Hands an input in, of which `about` is the source.
    fn handle_of(&mut self, side: Side, input: Input, about: Option<Source>) -> Outcome {
        let now = self.now;
        if side == Side::Follower {
            self.oracle.on_input(now, about.as_ref());
        }
        if let Err(misuse) = self.member(side).node.handle(now, input) {
            return Err(violation(Promise::Total, None, format!("{side:?}: {misuse}")));
        }
        self.drain(side)?;
        if side == Side::Follower {
            let node = &self.follower.node;
            self.oracle.check_settled(&self.follower_config, Some(&node.stats()), 0)?;
            self.oracle.check_told(&node.positions())?;
            self.oracle.on_handled();
        }
        Ok(())
    }

    fn drain(&mut self, side: Side) -> Outcome {
        while let Some(action) = self.member(side).node.poll_action() {
            self.act(side, action)?;
        }
        Ok(())
    }

    fn act(&mut self, side: Side, action: Action) -> Outcome {
        match (side, action) {
            (_, Action::Connect { conn }) => self.member(side).conn = Some(conn),
            (Side::Writer, Action::Send { command, .. }) => {
                self.sent.judge(&command, &self.logs)?;
                self.outbound.push_back(command);
            }
            // What a follower says reaches the bus at once.
            (Side::Follower, Action::Send { command, .. }) if self.writer.up => {
                self.writer.inbox.push_back(command);
            }
            (_, Action::ReadLog { query, stream, span: Span { from, upto }, .. }) => {
                self.reads.push(Read { query, stream, from, upto });
            }
            (_, Action::Fetch { query, source, span: Span { from, upto } }) => {
                let seen = self.page(&source, from, upto);
                let fetch = Fetch { query, source, from, upto, seen, cancelled: false };
                self.fetches.push(fetch);
            }
            (_, Action::CancelFetch { query }) => {
                for fetch in self.fetches.iter_mut().filter(|fetch| fetch.query == query) {
                    fetch.cancelled = true;
                }
            }
            (Side::Writer, Action::Notify(Event::Published { stream, token })) => {
                let log = self.logs.own(0, &stream).expect("it is an own stream");
                self.sent.on_published(log, token)?;
            }
            (Side::Follower, Action::Notify(event)) => self.oracle.judge(&event, &self.logs)?,
            _ => {}
        }
        Ok(())
    }

    fn page(&self, source: &Source, from: Token, upto: Token) -> Page {
        self.logs.page(source, from, upto, PAGE_ROWS_MAX)
    }
}

/// What can happen.
impl World {
    /// A batch of two rows is in the log, and the writer knows.
    pub(super) fn append(&mut self, stream: usize) -> Outcome {
        self.logs.write(stream, BATCH_ROWS);
        let (stream, token) = (self.logs[stream].source.stream(), self.logs[stream].current);
        let stream = ByteString::from(stream);
        self.handle(Side::Writer, Input::Appended { stream, token })
    }

    /// The oldest read of a log is answered.
    pub(super) fn read(&mut self, fails: bool) -> Outcome {
        let Read { query, stream, from, upto } = self.reads.remove(0);
        let result = if fails {
            Err(LogError { stream: stream.to_string(), message: "busy".to_owned() })
        } else {
            let log = self.logs.own(0, &stream).expect("it is an own stream");
            Ok(log.read(from, upto, PAGE_ROWS_MAX))
        };
        self.handle(Side::Writer, Input::LogRead { query, result })
    }

    /// The bus takes the writer's next command and passes it on.
    pub(super) fn publish(&mut self) {
        let Some(command) = self.outbound.pop_front() else { return };
        self.logs
            .of_writer(0)
            .filter(|log| log.is_named_in(&command))
            .for_each(|log| log.on_said(&command));
        if self.follower.up {
            self.follower.inbox.push_back(command.clone());
        }
        if self.manner.echoes {
            self.writer.inbox.push_back(command.clone());
        }
        self.unanswered.push_back(command);
    }

    /// The bus's answers reach the writer.
    pub(super) fn confirm(&mut self) -> Outcome {
        let Some(conn) = self.writer.conn else { return Ok(()) };
        let count = if self.manner.one_by_one { 1 } else { self.unanswered.len() };
        let confirmed: Vec<_> = self.unanswered.drain(..count.min(self.unanswered.len())).collect();
        confirmed.iter().for_each(|command| self.sent.on_confirmed(command));
        match u32::try_from(confirmed.len()) {
            Ok(count) if count > 0 => self.handle(Side::Writer, Input::Sent { conn, count }),
            _ => Ok(()),
        }
    }

    /// Messages reach a node.
    pub(super) fn deliver(&mut self, side: Side) -> Outcome {
        let one_by_one = self.manner.one_by_one;
        let member = self.member(side);
        let Some(conn) = member.conn else { return Ok(()) };
        let count = if one_by_one { 1 } else { member.inbox.len() };
        for _ in 0..count {
            let Some(command) = self.member(side).inbox.pop_front() else { break };
            let about = self.logs.named_in(&Ok(command.clone()));
            self.handle_of(side, Input::Received { conn, command }, about)?;
        }
        Ok(())
    }

    /// A fetch is answered.
    pub(super) fn answer(&mut self, fetch: usize, answer: Answer) -> Outcome {
        let Fetch { query, source, from, upto, seen, .. } = self.fetches.remove(fetch);
        let result = match answer {
            Answer::Now => Ok(self.page(&source, from, upto)),
            Answer::Stale => Ok(seen),
            Answer::Failed => {
                Err(FetchError::TimedOut { endpoint: "http://w".to_owned(), after_ms: 1 })
            }
        };
        self.handle_of(Side::Follower, Input::Fetched { query, result }, Some(source))
    }

    /// A connection ends, with all that was under way on it.
    pub(super) fn cut(&mut self, side: Side) -> Outcome {
        let Some(conn) = self.lose(side) else { return Ok(()) };
        self.handle(side, Input::Disconnected { conn, reason: "cut".to_owned() })
    }

    fn lose(&mut self, side: Side) -> Option<ConnectionId> {
        if side == Side::Writer {
            self.outbound.clear();
            self.unanswered.clear();
        }
        let member = self.member(side);
        member.up = false;
        member.inbox.clear();
        member.conn.take()
    }

    /// A node makes its connection, as soon as it wants one.
    pub(super) fn connect(&mut self, side: Side) -> Outcome {
        if self.member(side).conn.is_none() {
            let due = self.member(side).node.poll_timeout();
            self.now = due.map_or(self.now, |due| due.max(self.now));
            self.handle(side, Input::Tick)?;
        }
        let member = self.member(side);
        let Some(conn) = member.conn else { return Ok(()) };
        member.up = true;
        if side == Side::Writer {
            self.sent.on_connected();
        }
        self.handle(side, Input::Connected { conn })
    }

    /// The writer's process dies and comes back; what it holds in memory starts over.
    pub(super) fn restart(&mut self) -> Outcome {
        self.lose(Side::Writer);
        self.reads.clear();
        for log in self.logs.of_writer(0) {
            log.restart();
            self.writer_config
                .publish
                .own_streams
                .insert(log.source.stream().to_owned(), log.current);
        }
        self.writer = Member::new(self.writer_config.clone());
        self.sent.on_start(&self.logs);
        self.handle(Side::Writer, Input::Tick)
    }

    /// Time passes until someone wants to be woken.
    pub(super) fn wait(&mut self) -> Outcome {
        let timeouts = [self.writer.node.poll_timeout(), self.follower.node.poll_timeout()];
        let Some(due) = timeouts.into_iter().flatten().min() else { return Ok(()) };
        self.now = self.now.max(due);
        self.handle(Side::Writer, Input::Tick)?;
        self.handle(Side::Follower, Input::Tick)
    }
}

/// What there is.
impl World {
    pub(super) fn is_up(&self, side: Side) -> bool {
        match side {
            Side::Writer => self.writer.up,
            Side::Follower => self.follower.up,
        }
    }

    pub(super) fn has_mail(&self, side: Side) -> bool {
        match side {
            Side::Writer => !self.writer.inbox.is_empty(),
            Side::Follower => !self.follower.inbox.is_empty(),
        }
    }

    fn has_fetches(&self) -> bool {
        !self.fetches.is_empty()
    }

    pub(super) fn has_reads(&self) -> bool {
        !self.reads.is_empty()
    }

    pub(super) fn has_outbound(&self) -> bool {
        !self.outbound.is_empty()
    }

    pub(super) fn has_unanswered(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// For each fetch under way: whether it is still wanted, and whether a stale answer to it
    /// would differ from one of now.
    pub(super) fn fetches(&self) -> impl Iterator<Item = (bool, bool)> {
        self.fetches.iter().map(|fetch| {
            let now = self.page(&fetch.source, fetch.from, fetch.upto);
            (!fetch.cancelled, now != fetch.seen)
        })
    }

    /// Whether somebody wants to be woken.
    pub(super) fn has_timeout(&self) -> bool {
        self.writer.node.poll_timeout().is_some() || self.follower.node.poll_timeout().is_some()
    }

    /// Every row is out and delivered, and everyone knows: P1 and F7.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn check_complete(&self) -> Outcome {
        if !self.sent.is_complete(&self.logs) {
            let what = format!("{:?}, logs {:?}", self.sent, self.logs);
            return Err(violation(Promise::SentInOrder, None, what));
        }
        self.oracle.check_converged(&self.logs, |log| Some(log.current))
    }
}
