//! All accepted connections: which commands each of them gets, and when one is cut off.
//!
//! What enters: commands to send, what peers send, and what has gone out. What leaves: `Send` and
//! `Broadcast`, and an ERROR for a peer that breaks the protocol or takes its commands too slowly;
//! the others do not notice (P5).

use std::{collections::BTreeMap, sync::Arc};

use bytestring::ByteString;

use super::{
    direction,
    keep_alive::Due,
    peer::{Peer, PeerReading, Subscription},
    untaken::size_of_line,
};
use crate::{
    action::{Action, Audience},
    config::{Channel, Config},
    env::Env,
    event::{Event, Warning},
    ids::{ConnectionId, OwnIndex},
    timer::TimerKey,
    wire::{Command, Dialect},
};

/// The accepted connections, in order of their acceptance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Peers {
    list: Vec<Peer>,
    /// The id of the connection that was accepted last; ids rise.
    newest: Option<ConnectionId>,
    /// The audience of [`To::Named`]; rebuilt when a peer has come, left or been cut off.
    named: Option<Arc<Audience>>,
    /// The audience of [`To::Subscribers`], by stream; rebuilt when a subscription has changed,
    /// too.
    subscribers: Vec<Option<Arc<Audience>>>,
    /// The number of open connections whose dialect names instances: they take every stream.
    takers_of_all: usize,
    /// The number of other open connections that take a stream as it is published, by stream.
    takers: BTreeMap<OwnIndex, usize>,
}

/// The peers that a broadcast is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum To {
    /// All whose dialect names instances. The others get a position only at the end of a catch-up.
    Named,
    /// All that take rows of this stream.
    Subscribers(OwnIndex),
    /// All but the one that it came from, as far as their dialect has the command.
    Relay { origin: Option<ConnectionId> },
}

/// Returns whether a command that is not about rows or the connection itself may go to peers of
/// `dialect`.
fn is_relayed(command: &Command, dialect: Dialect) -> bool {
    let free = match command {
        Command::RemoteServerUp(_) => dialect != Dialect::V0_22,
        Command::Sync(_) | Command::LockReleased(_) => true,
        Command::Server(_)
        | Command::Name(_)
        | Command::Ping(_)
        | Command::Error(_)
        | Command::Replicate(_)
        | Command::Rdata(_)
        | Command::Position(_)
        | Command::UserSync(_)
        | Command::ClearUserSync(_)
        | Command::FederationAck(_)
        | Command::RemovePusher(_)
        | Command::InvalidateCache(_)
        | Command::UserIp(_)
        | Command::NewActiveTask(_)
        | Command::CancelTask(_) => false,
    };
    free && direction::server_may_send(command, dialect)
}

impl Peers {
    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns whether a new peer may have this id.
    pub(crate) fn may_accept(&self, conn: ConnectionId) -> bool {
        conn.is_accepted() && self.newest.is_none_or(|newest| newest < conn)
    }

    fn index(&self, conn: ConnectionId) -> Option<usize> {
        self.list.binary_search_by_key(&conn, |peer| peer.conn).ok()
    }

    pub(crate) fn get(&self, conn: ConnectionId) -> Option<&Peer> {
        self.index(conn).map(|index| &self.list[index])
    }

    /// Returns the peer, unless we have closed its connection.
    pub(crate) fn open(&mut self, conn: ConnectionId) -> Option<&mut Peer> {
        self.index(conn).map(|index| &mut self.list[index]).filter(|peer| peer.open)
    }

    /// Returns whether at least this many commands sent on the connection have not been reported as
    /// gone out.
    pub(crate) fn has_untaken(&self, conn: ConnectionId, count: u32) -> bool {
        self.get(conn).is_some_and(|peer| peer.untaken.len() >= count as usize)
    }

    /// Returns the open connections of the oldest dialect, on which streams are subscribed to one
    /// by one.
    pub(crate) fn oldest_dialect(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        let oldest = |peer: &&Peer| peer.open && peer.dialect.catches_up_in_band();
        self.list.iter().filter(oldest).map(|peer| peer.conn)
    }

