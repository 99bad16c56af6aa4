//! The node: one instance of a deployment as a state machine.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    action::Action,
    config::{Config, Transport},
    connection::{Bus, Link, named_in},
    error::{ConfigError, Misuse},
    event::{Event, NotSentReason, WaitOutcome, Warning},
    follow::{Blame, Common, Context, FetchOutcome, Fetches, Follower, Lost, Replay, Stream},
    ids::{ConnectionId, QueryId, WaitId},
    input::Input,
    retry::Jitter,
    sources::{Role, SourceIndex, Sources},
    stats::Stats,
    stream::{Positions, Source, Token, traits_on},
    time::Timestamp,
    timer::{TimerKey, Timers},
    wait::Waits,
    wire::{BadRow, Command, DecodeError, Rdata},
};

/// One instance of a deployment, following the streams that the others write.
///
/// Three kinds of methods: [`Node::handle`] takes what happened, `poll_*` gives what to do, and
/// everything else looks without effect.
///
/// * *Drain.* After each `handle`, call [`Node::poll_action`] until `None` and carry the actions
///   out in order, then ask [`Node::poll_timeout`].
/// * *Time.* `now` never goes back; equal is fine. The node reads no clock.
/// * *Answers.* Each `Connect` and each `Fetch` is answered by an input with the same id, unless
///   a fetch was cancelled.
///
/// Same settings and same inputs give the same actions, in every build and process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    config: Config,
    now: Timestamp,
    bus: Bus,
    sources: Sources,
    followers: Vec<(Follower, usize)>,
    streams: Vec<Stream>,
    streams_by_name: BTreeMap<String, usize>,
    common: Common,
    source_limit_reported: bool,
    /// What the server of the oldest dialect said as it refused to answer.
    refused: Option<(String, Blame)>,
}

