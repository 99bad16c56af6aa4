//! The two nodes and what lies between them.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use synrepl_core::{
    Action, Backoff, ByteString, Config, Event, Input, ReadId, Start, Timestamp,
    stream::{LogError, Span},
    wire::Command,
};

use crate::{
    oracle::{Promise, PublishOracle, Violation},
    scenario::Scenario,
    steps::{
        follower::{Answer, BATCH_ROWS, Follower, PAGE_ROWS_MAX, Says},
        member::{Member, line},
    },
    world::{Log, Logs},
};

/// One of the two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Writer,
    Follower,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Read {
    query: ReadId,
    stream: ByteString,
    span: Span,
}

/// Everything that the future depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    now: Timestamp,
    writer_config: Config,
    writer: Member,
    follower: Follower,
    logs: Logs,
    reads: Vec<Read>,
    /// Commands that the writer has sent and the bus has not taken.
    outbound: VecDeque<Command>,
    /// Commands that the bus has taken, and whose answers are on their way.
    unanswered: VecDeque<Command>,
    publish: PublishOracle,
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

/// The writer has broken a promise. The steps that led there say when.
fn violation(promise: Promise, what: String) -> Violation {
    let (at, instance) = (Timestamp::ZERO, Scenario::writer_name(0));
    Violation { promise, at, instance, source: None, what }
}