    /// Returns whether a peer takes rows of the stream. Peers that do not take any cost nothing
    /// here (C4).
    pub(crate) fn has_subscriber(&self, stream: OwnIndex) -> bool {
        self.takers_of_all > 0 || self.takers.contains_key(&stream)
    }

    /// Returns whether a log may be read on for one of the peers that take rows of the stream. The
    /// others are not waited for.
    pub(crate) fn has_room(&mut self, stream: OwnIndex, config: &Config) -> bool {
        let takers = self.subscribers_of(stream);
        takers.connections().iter().any(|conn| self.get(*conn).is_some_and(|p| p.has_room(config)))
    }

    fn push(&mut self, peer: Peer) {
        self.takers_of_all += usize::from(peer.dialect.names_instances());
        self.list.push(peer);
    }

    /// Counts out a peer that takes nothing any more.
    fn count_out(&mut self, peer_index: usize) {
        let peer = &mut self.list[peer_index];
        self.takers_of_all -= usize::from(peer.dialect.names_instances());
        for (stream, subscription) in std::mem::take(&mut peer.subscriptions) {
            if subscription == Subscription::Live {
                Self::count_out_of(&mut self.takers, stream);
            }
        }
    }

    fn count_out_of(takers: &mut BTreeMap<OwnIndex, usize>, stream: OwnIndex) {
        if let Some(count) = takers.get_mut(&stream) {
            *count -= 1;
            if *count == 0 {
                takers.remove(&stream);
            }
        }
    }

    /// Marks the audience lists stale: a peer came, left, or changed its subscription.
    fn changed(&mut self) {
        self.named = None;
        self.subscribers.clear();
    }

    /// Handles a new connection of a peer: greets it (`protocol.md` 3.1), or refuses it.
    pub(crate) fn accept(&mut self, conn: ConnectionId, dialect: Dialect, env: &mut Env) {
        let open = self.list.iter().filter(|peer| peer.open).count();
        self.newest = Some(conn);
        self.push(Peer::new(conn, dialect, env.now));
        self.changed();
        env.stats.peers_now += 1;
        env.notify(Event::PeerConnected { conn, dialect });
        if open >= env.config.publish.peers_max as usize {
            self.send_error_and_close(conn, ByteString::from_static("Too many connections"), env);
            env.notify(Event::Warning(Warning::TooManyPeers { conn }));
            return;
        }
        let Some(name) = env.config.server_name.clone() else {
            self.refuse(conn, "No server name is configured here".to_owned(), env);
            return;
        };
        self.send(conn, Command::Server(name), env);
        self.ping(conn, env);
        env.timers.set(TimerKey::KeepAlive(conn), env.now + env.config.connection.ping_every);
    }

    fn ping(&mut self, conn: ConnectionId, env: &mut Env) {
        let ms = env.now.as_micros() / 1_000;
        self.send(conn, Command::Ping(ByteString::from(ms.to_string())), env);
    }

    /// Removes a peer whose connection is gone.
    pub(crate) fn remove(&mut self, conn: ConnectionId, env: &mut Env) -> Option<Peer> {
        let index = self.index(conn)?;
        if self.list[index].open {
            self.count_out(index);
        }
        let peer = self.list.remove(index);
        self.changed();
        env.timers.clear(TimerKey::KeepAlive(conn));
        env.stats.peers_now -= 1;
        Some(peer)
    }

    /// Notes a sign of life. Returns whether the peer may send this command at all; if not, it is
    /// cut off.
    pub(crate) fn may_send(
        &mut self,
        conn: ConnectionId,
        command: &Command,
        env: &mut Env,
    ) -> bool {
        let Some(peer) = self.open(conn) else { return false };
        if !direction::client_may_send(command, peer.dialect) {
            self.refuse(conn, format!("invalid command: {}", command.name()), env);
            return false;
        }
        peer.keep_alive.on_received(env.now, matches!(command, Command::Ping(_)));
        true
    }

