//! The node: one instance of a deployment as a state machine.
//!
//! What enters: inputs, through [`Node::handle`]. What leaves: actions, through
//! [`Node::poll_action`]. The node only finds the part that an input concerns; the parts decide.
//! Keeps C1 to C4.

mod check;
mod in_band;
mod peers;
mod shutdown;
mod timers;
mod users;

use std::collections::BTreeMap;

use crate::{
    action::Action,
    config::{Config, Transport},
    connection::{Connections, Link, Peers, Upstream},
    env::{Env, StreamState},
    error::{ConfigError, Misuse},
    event::{Event, NotSentReason, WaitOutcome, Warning},
    federation::FederationAcks,
    follow::{FetchOutcome, Follower},
    holes::Holes,
    ids::{ConnectionId, FetchId, SourceIndex, StreamIndex, WaitId},
    inband::{Blame, Lost},
    input::Input,
    publish::Publisher,
    queries::Requester,
    sources::{Role, Sources},
    stats::Stats,
    stream::{Positions, Source, Span, Token},
    syncing::{OurUsers, TheirUsers},
    time::Timestamp,
    timer::TimerKey,
    wire::{Command, DecodeError, Rdata},
};

/// One instance of a deployment: follows the streams that the others write, and publishes its own.
///
/// There are three kinds of methods: [`Node::handle`] takes an input, the `poll_*` methods give
/// what to do, and all others read without effect.
///
/// * *Drain.* After each `handle`, call [`Node::poll_action`] until `None` and carry the actions
///   out in order, then call [`Node::poll_timeout`].
/// * *Time.* `now` never goes back; equal is fine. The node reads no clock.
/// * *Answers.* Each `Connect`, each `Fetch` and each `ReadLog` is answered by an input with the
///   same id, unless a fetch was cancelled.
/// * *Confirmation.* What has gone out is reported with `Sent`, per connection in the order in
///   which it was sent. A command that the driver cannot encode counts as gone out.
///
/// Same settings and same inputs give the same actions, in every build and process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    env: Env,
    connections: Connections,
    sources: Sources,
    followers: Vec<Follower>,
    streams_by_name: BTreeMap<String, StreamIndex>,
    our_users: OurUsers,
    their_users: TheirUsers,
    federation_acks: FederationAcks,
    /// Whether the application was warned that there are more sources than allowed.
    source_limit_reported: bool,
    /// The last ERROR that a server of the oldest dialect sent while answers were coming in, and
    /// the request that it is about.
    refused: Option<(String, Blame)>,
    publisher: Publisher,
    /// Whether the node is shutting down: received commands are ignored, and what is left goes out.
    stopping: bool,
    stopped: bool,
}