impl World {
    pub(super) fn new(streams: &[&str], manner: Manner) -> (Self, Outcome) {
        let logs = Logs::of(streams.iter().map(|name| (*name, BTreeSet::from([0]))));
        let mut config = Config::default();
        // A reconnection has the shortest delay of all, so that nothing else is due before it.
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
            follower: Follower::new(follower),
            logs,
            reads: Vec::new(),
            outbound: VecDeque::new(),
            unanswered: VecDeque::new(),
            publish: PublishOracle::of_what_is_sent(),
            manner,
        };
        world.logs.iter().for_each(|log| world.publish.on_start(log));
        let actions = world.writer.drain();
        let mut outcome = world.act(actions).and_then(|()| {
            let says = world.follower.begin(&world.logs);
            world.hear(says)
        });
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
            while self.follower.pending() > 0 {
                self.answer(0, Answer::Now)?;
            }
        }
        Ok(())
    }

    const fn member(&mut self, side: Side) -> &mut Member {
        match side {
            Side::Writer => &mut self.writer,
            Side::Follower => &mut self.follower.member,
        }
    }

    fn handle(&mut self, side: Side, input: Input) -> Outcome {
        match side {
            Side::Writer => match self.writer.handle(self.now, input) {
                Ok(actions) => self.act(actions),
                Err(misuse) => Err(violation(Promise::Total, misuse.to_string())),
            },
            Side::Follower => {
                let says = self.follower.handle(self.now, input, None, &self.logs);
                self.hear(says)
            }
        }
    }

    /// What a follower says reaches the writer at once, if it is there.
    fn hear(&mut self, says: Says) -> Outcome {
        says?.iter().for_each(|command| self.writer.post(line(command)));
        Ok(())
    }

    /// Judges a command that the writer sends.
    fn judge(&mut self, command: &Command) -> Outcome {
        match self.logs.iter().find(|log| log.is_named_in(command)) {
            Some(log) => self.publish.judge(Timestamp::ZERO, command, log).map(|_| ()),
            None if matches!(command, Command::Rdata(_) | Command::Position(_)) => {
                let what = format!("of no own stream: {command:?}");
                Err(violation(Promise::SentInOrder, what))
            }
            None => Ok(()),
        }
    }

    /// Carries out what the writer wants done.
    #[expect(clippy::wildcard_enum_match_arm, reason = "other actions are for real sockets")]
    fn act(&mut self, actions: Vec<Action>) -> Outcome {
        for action in actions {
            match action {
                Action::Send { command, .. } => {
                    self.judge(&command)?;
                    self.outbound.push_back(command);
                }
                Action::ReadLog { query, stream, span, .. } => {
                    self.reads.push(Read { query, stream, span });
                }
                Action::Notify(Event::Published { stream, token }) => {
                    let log = self.logs.own(0, &stream).expect("it is an own stream");
                    self.publish.on_published(Timestamp::ZERO, token, log)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The steps.
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
        let Read { query, stream, span } = self.reads.remove(0);
        let result = if fails {
            Err(LogError { stream: stream.to_string(), message: "busy".to_owned() })
        } else {
            let log = self.logs.own(0, &stream).expect("it is an own stream");
            Ok(log.read(span.from, span.upto, PAGE_ROWS_MAX))
        };
        self.handle(Side::Writer, Input::LogRead { query, result })
    }

    /// The bus takes the writer's next command and passes it on.
    pub(super) fn publish(&mut self) {
        let Some(command) = self.outbound.pop_front() else { return };
        if let Some(log) = self.logs.of_writer(0).find(|log| log.is_named_in(&command)) {
            log.on_said(&command);
        }
        self.follower.member.post(line(&command));
        if self.manner.echoes {
            self.writer.post(line(&command));
        }
        self.unanswered.push_back(command);
    }

    /// The bus's answers reach the writer.
    pub(super) fn confirm(&mut self) -> Outcome {
        let Some(conn) = self.writer.conn else { return Ok(()) };
        let count = if self.manner.one_by_one { 1 } else { self.unanswered.len() };
        let confirmed: Vec<_> = self.unanswered.drain(..count.min(self.unanswered.len())).collect();
        for command in &confirmed {
            if let Some(log) = self.logs.iter().find(|log| log.is_named_in(command))
                && let Some(token) = Log::token_in(command)
            {
                self.publish.on_confirmed(token, log);
            }
        }
        match u32::try_from(confirmed.len()) {
            Ok(count) if count > 0 => self.handle(Side::Writer, Input::Sent { conn, count }),
            _ => Ok(()),
        }
    }

    /// Messages reach a node.
    pub(super) fn deliver(&mut self, side: Side) -> Outcome {
        let one_by_one = self.manner.one_by_one;
        let count = if one_by_one { 1 } else { self.member(side).inbox.len() };
        for _ in 0..count {
            match side {
                Side::Writer => {
                    if let Some((input, _)) = self.writer.receive(&self.logs) {
                        self.handle(side, input)?;
                    }
                }
                Side::Follower => {
                    let says = self.follower.deliver(self.now, &self.logs);
                    self.hear(says)?;
                }
            }
        }
        Ok(())
    }

    /// A fetch is answered.
    pub(super) fn answer(&mut self, fetch: usize, answer: Answer) -> Outcome {
        let says = self.follower.answer(self.now, fetch, answer, &self.logs);
        self.hear(says)
    }

    /// A connection ends, with all that was under way on it.
    pub(super) fn cut(&mut self, side: Side) -> Outcome {
        if side == Side::Writer {
            self.outbound.clear();
            self.unanswered.clear();
        }
        match self.member(side).lose() {
            Some(input) => self.handle(side, input),
            None => Ok(()),
        }
    }

    /// A node makes its connection, as soon as it wants one.
    pub(super) fn connect(&mut self, side: Side) -> Outcome {
        if self.member(side).conn.is_none() {
            let due = self.member(side).node.poll_timeout();
            self.now = due.map_or(self.now, |due| due.max(self.now));
            self.handle(side, Input::Tick)?;
        }
        let Some(input) = self.member(side).connect() else { return Ok(()) };
        if side == Side::Writer {
            self.publish.on_connected(&self.writer_config.instance);
        }
        self.handle(side, input)
    }

    /// The writer's process dies and comes back; what it holds in memory starts over.
    pub(super) fn restart(&mut self) -> Outcome {
        self.outbound.clear();
        self.unanswered.clear();
        self.reads.clear();
        for log in self.logs.of_writer(0) {
            log.restart();
            self.writer_config
                .publish
                .own_streams
                .insert(log.source.stream().to_owned(), log.current);
        }
        self.writer = Member::new(self.writer_config.clone());
        self.logs.iter().for_each(|log| self.publish.on_start(log));
        self.handle(Side::Writer, Input::Tick)
    }

    /// Time passes until someone wants to be woken.
    pub(super) fn wait(&mut self) -> Outcome {
        let timeouts = [self.writer.node.poll_timeout(), self.follower.member.node.poll_timeout()];
        let Some(due) = timeouts.into_iter().flatten().min() else { return Ok(()) };
        self.now = self.now.max(due);
        self.handle(Side::Writer, Input::Tick)?;
        self.handle(Side::Follower, Input::Tick)
    }
}

/// The questions that the model asks.
impl World {
    pub(super) const fn is_up(&self, side: Side) -> bool {
        match side {
            Side::Writer => self.writer.up,
            Side::Follower => self.follower.member.up,
        }
    }

    pub(super) fn has_mail(&self, side: Side) -> bool {
        match side {
            Side::Writer => !self.writer.inbox.is_empty(),
            Side::Follower => self.follower.has_mail(),
        }
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
        self.follower.fetches(&self.logs)
    }

    /// Whether somebody wants to be woken.
    pub(super) fn has_timeout(&self) -> bool {
        [&self.writer, &self.follower.member]
            .iter()
            .any(|member| member.node.poll_timeout().is_some())
    }

    /// Every row is out and delivered, and everyone knows: P1 and F7.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn check_complete(&self) -> Outcome {
        self.logs.iter().try_for_each(|log| self.publish.check_complete(Timestamp::ZERO, log))?;
        self.follower.check_converged(&self.logs, |log| log.current)
    }
}