    /// Sends to one peer; returns false if its connection is closed, or is being closed because the
    /// peer takes its commands too slowly.
    pub(crate) fn send(&mut self, conn: ConnectionId, command: Command, env: &mut Env) -> bool {
        let size = size_of_line(&command);
        let Some(peer) = self.open(conn) else { return false };
        if peer.untaken.would_overflow(size, &env.config) {
            self.cut_off_slow(conn, env);
            return false;
        }
        peer.untaken.push(size);
        peer.keep_alive.on_sent(env.now);
        env.act(Action::Send { conn, channel: Channel::Main, command });
        true
    }

    /// Sends to many. A peer that has left too much untaken is cut off instead; the others do not
    /// notice. Returns false if there is no peer to send to.
    pub(crate) fn broadcast(&mut self, to: To, command: Command, env: &mut Env) -> bool {
        let size = size_of_line(&command);
        let mut audience = self.audience(to, &command);
        let mut slow = Vec::new();
        let mut place = 0;
        for conn in audience.connections() {
            // Both lists are in order, and mostly the next of one is the next of the other.
            if self.list.get(place).is_none_or(|peer| peer.conn != *conn) {
                place += self.list[place..].partition_point(|peer| peer.conn < *conn);
            }
            let Some(peer) = self.list.get_mut(place) else { break };
            place += 1;
            if peer.untaken.would_overflow(size, &env.config) {
                slow.push(peer.conn);
            } else {
                peer.untaken.push(size);
                peer.keep_alive.on_sent(env.now);
            }
        }
        if !slow.is_empty() {
            for conn in slow {
                self.cut_off_slow(conn, env);
            }
            audience = self.audience(to, &command);
        }
        if audience.connections().is_empty() {
            return false;
        }
        let command = Box::new(command);
        env.act(Action::Broadcast { audience, command });
        true
    }

    fn audience(&mut self, to: To, command: &Command) -> Arc<Audience> {
        let list = &self.list;
        let those = |includes: &dyn Fn(&Peer) -> bool| {
            let included = list.iter().filter(|peer| includes(peer));
            Arc::new(included.map(|peer| peer.conn).collect())
        };
        match to {
            To::Named => {
                let is_named = |peer: &Peer| peer.open && peer.dialect.names_instances();
                self.named.get_or_insert_with(|| those(&is_named)).clone()
            }
            To::Subscribers(stream) => self.subscribers_of(stream),
            To::Relay { origin } => those(&|peer| {
                peer.open && origin != Some(peer.conn) && is_relayed(command, peer.dialect)
            }),
        }
    }

    /// Returns the peers that take rows of the stream.
    fn subscribers_of(&mut self, stream: OwnIndex) -> Arc<Audience> {
        let index = stream.as_usize();
        if self.subscribers.len() <= index {
            self.subscribers.resize(index + 1, None);
        }
        let list = &self.list;
        let takers = || list.iter().filter(|peer| peer.takes(stream)).map(|peer| peer.conn);
        self.subscribers[index].get_or_insert_with(|| Arc::new(takers().collect())).clone()
    }

    /// Notes how far the peer has come with this stream.
    pub(crate) fn subscribe(
        &mut self,
        conn: ConnectionId,
        stream: OwnIndex,
        subscription: Subscription,
    ) {
        let Some(peer) = self.open(conn) else { return };
        let was_live = peer.subscriptions.insert(stream, subscription) == Some(Subscription::Live);
        let is_live = subscription == Subscription::Live;
        if is_live && !was_live {
            *self.takers.entry(stream).or_default() += 1;
        } else if was_live && !is_live {
            Self::count_out_of(&mut self.takers, stream);
        }
        if was_live != is_live {
            self.changed();
        }
    }

