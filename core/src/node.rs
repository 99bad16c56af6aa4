//! The node: one instance of a deployment as a state machine.

mod check;
mod peers;
mod replays;
mod users;

use std::collections::{BTreeMap, VecDeque};

use crate::{
    action::Action,
    config::{Config, Transport},
    connection::{Link, Outbox, Peers, Upstream},
    error::{ConfigError, Misuse},
    event::{Event, NotSentReason, WaitOutcome, Warning},
    federation::FederationAcks,
    follow::{Blame, Context, FetchOutcome, Fetches, Follower, Lost, Stream},
    ids::{ConnectionId, QueryId, WaitId},
    input::Input,
    planted::planted,
    publish::{self, Publisher},
    retry::Jitter,
    shared::Shared,
    sources::{Role, SourceIndex, Sources},
    stats::Stats,
    stream::{Positions, Source, Token, traits_on},
    syncing::{OurUsers, TheirUsers},
    time::Timestamp,
    timer::{TimerKey, Timers},
    turn::Turn,
    wait::Waits,
    wire::{Command, DecodeError, Rdata},
};

/// One instance of a deployment: follows the streams that the others write, and publishes its own.
///
/// Three kinds of methods: [`Node::handle`] takes what happened, `poll_*` gives what to do, and
/// everything else looks without effect.
///
/// * *Drain.* After each `handle`, call [`Node::poll_action`] until `None` and carry the actions
///   out in order, then ask [`Node::poll_timeout`].
/// * *Time.* `now` never goes back; equal is fine. The node reads no clock.
/// * *Answers.* Each `Connect`, each `Fetch` and each `ReadLog` is answered by an input with the
///   same id, unless a fetch was cancelled.
/// * *Confirmation.* What has gone out is reported with `Sent`, per connection in the order in
///   which it was sent. A command that the driver cannot encode counts as gone out.
///
/// Same settings and same inputs give the same actions, in every build and process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    config: Config,
    now: Timestamp,
    upstream: Upstream,
    sources: Sources,
    followers: Vec<(Follower, usize)>,
    streams: Vec<Stream>,
    streams_by_name: BTreeMap<String, usize>,
    shared: Shared,
    our_users: OurUsers,
    their_users: TheirUsers,
    federation_acks: FederationAcks,
    source_limit_reported: bool,
    /// What the server of the oldest dialect said as it refused to answer.
    refused: Option<(String, Blame)>,
    publisher: Publisher,
    peers: Peers,
    /// Shutting down: nothing is taken in any more, what is left goes out.
    stopping: bool,
    stopped: bool,
}