impl Node {
    /// A node with these settings. Its first action is a `Connect`, unless
    /// [`Transport::None`] says that it makes no connection: then only a shutdown stops it.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut node = Self {
            now: Timestamp::ZERO,
            bus: Bus::new(),
            sources: Sources::new(config.sources_max),
            followers: Vec::new(),
            streams: Vec::new(),
            streams_by_name: BTreeMap::new(),
            common: Common {
                actions: VecDeque::new(),
                stats: Stats::default(),
                timers: Timers::default(),
                fetches: Fetches::default(),
                waits: Waits::default(),
                jitter: Jitter::new(config.seed),
                heard: 0,
                replays_on: None,
                unanswered: 0,
                ask_again: false,
                settling_until: None,
            },
            source_limit_reported: false,
            refused: None,
            config,
        };
        for (stream, instance, _) in node.config.positions.clone().iter() {
            node.role_of(stream, instance);
        }
        if node.config.transport != Transport::None {
            node.bus.connect(&mut node.common);
        }
        Ok(node)
    }

    /// Takes what happened at `now`.
    ///
    /// Inputs of a connection that was closed by a shutdown are ignored.
    ///
    /// # Errors
    /// [`Misuse`] if the caller broke the contract. The state is then unchanged.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Result<(), Misuse> {
        self.check(now, &input)?;
        self.now = now;
        match input {
            Input::Received { conn, command } => {
                if self.bus.up() == Some(conn) {
                    self.on_command(command);
                }
            }
            Input::Malformed { conn, error } => {
                if self.bus.up() == Some(conn) {
                    self.on_malformed(error);
                }
            }
            Input::Connected { conn } => self.on_connected(conn),
            Input::Disconnected { conn, reason } => self.on_disconnected(conn, reason),
            Input::Fetched { query, result } => self.on_fetched(query, result),
            Input::Send { command } => self.on_send(command),
            Input::LineTooLong { conn } if self.bus.up() == Some(conn) => {
                self.bus.on_line_too_long(&mut self.common);
            }
            Input::Accepted { .. }
            | Input::LineTooLong { .. }
            | Input::Sent { .. }
            | Input::Appended { .. }
            | Input::LogRead { .. }
            | Input::Syncing { .. } => {}
            Input::WaitFor { wait, source, token, deadline } => {
                self.on_wait(wait, &source, token, deadline);
            }
            Input::CancelWait { wait } => {
                self.common.waits.remove(wait);
                self.common.timers.clear(TimerKey::Wait(wait));
            }
            Input::Tick => self.on_tick(),
            Input::Shutdown => self.on_shutdown(),
        }
        if std::mem::take(&mut self.common.ask_again) {
            self.bus.ask_again(now, &self.config, &mut self.common);
        }
        while let Some(next) = self.common.fetches.next_waiting(&self.config) {
            self.follow(next, Follower::on_slot);
        }
        Ok(())
    }

    /// The next thing to do, in order; `None` when there is nothing left.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.common.actions.pop_front()
    }

    /// When [`Input::Tick`] is next of use. Valid once the actions are drained; changes with
    /// every input.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.common.timers.next()
    }

    /// Where each source stands: the value to save. Every row up to there has been emitted, which
    /// is not to say that the application has handled it; positions that go with what was handled
    /// are in the events.
    pub fn positions(&self) -> Positions {
        let mut positions = Positions::new();
        for (follower, _) in &self.followers {
            if let Some(token) = follower.position() {
                let source = follower.source();
                positions.set(source.stream(), source.instance(), token);
            }
        }
        positions
    }

    /// Counters.
    pub const fn stats(&self) -> Stats {
        self.common.stats
    }

    /// Whether the shutdown is complete: nothing more will happen.
    pub const fn is_stopped(&self) -> bool {
        matches!(self.bus.link, Link::Stopped)
    }

    fn check(&self, now: Timestamp, input: &Input) -> Result<(), Misuse> {
        if now < self.now {
            return Err(Misuse::TimeWentBack { from: self.now, to: now });
        }
        match input {
            Input::Connected { conn } => match &self.bus.link {
                Link::Connecting(open) | Link::Closing(open) if open == conn => Ok(()),
                Link::Up(session) if session.conn == *conn => {
                    Err(Misuse::WrongConnectionState(*conn))
                }
                Link::Connecting(_)
                | Link::Refused(..)
                | Link::Closing(_)
                | Link::Up(_)
                | Link::Down
                | Link::Stopped => Err(Misuse::UnknownConnection(*conn)),
            },
            Input::Received { conn, .. } | Input::Malformed { conn, .. } => match &self.bus.link {
                _ if self.bus.is_or_was_up(*conn) => Ok(()),
                Link::Connecting(open) if open == conn => Err(Misuse::WrongConnectionState(*conn)),
                Link::Connecting(_)
                | Link::Refused(..)
                | Link::Closing(_)
                | Link::Up(_)
                | Link::Down
                | Link::Stopped => Err(Misuse::UnknownConnection(*conn)),
            },
            Input::LineTooLong { conn } if !conn.is_accepted() => {
                let tcp = matches!(self.config.transport, Transport::Tcp(_));
                match &self.bus.link {
                    _ if tcp && self.bus.is_or_was_up(*conn) => Ok(()),
                    Link::Connecting(open) | Link::Closing(open) | Link::Refused(open, _)
                        if open == conn =>
                    {
                        Err(Misuse::WrongConnectionState(*conn))
                    }
                    Link::Up(session) if session.conn == *conn => {
                        Err(Misuse::WrongConnectionState(*conn))
                    }
                    Link::Connecting(_)
                    | Link::Refused(..)
                    | Link::Closing(_)
                    | Link::Up(_)
                    | Link::Down
                    | Link::Stopped => Err(Misuse::UnknownConnection(*conn)),
                }
            }
            Input::Disconnected { conn, .. } => match &self.bus.link {
                _ if self.bus.is_or_was_up(*conn) => Ok(()),
                Link::Connecting(open) if open == conn => Ok(()),
                Link::Connecting(_)
                | Link::Refused(..)
                | Link::Closing(_)
                | Link::Up(_)
                | Link::Down
                | Link::Stopped => Err(Misuse::UnknownConnection(*conn)),
            },
            Input::Fetched { query, .. } if !self.common.fetches.was_issued(*query) => {
                Err(Misuse::UnknownQuery(*query))
            }
            Input::WaitFor { wait, .. } if self.common.waits.contains(*wait) => {
                Err(Misuse::WaitInUse(*wait))
            }
            Input::Accepted { .. }
            | Input::LineTooLong { .. }
            | Input::Sent { .. }
            | Input::Appended { .. }
            | Input::LogRead { .. }
            | Input::Syncing { .. }
            | Input::Fetched { .. }
            | Input::WaitFor { .. }
            | Input::Send { .. }
            | Input::CancelWait { .. }
            | Input::Tick
            | Input::Shutdown => Ok(()),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other commands are treated alike")]
    fn on_command(&mut self, command: Command) {
        self.common.stats.commands += 1;
        if !self.bus.on_command(self.now, &command, &self.config, &mut self.common) {
            if let Command::Error(text) = &command {
                self.on_server_error(text);
            }
            return;
        }
        match command {
            Command::Rdata(Rdata { stream, instance, token, row }) => {
                match self.role_of(&stream, &instance) {
                    Some(Role::Followed(source)) => {
                        self.common.stats.rdata += 1;
                        let replays = &mut self.common.fetches.replays;
                        if !replays.is_empty()
                            && let Some(replay) = replays.get_mut(source)
                        {
                            replay.push(token, &row, &self.config);
                            return;
                        }
                        self.follow(source, |follower, ctx| follower.on_row(ctx, token, row));
                    }
                    role => self.on_unwanted(role),
                }
            }
            Command::Position(position) => {
                match self.role_of(&position.stream, &position.instance) {
                    Some(Role::Followed(source)) => {
                        self.common.stats.positions += 1;
                        if let Some(replay) = self.common.fetches.replays.take(source) {
                            self.follow(source, |follower, ctx| {
                                follower.on_replayed(ctx, replay, position.token);
                            });
                            return;
                        }
                        self.follow(source, |follower, ctx| {
                            follower.on_position(ctx, position.prev, position.token);
                        });
                    }
                    role => self.on_unwanted(role),
                }
            }
            Command::LockReleased(lock) if lock.instance == self.config.instance => {
                self.common.stats.echoes += 1;
            }
            command => self.common.notify(Event::Command { command }),
        }
    }

    fn on_unwanted(&mut self, role: Option<Role>) {
        if role == Some(Role::Own) {
            // A follower writes nothing, so this is no echo.
            self.common.stats.echoes += 1;
            self.bus.on_duplicate_instance(&self.config, &mut self.common);
        } else {
            self.common.stats.ignored += 1;
        }
    }

    fn on_malformed(&mut self, error: DecodeError) {
        self.common.stats.malformed += 1;
        let row = error.row().cloned();
        let read_once = self.config.transport.replays().then(|| error.command().to_owned());
        self.common.notify(Event::Warning(Warning::Malformed { error }));
        if let Some(command) = read_once
            && self.on_lost_line(&command, row.as_ref())
        {
            return;
        }
        if let Some(row) = row
            // A bad line is not believed as far as to follow a source that nobody else speaks of.
            && let Some(Role::Followed(source)) = self.sources.find(&row.stream, &row.instance)
        {
            self.follow(source, |follower, ctx| follower.on_malformed(ctx, row.token));
        }
    }

    /// A line of a server of the oldest dialect could not be read, which says nothing twice.
    /// Whether all is done that can be.
    fn on_lost_line(&mut self, command: &str, row: Option<&BadRow>) -> bool {
        let replays = &mut self.common.fetches.replays;
        let source = row.and_then(|row| self.sources.find(&row.stream, &row.instance));
        if let Some(Role::Followed(source)) = source {
            return replays.get_mut(source).map(Replay::damage).is_some();
        }
        let waiting = self.common.unanswered > 0 || !replays.is_empty();
        match command {
            "POSITION" if waiting => self.bus.on_lost_answer(&mut self.common),
            "RDATA" if row.is_none() => replays.damage_all(),
            _ => return false,
        }
        true
    }

    /// The server is about to close the connection; in the oldest dialect perhaps because it will
    /// not send what was asked for.
    fn on_server_error(&mut self, text: &str) {
        let replays = &self.common.fetches.replays;
        if replays.is_empty() {
            return;
        }
        let asked = replays
            .sources()
            .map(|index| (self.followers[index.as_usize()].0.source().stream(), index));
        let blame = match named_in(text, asked) {
            Some((_, index)) => Blame::Source(index),
            None if text.contains("unknown stream") => Blame::Other,
            None => Blame::Unknown,
        };
        self.refused = Some((text.to_owned(), blame));
    }

    fn on_connected(&mut self, conn: ConnectionId) {
        if !matches!(self.bus.link, Link::Closing(_)) {
            self.bus.on_connected(self.now, conn, &self.config, &mut self.common);
        }
    }

    fn on_disconnected(&mut self, conn: ConnectionId, reason: String) {
        let refused = self.refused.take();
        let lost = match &refused {
            Some((text, blame)) => Lost { reason: text, blame: *blame },
            None => Lost { reason: &reason, blame: Blame::Unknown },
        };
        for index in 0..self.followers.len() {
            self.follow(SourceIndex::after(index), |follower, ctx| {
                follower.on_disconnected(ctx, &lost);
            });
        }
        self.common.unanswered = u32::try_from(self.followers.len()).unwrap_or(u32::MAX);
        self.bus.on_disconnected(self.now, conn, reason, &self.config, &mut self.common);
    }

    fn on_fetched(&mut self, query: QueryId, outcome: FetchOutcome) {
        match self.common.fetches.in_flight.remove(&query) {
            Some(source) => {
                self.follow(source, |follower, ctx| follower.on_fetched(ctx, outcome));
            }
            None => self.common.stats.fetches_stale += 1,
        }
    }

    fn on_send(&mut self, command: Command) {
        let reason = if self.config.observe_only {
            NotSentReason::ObserveOnly
        } else if let Some(reason) = self.bus.will_not_send(&command) {
            reason
        } else {
            self.bus.send(self.now, command, &mut self.common);
            return;
        };
        let command = command.name().to_owned();
        self.common.notify(Event::Warning(Warning::NotSent { command, reason }));
    }

    fn on_wait(&mut self, wait: WaitId, source: &Source, token: Token, deadline: Timestamp) {
        let outcome = match self.role_of(source.stream(), source.instance()) {
            Some(Role::Followed(index)) => {
                let follower = &self.followers[index.as_usize()].0;
                let position = follower.position();
                // Not sooner than is due: a source that is waited for may never appear.
                self.common.ask_again |=
                    !follower.answered() && !self.common.timers.is_set(TimerKey::Replicate);
                match position {
                    Some(position) if position >= token => WaitOutcome::Reached { position },
                    _ if self.common.waits.len() >= self.config.waits_max as usize
                        || self.is_stopping() =>
                    {
                        WaitOutcome::Refused
                    }
                    position if deadline <= self.now => WaitOutcome::TimedOut { position },
                    _ => {
                        self.common.waits.insert(wait, index, token);
                        self.common.timers.set(TimerKey::Wait(wait), deadline);
                        return;
                    }
                }
            }
            Some(Role::Own | Role::Ignored) | None => WaitOutcome::Refused,
        };
        self.common.notify(Event::WaitEnded { wait, outcome });
    }

    fn on_tick(&mut self) {
        // What is set meanwhile and due at once, because time cannot go on or a delay is below its
        // resolution, waits for the next tick.
        for _ in 0..self.common.timers.len() {
            let Some(key) = self.common.timers.pop_due(self.now) else { break };
            match key {
                TimerKey::Reconnect => self.bus.connect(&mut self.common),
                TimerKey::Replicate => {
                    let unanswered = if self.common.unanswered == 0 {
                        None
                    } else {
                        let silent =
                            self.followers.iter().find(|(follower, _)| !follower.answered());
                        silent.map(|(follower, _)| follower.source().clone())
                    };
                    self.bus.on_replicate_due(self.now, unanswered, &self.config, &mut self.common);
                }
                TimerKey::KeepAlive(conn) if !conn.is_accepted() => {
                    self.bus.on_keep_alive_due(self.now, conn, &self.config, &mut self.common);
                }
                TimerKey::KeepAlive(_) => {}
                TimerKey::NothingHeard => {
                    self.bus.on_nothing_heard_due(self.now, &mut self.common);
                }
                TimerKey::FetchRetry(source) => self.follow(source, Follower::on_fetch_retry),
                TimerKey::BurstQuiet(source) => self.follow(source, Follower::on_burst_quiet),
                TimerKey::Wait(wait) => {
                    if let Some(source) = self.common.waits.remove(wait) {
                        let position = self.followers[source.as_usize()].0.position();
                        let outcome = WaitOutcome::TimedOut { position };
                        self.common.notify(Event::WaitEnded { wait, outcome });
                    }
                }
            }
        }
    }

    const fn is_stopping(&self) -> bool {
        matches!(self.bus.link, Link::Closing(_) | Link::Stopped)
    }

    fn on_shutdown(&mut self) {
        self.common.timers.clear_all();
        for query in self.common.fetches.cancel_all() {
            self.common.actions.push_back(Action::CancelFetch { query });
        }
        while let Some(wait) = self.common.waits.pop() {
            self.common.notify(Event::WaitEnded { wait, outcome: WaitOutcome::Refused });
        }
        self.bus.shut_down(&mut self.common);
    }

    /// What is done with a source's rows; one that is new and wanted is taken in, and only such a
    /// one counts against the limit.
    fn role_of(&mut self, stream: &str, instance: &str) -> Option<Role> {
        if let Some(role) = self.sources.find(stream, instance) {
            return Some(role);
        }
        if instance == self.config.instance {
            return Some(Role::Own);
        }
        if self.config.streams.as_ref().is_some_and(|wanted| !wanted.contains(stream)) {
            return Some(Role::Ignored);
        }
        self.take_in(Source::new(stream, instance))
    }

    #[cold]
    fn take_in(&mut self, source: Source) -> Option<Role> {
        let role = Role::Followed(SourceIndex::after(self.followers.len()));
        if !self.sources.insert(source.clone(), role) {
            if !self.source_limit_reported {
                self.source_limit_reported = true;
                self.common.notify(Event::Warning(Warning::TooManySources { source }));
            }
            return None;
        }
        let stream = self.stream_of(source.stream());
        let position = self.config.positions.get(source.stream(), source.instance());
        let traits = self.streams[stream].traits;
        self.followers.push((Follower::new(source, traits, position), stream));
        self.common.unanswered += 1;
        self.common.stats.sources_now += 1;
        Some(role)
    }

    fn stream_of(&mut self, name: &str) -> usize {
        if let Some(index) = self.streams_by_name.get(name) {
            return *index;
        }
        let baseline = self.config.positions.highest(name);
        self.streams.push(Stream::new(traits_on(self.config.transport, name), baseline));
        let index = self.streams.len() - 1;
        self.streams_by_name.insert(name.to_owned(), index);
        index
    }

    fn follow<R>(
        &mut self,
        source: SourceIndex,
        act: impl FnOnce(&mut Follower, &mut Context<'_>) -> R,
    ) -> R {
        let (follower, stream) = &mut self.followers[source.as_usize()];
        let mut context = Context {
            now: self.now,
            me: source,
            config: &self.config,
            stream: &mut self.streams[*stream],
            common: &mut self.common,
        };
        act(follower, &mut context)
    }
}