    /// Notes that commands have gone out to the peer. Returns true if that makes room for which
    /// reads of a log were waiting.
    pub(crate) fn on_sent(&mut self, conn: ConnectionId, count: u32, config: &Config) -> bool {
        let Some(index) = self.index(conn) else { return false };
        let peer = &mut self.list[index];
        let was_half_full = peer.untaken.is_half_full(config);
        peer.untaken.take(count);
        peer.stands_still = false;
        was_half_full && peer.has_room(config)
    }

    /// Handles the time for a look: sends a PING, or gives up a peer that is dead or takes nothing.
    /// One that takes nothing is seen so at two looks, as what it was sent may have been sent just
    /// before one.
    pub(crate) fn on_keep_alive_due(&mut self, conn: ConnectionId, env: &mut Env) {
        let Some(peer) = self.open(conn) else { return };
        let stalled = peer.stands_still;
        peer.stands_still = peer.untaken.is_half_full(&env.config);
        match peer.keep_alive.look(env.now, &env.config) {
            Due::TimedOut => {
                self.refuse(conn, "ping timeout".to_owned(), env);
                return;
            }
            // Reads for it have stopped, so it would never reach the limit.
            _ if stalled => {
                self.cut_off_slow(conn, env);
                return;
            }
            Due::Ping => self.ping(conn, env),
            Due::Nothing => {}
        }
        env.timers.set(TimerKey::KeepAlive(conn), env.now + env.config.connection.ping_every);
    }

    fn cut_off_slow(&mut self, conn: ConnectionId, env: &mut Env) {
        let Some(peer) = self.open(conn) else { return };
        let pending = u32::try_from(peer.untaken.len()).unwrap_or(u32::MAX);
        self.send_error_and_close(conn, ByteString::from_static("Failed to keep up"), env);
        env.notify(Event::Warning(Warning::PeerTooSlow { conn, pending }));
    }

    /// Cuts off a peer that broke the protocol, with an ERROR whose text is `told`.
    pub(crate) fn refuse(&mut self, conn: ConnectionId, told: String, env: &mut Env) {
        if self.open(conn).is_none() {
            return;
        }
        self.send_error_and_close(conn, ByteString::from(told.as_str()), env);
        env.notify(Event::Warning(Warning::PeerRefused { conn, told }));
    }

    fn send_error_and_close(&mut self, conn: ConnectionId, text: ByteString, env: &mut Env) {
        let Some(peer) = self.open(conn) else { return };
        let command = Command::Error(text);
        // The ERROR is sent however full the queue is.
        peer.untaken.push(size_of_line(&command));
        env.act(Action::Send { conn, channel: Channel::Main, command });
        env.stats.peers_cut_off += 1;
        self.close(conn, env);
    }

    /// Closes the connection; what still arrives on it is ignored.
    pub(crate) fn close(&mut self, conn: ConnectionId, env: &mut Env) {
        let Some(index) = self.index(conn).filter(|index| self.list[*index].open) else { return };
        self.count_out(index);
        let peer = &mut self.list[index];
        peer.open = false;
        peer.reading = PeerReading::Idle;
        self.changed();
        env.timers.clear(TimerKey::KeepAlive(conn));
        env.act(Action::Close { conn });
    }

    /// Closes all connections, in the oldest dialect with an ERROR that says why (`protocol.md`
    /// 3.4).
    pub(crate) fn close_all(&mut self, env: &mut Env) {
        let all: Vec<_> = self.list.iter().map(|peer| (peer.conn, peer.dialect)).collect();
        for (conn, dialect) in all {
            if dialect.says_that_it_stops() {
                let text = ByteString::from_static("server shutting down");
                self.send(conn, Command::Error(text), env);
            }
            self.close(conn, env);
        }
    }

    /// Handles a connection that is accepted while the node is stopping: it is closed at once.
    pub(crate) fn refuse_while_stopping(
        &mut self,
        conn: ConnectionId,
        dialect: Dialect,
        env: &mut Env,
    ) {
        self.newest = Some(conn);
        self.push(Peer { announced: false, ..Peer::new(conn, dialect, env.now) });
        env.stats.peers_now += 1;
        self.close(conn, env);
    }
}