impl Node {
    /// A node with these settings. Its first action is a `Connect`, unless
    /// [`Transport::None`] says that it makes no connection.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut node = Self {
            now: Timestamp::ZERO,
            upstream: Upstream::new(),
            sources: Sources::new(config.sources_max),
            followers: Vec::new(),
            streams: Vec::new(),
            streams_by_name: BTreeMap::new(),
            shared: Shared {
                actions: VecDeque::new(),
                stats: Stats::default(),
                timers: Timers::default(),
                fetches: Fetches::default(),
                outbox: Outbox::new(),
                waits: Waits::default(),
                jitter: Jitter::new(config.seed),
                heard: 0,
                replays_on: None,
                unanswered: 0,
                ask_again: false,
                kept_bytes: 0,
                settling_until: None,
            },
            our_users: OurUsers::default(),
            their_users: TheirUsers::default(),
            federation_acks: FederationAcks::default(),
            source_limit_reported: false,
            refused: None,
            publisher: Publisher::new(&config),
            peers: Peers::default(),
            stopping: false,
            stopped: false,
            config,
        };
        for (stream, instance, _) in node.config.positions.clone().iter() {
            node.role_of(stream, instance);
        }
        if node.config.transport != Transport::None {
            node.upstream.connect(&mut node.shared);
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
            Input::Received { .. } | Input::Malformed { .. } if self.stopping => {}
            Input::Received { conn, command } => {
                if self.upstream.up() == Some(conn) {
                    self.on_command(conn, command);
                } else if conn.is_accepted() {
                    self.on_peer_command(conn, command);
                }
            }
            Input::Malformed { conn, error } => {
                if self.upstream.up() == Some(conn) {
                    self.on_malformed(error);
                } else if conn.is_accepted() {
                    self.on_peer_malformed(conn, &error);
                }
            }
            Input::LineTooLong { conn } if conn.is_accepted() => self.on_peer_line_too_long(conn),
            Input::LineTooLong { .. } => {
                self.upstream.on_line_too_long(&self.config, &mut self.shared);
            }
            Input::Accepted { conn, dialect } => self.on_accepted(conn, dialect),
            Input::Connected { conn } => self.on_connected(conn),
            Input::Disconnected { conn, reason } if conn.is_accepted() => {
                self.on_peer_disconnected(conn, reason);
            }
            Input::Disconnected { conn, reason } => self.on_disconnected(conn, reason),
            Input::Sent { conn, count } if conn.is_accepted() => self.on_peer_sent(conn, count),
            Input::Sent { count, .. } => self.on_sent(count),
            Input::Fetched { query, result } => self.on_fetched(query, result),
            Input::Appended { stream, token } => {
                if let Some(index) = self.streams_by_name.get(&*stream) {
                    self.streams[*index].written_here = true;
                }
                self.publish(|publisher, ctx| publisher.on_appended(stream, token, ctx));
            }
            Input::LogRead { query, result } => {
                self.publish(|publisher, ctx| publisher.on_log_read(query, result, ctx));
            }
            Input::Send { command } => self.on_send(command),
            Input::Syncing { user, device, syncing, at_ms } => {
                self.on_syncing((user, device), syncing, at_ms);
            }
            Input::WaitFor { wait, source, token, deadline } => {
                self.on_wait(wait, &source, token, deadline);
            }
            Input::CancelWait { wait } => {
                self.shared.waits.remove(wait);
                self.shared.timers.clear(TimerKey::Wait(wait));
            }
            Input::Tick => self.on_tick(),
            Input::Shutdown => self.on_shutdown(),
        }
        if self.stopping {
            self.stop_when_drained();
            return Ok(());
        }
        if std::mem::take(&mut self.shared.ask_again) {
            self.upstream.ask_again(now, &self.config, &mut self.shared);
        }
        while let Some(next) = self.shared.fetches.next_waiting(&self.config) {
            self.follow(next, Follower::on_slot);
        }
        while let Some(next) = self.shared.fetches.next_audit(&self.config) {
            self.follow(next, Follower::on_audit_slot);
        }
        Ok(())
    }

    /// The next thing to do, in order; `None` when there is nothing left.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.shared.actions.pop_front()
    }

    /// When [`Input::Tick`] is next of use. Valid once the actions are drained; changes with
    /// every input.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.shared.timers.next()
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
        self.shared.stats
    }

    /// Whether the shutdown is complete: nothing more will happen.
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other commands are treated alike")]
    fn on_command(&mut self, conn: ConnectionId, command: Command) {
        self.shared.stats.commands += 1;
        if !self.upstream.on_command(self.now, &command, &self.config, &mut self.shared) {
            if let Command::Error(text) = &command {
                self.on_server_error(text);
            }
            return;
        }
        match command {
            Command::Rdata(Rdata { stream, instance, token, row }) => {
                match self.role_of(&stream, &instance) {
                    Some(Role::Followed(source)) => {
                        self.shared.stats.rdata += 1;
                        if let Some(replay) = self.shared.fetches.replays.get_mut(source) {
                            replay.push(token, &row, &self.config);
                        } else {
                            self.follow(source, |follower, ctx| follower.on_row(ctx, token, row));
                        }
                    }
                    role => self.on_unwanted(role, &stream, token),
                }
            }
            Command::Position(position) => {
                match self.role_of(&position.stream, &position.instance) {
                    Some(Role::Followed(source)) => {
                        self.shared.stats.positions += 1;
                        let replay = self.shared.fetches.replays.take(source);
                        self.follow(source, |follower, ctx| match replay {
                            Some(replay) => follower.on_replayed(ctx, replay, position.token),
                            None => follower.on_position(ctx, position.prev, position.token),
                        });
                    }
                    role => self.on_unwanted(role, &position.stream, Some(position.token)),
                }
            }
            Command::LockReleased(lock) if lock.instance == self.config.instance => {
                self.shared.stats.echoes += 1;
            }
            command => {
                if matches!(command, Command::Replicate(_)) {
                    self.publish(Publisher::on_asked_on_bus);
                }
                self.relay(None, &command);
                if let Some(command) = self.keep_account(conn, command) {
                    self.shared.notify(Event::Command { command });
                }
            }
        }
    }

    fn on_unwanted(&mut self, role: Option<Role>, stream: &str, token: Option<Token>) {
        if role == Some(Role::Own) {
            self.shared.stats.echoes += 1;
            if !self.publisher.on_own_name(stream, token) {
                self.upstream.on_duplicate_instance(&self.config, &mut self.shared);
            }
        } else {
            self.shared.stats.ignored += 1;
        }
    }

    fn on_malformed(&mut self, error: DecodeError) {
        self.shared.stats.malformed += 1;
        let row = error.row().cloned();
        let read_once = self.config.transport.replays().then(|| error.command().to_owned());
        self.shared.notify(Event::Warning(Warning::Malformed { error }));
        if let Some(command) = read_once
            && self.on_lost_line(&command, row.as_ref())
        {
            return;
        }
        if planted!(self.config, UpsetsOthers) {
            for index in 0..self.followers.len() {
                self.follow(SourceIndex::after(index), |follower, ctx| {
                    follower.on_malformed(ctx, None);
                });
            }
        }
        if let Some(row) = row
            // A bad line is not believed as far as to follow a source that nobody else speaks of.
            && let Some(Role::Followed(source)) = self.sources.find(&row.stream, &row.instance)
        {
            self.follow(source, |follower, ctx| follower.on_malformed(ctx, row.token));
        }
    }

    fn on_connected(&mut self, conn: ConnectionId) {
        if !matches!(self.upstream.link, Link::Closing(_)) {
            self.upstream.on_connected(self.now, conn, &self.config, &mut self.shared);
            self.publish(Publisher::on_bus_up);
            self.say_all_users();
        }
    }

    fn on_sent(&mut self, count: u32) {
        self.publish(|publisher, ctx| {
            let was_full = publisher.bus_is_full(ctx);
            ctx.turn.shared.outbox.on_sent(count);
            publisher.on_bus_sent(was_full, ctx);
        });
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
        self.shared.unanswered = u32::try_from(self.followers.len()).unwrap_or(u32::MAX);
        self.publisher.on_bus_down();
        if self.stopping {
            self.upstream.link = Link::Closing(conn);
        }
        self.upstream.on_disconnected(self.now, conn, reason, &self.config, &mut self.shared);
        self.their_users.on_disconnected(conn, &mut self.shared);
    }

    fn on_fetched(&mut self, query: QueryId, outcome: FetchOutcome) {
        if let Some(source) = self.shared.fetches.take_audit(query) {
            self.follow(source, |follower, ctx| follower.on_audit_fetched(ctx, outcome));
            return;
        }
        match self.shared.fetches.in_flight.remove(&query) {
            Some(source) => {
                self.follow(source, |follower, ctx| follower.on_fetched(ctx, outcome));
            }
            None => self.shared.stats.fetches_stale += 1,
        }
    }

    fn on_send(&mut self, command: Command) {
        let name = command.name();
        let reason = if self.config.observe_only {
            NotSentReason::ObserveOnly
        } else if matches!(command, Command::Rdata(_) | Command::Position(_)) {
            NotSentReason::OnlyFromLog
        } else {
            let to_peers = self.send_to_peers(&command);
            match self.upstream.will_not_send(&command) {
                None => {
                    self.upstream.send(self.now, command, &mut self.shared);
                    return;
                }
                Some(_) if to_peers => return,
                Some(reason) => reason,
            }
        };
        let command = name.to_owned();
        self.shared.notify(Event::Warning(Warning::NotSent { command, reason }));
    }

    fn on_wait(&mut self, wait: WaitId, source: &Source, token: Token, deadline: Timestamp) {
        let outcome = match self.role_of(source.stream(), source.instance()) {
            Some(Role::Followed(index)) => {
                let follower = &self.followers[index.as_usize()].0;
                let position = follower.position();
                // Not sooner than is due: a source that is waited for may never appear.
                self.shared.ask_again |=
                    !follower.answered() && !self.shared.timers.is_set(TimerKey::Replicate);
                match position {
                    Some(position) if position >= token => WaitOutcome::Reached { position },
                    _ if self.shared.waits.len() >= self.config.waits_max as usize
                        || self.stopping =>
                    {
                        WaitOutcome::Refused
                    }
                    position if deadline <= self.now => WaitOutcome::TimedOut { position },
                    _ => {
                        self.shared.waits.insert(wait, index, token);
                        self.shared.timers.set(TimerKey::Wait(wait), deadline);
                        return;
                    }
                }
            }
            Some(Role::Own | Role::Ignored) | None => WaitOutcome::Refused,
        };
        self.shared.notify(Event::WaitEnded { wait, outcome });
    }

    fn on_tick(&mut self) {
        // What is set meanwhile and due at once, because time cannot go on or a delay is below its
        // resolution, waits for the next tick.
        for _ in 0..self.shared.timers.len() {
            let Some(key) = self.shared.timers.pop_due(self.now) else { break };
            match key {
                TimerKey::Reconnect => self.upstream.connect(&mut self.shared),
                TimerKey::Replicate => {
                    let unanswered = if self.shared.unanswered == 0 {
                        None
                    } else {
                        let silent =
                            self.followers.iter().find(|(follower, _)| !follower.answered());
                        silent.map(|(follower, _)| follower.source().clone())
                    };
                    self.upstream.on_replicate_due(
                        self.now,
                        unanswered,
                        &self.config,
                        &mut self.shared,
                    );
                }
                TimerKey::KeepAlive(conn) if conn.is_accepted() => {
                    self.on_peer_keep_alive_due(conn);
                }
                TimerKey::KeepAlive(conn) => {
                    self.upstream.on_keep_alive_due(self.now, conn, &self.config, &mut self.shared);
                }
                TimerKey::LogRetry(stream) => {
                    self.publish(|publisher, ctx| publisher.on_log_retry(stream, ctx));
                }
                TimerKey::NothingHeard => {
                    self.upstream.on_nothing_heard_due(self.now, &mut self.shared);
                }
                TimerKey::SyncEnd(number) => self.on_sync_end_due(number),
                TimerKey::SyncExpiry(watch) => {
                    self.their_users.on_expiry_due(watch, &mut self.shared);
                }
                TimerKey::SyncRepeat => self.on_sync_repeat_due(),
                TimerKey::FetchRetry(source) => self.follow(source, Follower::on_fetch_retry),
                TimerKey::BurstQuiet(source) => self.follow(source, Follower::on_burst_quiet),
                TimerKey::Audit(source) => self.follow(source, Follower::on_audit_due),
                TimerKey::Wait(wait) => {
                    if let Some(source) = self.shared.waits.remove(wait) {
                        let position = self.followers[source.as_usize()].0.position();
                        let outcome = WaitOutcome::TimedOut { position };
                        self.shared.notify(Event::WaitEnded { wait, outcome });
                    }
                }
            }
        }
    }

    fn on_shutdown(&mut self) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        self.shared.timers.clear_all();
        for query in self.shared.fetches.cancel_all() {
            self.shared.actions.push_back(Action::CancelFetch { query });
        }
        while let Some(wait) = self.shared.waits.pop() {
            self.shared.notify(Event::WaitEnded { wait, outcome: WaitOutcome::Refused });
        }
        self.say_farewell();
        self.publish(Publisher::stop);
        if self.upstream.up().is_none() {
            self.upstream.shut_down(&mut self.shared);
        }
    }

    /// Closes everything once own rows have gone out, and says so when all is closed.
    fn stop_when_drained(&mut self) {
        if self.stopped || !self.publish(|publisher, ctx| publisher.is_drained(ctx)) {
            return;
        }
        self.upstream.shut_down(&mut self.shared);
        let mut turn = Turn { now: self.now, config: &self.config, shared: &mut self.shared };
        self.peers.close_all(&mut turn);
        if matches!(self.upstream.link, Link::Stopped) && self.peers.is_empty() {
            self.stopped = true;
            self.shared.notify(Event::Stopped);
        }
    }

    /// One turn of what publishes.
    fn publish<R>(
        &mut self,
        act: impl FnOnce(&mut Publisher, &mut publish::Context<'_>) -> R,
    ) -> R {
        let turn = Turn { now: self.now, config: &self.config, shared: &mut self.shared };
        let mut context =
            publish::Context { turn, upstream: &mut self.upstream, peers: &mut self.peers };
        act(&mut self.publisher, &mut context)
    }

    /// What is done with a source's rows; one that is new and wanted is taken in, and only such a
    /// one counts against the limit.
    fn role_of(&mut self, stream: &str, instance: &str) -> Option<Role> {
        if let Some(role) = self.sources.find(stream, instance) {
            return Some(role);
        }
        if instance == self.config.instance && !planted!(self.config, DeliversEchoes) {
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
                self.shared.notify(Event::Warning(Warning::TooManySources { source }));
            }
            return None;
        }
        let stream = self.stream_of(source.stream());
        let position = self.config.positions.get(source.stream(), source.instance());
        let traits = self.streams[stream].traits;
        self.followers.push((Follower::new(source, traits, position, &self.config), stream));
        self.shared.unanswered += 1;
        self.shared.stats.sources_now += 1;
        Some(role)
    }

    fn stream_of(&mut self, name: &str) -> usize {
        if let Some(index) = self.streams_by_name.get(name) {
            return *index;
        }
        let baseline = self.config.positions.highest(name);
        let mut stream = Stream::new(traits_on(self.config.transport, name), baseline);
        stream.written_here = self.publisher.end_of(name).is_some();
        self.streams.push(stream);
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
            shared: &mut self.shared,
        };
        let done = act(follower, &mut context);
        follower.account(&mut self.shared.kept_bytes);
        done
    }
}