impl Node {
    /// Creates a node with these settings. Its first action is a `Connect`, unless
    /// [`Transport::None`] says that it makes no connection.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that cannot work, and what to do.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut node = Self {
            connections: Connections { upstream: Upstream::new(), peers: Peers::default() },
            sources: Sources::new(config.limits.sources_max),
            followers: Vec::new(),
            streams_by_name: BTreeMap::new(),
            our_users: OurUsers::default(),
            their_users: TheirUsers::default(),
            federation_acks: FederationAcks::default(),
            source_limit_reported: false,
            refused: None,
            publisher: Publisher::new(&config),
            stopping: false,
            stopped: false,
            env: Env::new(config),
        };
        for (source, _) in node.env.config.positions.clone().iter() {
            node.role_of(source.stream(), source.instance());
        }
        if node.env.config.transport != Transport::None {
            node.connections.upstream.connect(&mut node.env);
        }
        Ok(node)
    }

    /// Takes what happened at `now`. What follows from it is in [`Node::poll_action`].
    ///
    /// Inputs of a connection that was closed by a shutdown are ignored.
    ///
    /// # Errors
    /// [`Misuse`] if the driver broke the contract. The state is then unchanged.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Result<(), Misuse> {
        self.check(now, &input)?;
        self.env.now = now;
        match input {
            Input::Received { .. } | Input::Malformed { .. } if self.stopping => {}
            Input::Received { conn, command } => {
                if self.connections.upstream.up() == Some(conn) {
                    self.on_command(conn, command);
                } else if conn.is_accepted() {
                    self.on_peer_command(conn, command);
                }
            }
            Input::Malformed { conn, error } => {
                if self.connections.upstream.up() == Some(conn) {
                    self.on_malformed(error);
                } else if conn.is_accepted() {
                    self.on_peer_malformed(conn, &error);
                }
            }
            Input::LineTooLong { conn } if conn.is_accepted() => self.on_peer_line_too_long(conn),
            Input::LineTooLong { .. } => {
                self.connections.upstream.on_line_too_long(&mut self.env);
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
                    self.env.on_written_here(*index);
                }
                self.publisher.on_appended(stream, token, &mut self.connections, &mut self.env);
            }
            Input::LogRead { query, result } => {
                if let Some(source) = self.env.queries.take_screening(query) {
                    self.with_follower(source, |follower, env| {
                        follower.on_own_log_read(env, result);
                    });
                } else {
                    self.publisher.on_log_read(query, result, &mut self.connections, &mut self.env);
                }
            }
            Input::Send { command } => self.on_send(command),
            Input::Syncing { user, device, syncing, at_ms } => {
                self.on_syncing((user, device), syncing, at_ms);
            }
            Input::WaitFor { wait, source, token, deadline } => {
                self.on_wait(wait, &source, token, deadline);
            }
            Input::CancelWait { wait } => {
                self.env.waits.remove(wait);
                self.env.timers.clear(TimerKey::Wait(wait));
            }
            Input::Tick => self.on_tick(),
            Input::Shutdown => self.on_shutdown(),
        }
        if self.stopping {
            self.stop_when_drained();
            // Nothing is waited for any more.
            self.env.timers.clear_all();
            return Ok(());
        }
        if std::mem::take(&mut self.env.replicate_again) {
            self.connections.upstream.replicate_again(&mut self.env);
        }
        while let Some(next) = self.env.queries.next_in_line(&self.env.config) {
            self.with_follower(next, Follower::on_slot);
        }
        while let Some(question) = self.env.next_question() {
            self.with_follower(question.source, |follower, env| follower.look_into(env, question));
        }
        while let Some(next) = self.env.queries.next_audit(&self.env.config) {
            self.with_follower(next, Follower::on_audit_slot);
        }
        while let Some(next) = self.env.queries.next_look_up(&self.env.config) {
            self.with_follower(next, Follower::on_look_up_slot);
        }
        Ok(())
    }

    /// Returns the next thing to do, in order; `None` when there is nothing left.
    #[must_use = "an action that is dropped is not carried out"]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.env.actions.pop_front()
    }

    /// Returns the time at which [`Input::Tick`] is next of use; `None` if no deadline is set.
    /// Valid once the actions are drained; changes with every input.
    #[must_use = "without a tick at that time nothing is tried again"]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.env.timers.next()
    }

    /// Returns the position of each source that has one: the value to save and to resume from
    /// ([`Config::positions`]).
    ///
    /// Every row up to there has been emitted, which does not mean that the application has handled
    /// it. The positions that go with what was handled are in the events ([`Event::position`]).
    #[must_use]
    pub fn positions(&self) -> Positions {
        let mut positions = Positions::new();
        for follower in &self.followers {
            if let Some(token) = follower.position() {
                positions.set(follower.source(), token);
                if let Some(anchors) = follower.anchors() {
                    positions.set_anchors(follower.source(), anchors);
                }
            }
        }
        positions
    }

    /// Returns the counters since the start.
    pub const fn stats(&self) -> Stats {
        self.env.stats
    }

    /// Returns whether the shutdown is complete: [`Event::Stopped`] was emitted, and every
    /// connection is closed.
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other commands are treated alike")]
    fn on_command(&mut self, conn: ConnectionId, command: Command) {
        self.env.stats.commands += 1;
        if !self.connections.upstream.on_command(&command, &mut self.env) {
            if let Command::Error(text) = &command {
                self.on_server_error(text);
            }
            return;
        }
        match command {
            Command::Rdata(Rdata { stream, instance, token, row }) => {
                match self.role_of(&stream, &instance) {
                    Some(Role::Followed(source)) => {
                        self.env.stats.rdata += 1;
                        self.tear_other_batches(source, &instance);
                        self.with_follower(source, |follower, env| {
                            follower.on_row(env, token, row)
                        });
                    }
                    Some(Role::Own) => {
                        let is_echo = self.publisher.on_echo(&stream, token);
                        self.on_own(is_echo);
                    }
                    Some(Role::Ignored) | None => self.env.stats.ignored += 1,
                }
            }
            Command::Position(position) => {
                let role = self.role_of(&position.stream, &position.instance);
                if role != Some(Role::Own) {
                    let (stream, instance) = (&position.stream, &position.instance);
                    self.publisher.on_others_position(stream, instance, &mut self.env);
                }
                match role {
                    Some(Role::Followed(source)) => {
                        self.env.stats.positions += 1;
                        self.tear_other_batches(source, &position.instance);
                        let span = Span::new(position.prev, position.token);
                        self.with_follower(source, |follower, env| follower.on_position(env, span));
                    }
                    Some(Role::Own) => {
                        let span = Span { from: position.prev, upto: position.token };
                        let is_echo = self.publisher.on_own_position(&position.stream, span);
                        self.on_own(is_echo);
                    }
                    Some(Role::Ignored) | None => self.env.stats.ignored += 1,
                }
            }
            Command::LockReleased(lock) if lock.instance == self.env.config.instance => {
                self.env.stats.echoes += 1;
            }
            command => {
                if matches!(command, Command::Replicate(_)) {
                    self.publisher.on_replicate_on_bus(&mut self.connections, &mut self.env);
                }
                self.relay(None, &command);
                if let Some(command) = self.take_report(conn, command) {
                    self.env.notify(Event::Command { command });
                }
            }
        }
    }

    /// Tears the batch that `instance` has begun in another of its sources: a writer says nothing
    /// between the rows of a batch. On direct TCP one connection carries the rows of all writers.
    #[inline]
    fn tear_other_batches(&mut self, source: SourceIndex, instance: &str) {
        if let Some(open) = self.env.open_batches.of(instance)
            && open != source
        {
            self.with_follower(open, Follower::on_interrupted);
        }
    }

    /// Handles a row or position under our own name. One that is no echo is of another process.
    fn on_own(&mut self, is_echo: bool) {
        self.env.stats.echoes += 1;
        if !is_echo {
            self.connections.upstream.on_duplicate_instance(&mut self.env);
        }
    }

    fn on_malformed(&mut self, error: DecodeError) {
        self.env.stats.malformed += 1;
        let row = error.row().cloned();
        let read_once =
            self.env.config.transport.catches_up_in_band().then(|| error.command().to_owned());
        self.env.notify(Event::Warning(Warning::Malformed { error }));
        if let Some(command) = read_once
            && self.on_lost_line(&command, row.as_ref())
        {
            return;
        }
        if let Some(row) = row
            // A bad line is not believed to the point of following a source that no other line has
            // named.
            && let Some(Role::Followed(source)) = self.sources.find(&row.stream, &row.instance)
        {
            self.with_follower(source, |follower, env| follower.on_malformed(env, row.token));
        }
    }

    fn on_connected(&mut self, conn: ConnectionId) {
        if !matches!(self.connections.upstream.link, Link::Closing(_)) {
            self.connections.upstream.on_connected(conn, &mut self.env);
            self.publisher.on_bus_up(&mut self.connections, &mut self.env);
            self.report_all_users();
        }
    }

    fn on_sent(&mut self, count: u32) {
        let was_full = self.publisher.bus_is_full(&self.env);
        self.env.outbox.on_sent(count);
        self.publisher.on_bus_sent(was_full, &mut self.connections, &mut self.env);
    }

    fn on_disconnected(&mut self, conn: ConnectionId, reason: String) {
        let refused = self.refused.take();
        let lost = match &refused {
            Some((text, blame)) => Lost { reason: text, blame: *blame },
            None => Lost { reason: &reason, blame: Blame::Unknown },
        };
        for index in 0..self.followers.len() {
            self.with_follower(SourceIndex::after(index), |follower, env| {
                follower.on_disconnected(env, &lost);
            });
        }
        self.env.addresses.on_disconnected();
        self.publisher.on_bus_down();
        if self.stopping {
            self.connections.upstream.link = Link::Closing(conn);
        }
        self.connections.upstream.on_disconnected(conn, reason, &mut self.env);
        self.their_users.on_disconnected(conn, &mut self.env);
        if self.env.config.transport.catches_up_in_band() {
            self.our_users.on_reports_void();
        }
    }

    fn on_fetched(&mut self, fetch: FetchId, outcome: FetchOutcome) {
        match self.env.queries.take(fetch) {
            Some(Requester::CatchUp(source)) => {
                self.with_follower(source, |follower, env| follower.on_fetched(env, outcome));
            }
            Some(Requester::Audit(source)) => {
                self.with_follower(source, |follower, env| follower.on_audit_fetched(env, outcome));
            }
            Some(Requester::Look(stream)) => {
                let asked = self.env.holes_of(stream).and_then(Holes::end_look);
                if let Some(question) = asked {
                    self.with_follower(question.source, |follower, env| {
                        follower.on_looked(env, question, outcome);
                    });
                }
            }
            Some(Requester::LookUp(source)) => {
                self.with_follower(source, |follower, env| {
                    follower.on_look_up_fetched(env, outcome);
                });
            }
            None => self.env.stats.fetches_stale += 1,
        }
    }

    fn on_send(&mut self, command: Command) {
        let name = command.name();
        let reason = if self.env.config.observe_only {
            NotSentReason::ObserveOnly
        } else if matches!(command, Command::Rdata(_) | Command::Position(_)) {
            NotSentReason::OnlyFromLog
        } else {
            let to_peers = self.send_to_peers(&command);
            match self.connections.upstream.will_not_send(&command) {
                None => {
                    self.connections.upstream.send(command, &mut self.env);
                    return;
                }
                Some(_) if to_peers => return,
                Some(reason) => reason,
            }
        };
        let command = name.to_owned();
        self.env.notify(Event::Warning(Warning::NotSent { command, reason }));
    }

    fn on_wait(&mut self, wait: WaitId, source: &Source, token: Token, deadline: Timestamp) {
        let outcome = match self.role_of(source.stream(), source.instance()) {
            Some(Role::Followed(index)) => {
                let follower = &self.followers[index.as_usize()];
                let position = follower.position();
                // A repetition that is due later is not brought forward: the source may never
                // appear.
                self.env.replicate_again |=
                    !follower.is_confirmed() && !self.env.timers.is_set(TimerKey::Replicate);
                match position {
                    Some(position) if position >= token => WaitOutcome::Reached { position },
                    _ if self.env.waits.len() >= self.env.config.limits.waits_max as usize
                        || self.stopping =>
                    {
                        WaitOutcome::Refused
                    }
                    position if deadline <= self.env.now => WaitOutcome::TimedOut { position },
                    _ => {
                        self.env.waits.insert(wait, index, token);
                        self.env.timers.set(TimerKey::Wait(wait), deadline);
                        return;
                    }
                }
            }
            Some(Role::Own | Role::Ignored) | None => WaitOutcome::Refused,
        };
        self.env.notify(Event::WaitEnded { wait, outcome });
    }

    /// Returns what is done with the rows of a source; `None` if it would be one too many. A source
    /// that is new and wanted is added, and only such a one counts against the limit.
    fn role_of(&mut self, stream: &str, instance: &str) -> Option<Role> {
        if let Some(role) = self.sources.find(stream, instance) {
            return Some(role);
        }
        if instance == self.env.config.instance {
            return Some(Role::Own);
        }
        if self.env.config.streams.as_ref().is_some_and(|wanted| !wanted.contains(stream)) {
            return Some(Role::Ignored);
        }
        self.add_source(Source::new(stream, instance))
    }

    #[cold]
    fn add_source(&mut self, source: Source) -> Option<Role> {
        let role = Role::Followed(SourceIndex::after(self.followers.len()));
        if !self.sources.insert(source.clone(), role) {
            if !self.source_limit_reported {
                self.source_limit_reported = true;
                self.env.notify(Event::Warning(Warning::TooManySources { source }));
            }
            return None;
        }
        let stream = self.stream_of(source.stream());
        let position = self.env.config.positions.get(&source);
        let traits = self.env.streams[stream.as_usize()].traits;
        let index = SourceIndex::after(self.followers.len());
        let mut follower = Follower::new(index, stream, source, traits, position, &self.env.config);
        follower.watch_holes(&mut self.env);
        self.followers.push(follower);
        self.env.unconfirmed += 1;
        self.env.stats.sources_now += 1;
        Some(role)
    }

    fn stream_of(&mut self, name: &str) -> StreamIndex {
        if let Some(index) = self.streams_by_name.get(name) {
            return *index;
        }
        let baseline = self.env.config.positions.highest(name);
        let traits = self.env.config.transport.traits_of(name);
        let mut stream = StreamState::new(traits, baseline);
        stream.holes = self.env.new_holes(traits);
        let index = StreamIndex::after(self.env.streams.len());
        self.env.streams.push(stream);
        if self.publisher.end_of(name).is_some() {
            self.env.on_written_here(index);
        }
        self.streams_by_name.insert(name.to_owned(), index);
        index
    }

    /// Applies `act` to the follower of a source, and accounts for the bytes that it keeps then.
    fn with_follower<R>(
        &mut self,
        source: SourceIndex,
        act: impl FnOnce(&mut Follower, &mut Env) -> R,
    ) -> R {
        let follower = &mut self.followers[source.as_usize()];
        let done = act(follower, &mut self.env);
        follower.account(&mut self.env.kept_bytes);
        done
    }
}
