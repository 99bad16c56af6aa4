//! The connection that we make: to a bus, one subscription behind which all other instances are
//! (`protocol.md` 1.3, 5.4), or to the main process over direct TCP (3.1).

use std::collections::BTreeSet;

use bytestring::ByteString;

use super::{
    outbox::Outbox,
    server::{Heard, Server, named_in, subscriptions},
};
use crate::{
    action::{Action, Channel},
    config::{Config, Transport},
    event::{Event, NotSentReason, Warning},
    ids::ConnectionId,
    planted::planted,
    shared::Shared,
    stream::Source,
    time::Timestamp,
    timer::TimerKey,
    wire::{Command, Replicate},
};

/// Where the connection stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Link {
    /// Waiting for the next attempt.
    Down,
    Connecting(ConnectionId),
    Up(Session),
    /// Closed by us, to be tried again: what was wrong.
    Refused(ConnectionId, &'static str),
    /// Closed by us, for good.
    Closing(ConnectionId),
    Stopped,
}

/// What is known of the present connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub(crate) conn: ConnectionId,
    /// Direct TCP: who is at the other end.
    server: Option<Server>,
    since: Timestamp,
    /// A command other than REPLICATE came: somebody else is on this channel.
    heard: bool,
    /// A POSITION was handled.
    positioned: bool,
    /// REPLICATEs sent.
    asked: u32,
    /// REPLICATEs sent since all known sources had answered.
    asked_in_vain: u32,
    duplicate_reported: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Upstream {
    pub(crate) link: Link,
    connections: u64,
    /// Attempts since a POSITION was handled.
    attempts: u32,
    /// Wanted streams that a server of the oldest dialect does not have.
    unknown: BTreeSet<String>,
}

impl Upstream {
    pub(crate) const fn new() -> Self {
        Self { link: Link::Down, connections: 0, attempts: 0, unknown: BTreeSet::new() }
    }

    /// The connection in use, if there is one.
    pub(crate) const fn up(&self) -> Option<ConnectionId> {
        match &self.link {
            Link::Up(session) => Some(session.conn),
            Link::Down
            | Link::Connecting(_)
            | Link::Refused(..)
            | Link::Closing(_)
            | Link::Stopped => None,
        }
    }

    /// Whether the connection is usable, or was until we closed it.
    pub(crate) fn is_or_was_up(&self, conn: ConnectionId) -> bool {
        match &self.link {
            Link::Up(session) => session.conn == conn,
            Link::Refused(open, _) | Link::Closing(open) => *open == conn,
            Link::Connecting(_) | Link::Down | Link::Stopped => false,
        }
    }

    pub(crate) fn connect(&mut self, shared: &mut Shared) {
        self.connections += 1;
        self.attempts = self.attempts.saturating_add(1);
        let conn = ConnectionId::new(self.connections);
        self.link = Link::Connecting(conn);
        shared.outbox = Outbox::new();
        shared.actions.push_back(Action::Connect { conn });
    }

    /// The connection is usable: say who we are, and ask everyone where they stand.
    pub(crate) fn on_connected(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        config: &Config,
        shared: &mut Shared,
    ) {
        shared.stats.connections += 1;
        shared.settling_until.get_or_insert(now + config.settling_for);
        shared.notify(Event::Connected { conn });
        let server = match config.transport {
            Transport::Tcp(dialect) => Some(Server::greet(now, conn, dialect, config, shared)),
            Transport::Bus | Transport::None => None,
        };
        shared.replays_on = server.as_ref().filter(|server| server.replays()).map(|_| conn);
        self.link = Link::Up(Session {
            conn,
            server,
            since: now,
            heard: false,
            positioned: false,
            asked: 0,
            asked_in_vain: 0,
            duplicate_reported: false,
        });
        shared.timers.set(TimerKey::NothingHeard, now + config.nothing_heard_after);
        self.ask(now, config, shared);
    }

    /// The connection is gone or was never made; tries again later.
    pub(crate) fn on_disconnected(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        reason: String,
        config: &Config,
        shared: &mut Shared,
    ) {
        shared.timers.clear(TimerKey::NothingHeard);
        shared.timers.clear(TimerKey::Replicate);
        shared.timers.clear(TimerKey::KeepAlive(conn));
        shared.replays_on = None;
        let reason = match &self.link {
            Link::Refused(_, told) => format!("{told}; {reason}"),
            Link::Up(_) | Link::Connecting(_) | Link::Closing(_) | Link::Down | Link::Stopped => {
                reason
            }
        };
        let stopping = matches!(self.link, Link::Closing(_));
        let gives_up =
            planted!(config, NeverReconnects if matches!(self.link, Link::Connecting(_)));
        let retry_at = if stopping {
            None
        } else {
            Some(now + shared.jitter.delay(config.reconnect, self.attempts))
        };
        shared.notify(Event::Disconnected { conn, reason, retry_at });
        if let Some(at) = retry_at {
            self.link = Link::Down;
            if !gives_up {
                shared.timers.set(TimerKey::Reconnect, at);
            }
        } else {
            self.link = Link::Stopped;
        }
    }

    /// Sends REPLICATE, and sets the time at which to see whether it was enough. A server of the
    /// oldest dialect is asked once: its answers come in order and whole, or not at all.
    fn ask(&mut self, now: Timestamp, config: &Config, shared: &mut Shared) {
        let Link::Up(session) = &mut self.link else { return };
        let is_silent = config.observe_only && !planted!(config, ObserverAsks);
        if is_silent || planted!(config, NeverAsksAgain if session.asked > 0) {
            return;
        }
        let conn = session.conn;
        if config.transport.replays() {
            if session.asked > 0 {
                return;
            }
            for command in subscriptions(config, &self.unknown) {
                shared.send(conn, command);
            }
        } else {
            shared.send(conn, Command::Replicate(Replicate::Everything));
        }
        if let Some(server) = &mut session.server {
            server.on_sent(now);
        }
        session.asked = session.asked.saturating_add(1);
        session.asked_in_vain = session.asked_in_vain.saturating_add(1);
        shared.stats.replicates += 1;
        let delay = shared.jitter.delay(config.replicate_retry, session.asked_in_vain);
        shared.timers.set(TimerKey::Replicate, now + delay);
    }

    /// A source lost its footing. Asks at once, or, if others have been asked for lately, after
    /// the shortest delay: theirs has grown while they did not answer, and this one will.
    pub(crate) fn ask_again(&mut self, now: Timestamp, config: &Config, shared: &mut Shared) {
        let Some(at) = shared.timers.at(TimerKey::Replicate) else {
            self.ask(now, config, shared);
            return;
        };
        let soon = now + shared.jitter.delay(config.replicate_retry, 1);
        if soon < at {
            shared.timers.set(TimerKey::Replicate, soon);
        }
    }

    /// Time to see whether everyone answered. `unanswered` is one source that did not.
    pub(crate) fn on_replicate_due(
        &mut self,
        now: Timestamp,
        unanswered: Option<Source>,
        config: &Config,
        shared: &mut Shared,
    ) {
        let Link::Up(session) = &mut self.link else { return };
        if unanswered.is_none() && session.positioned {
            session.asked_in_vain = 0;
            return;
        }
        if let Some(example) = unanswered {
            let (sources, asked) = (shared.unanswered, session.asked);
            shared.notify(Event::Warning(Warning::Unanswered { sources, example, asked }));
        }
        self.ask(now, config, shared);
    }

    pub(crate) fn on_nothing_heard_due(&self, now: Timestamp, shared: &mut Shared) {
        if let Link::Up(session) = &self.link
            && !session.heard
        {
            let after = now.saturating_since(session.since);
            shared.notify(Event::Warning(Warning::NothingHeard { after }));
        }
    }

    /// Notes that somebody speaks on this connection. Whether the command is for the node: the
    /// others only manage the connection, or are ignored.
    pub(crate) fn on_command(
        &mut self,
        now: Timestamp,
        command: &Command,
        config: &Config,
        shared: &mut Shared,
    ) -> bool {
        shared.heard += 1;
        let Link::Up(session) = &mut self.link else { return false };
        session.heard |= !matches!(command, Command::Replicate(_));
        if let Some(server) = &mut session.server {
            match server.on_command(now, session.conn, command, config, shared) {
                Heard::Passed => {}
                Heard::Done => {
                    if let Command::Error(text) = command {
                        self.on_error(text, config);
                    }
                    return false;
                }
                Heard::Refused(told) => {
                    self.refuse(told, config, shared);
                    return false;
                }
            }
        }
        if matches!(command, Command::Position(_)) {
            session.positioned = true;
            self.attempts = 0;
        }
        true
    }

    /// The server has none of a wanted stream: it is not asked for it again.
    fn on_error(&mut self, text: &str, config: &Config) {
        if config.transport.replays()
            && text.contains("unknown stream")
            && let Some((stream, ())) =
                named_in(text, config.streams.iter().flatten().map(|name| (name.as_str(), ())))
        {
            self.unknown.insert(stream.to_owned());
        }
    }

    /// Time to see whether the server lives.
    pub(crate) fn on_keep_alive_due(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        config: &Config,
        shared: &mut Shared,
    ) {
        let Link::Up(session) = &mut self.link else { return };
        if session.conn == conn
            && let Some(server) = &mut session.server
            && let Heard::Refused(told) = server.look(now, conn, config, shared)
        {
            self.refuse(told, config, shared);
        }
    }

    /// A line is too long to be read, and with it all that follows.
    pub(crate) fn on_line_too_long(&mut self, config: &Config, shared: &mut Shared) {
        self.refuse("Line length exceeded", config, shared);
    }

    /// A line of a server of the oldest dialect could not be read that may have been an answer.
    /// It says nothing twice, so another connection must.
    pub(crate) fn on_lost_answer(&mut self, config: &Config, shared: &mut Shared) {
        self.refuse("failed to parse line", config, shared);
    }

    /// Tells the server what is wrong, unless we only observe, and closes; connects again
    /// afterwards.
    fn refuse(&mut self, told: &'static str, config: &Config, shared: &mut Shared) {
        let Link::Up(Session { conn, .. }) = self.link else { return };
        self.link = Link::Refused(conn, told);
        shared.replays_on = None;
        if !config.observe_only {
            shared.send(conn, Command::Error(ByteString::from_static(told)));
        }
        shared.actions.push_back(Action::Close { conn });
    }

    /// Why a command of the application cannot be sent, if so.
    pub(crate) fn will_not_send(&self, command: &Command) -> Option<NotSentReason> {
        let Link::Up(session) = &self.link else { return Some(NotSentReason::Disconnected) };
        let refused = session.server.as_ref().is_some_and(|server| !server.takes(command));
        refused.then_some(NotSentReason::NotForClients)
    }

    /// Sends on the connection in use; the number of the command on it. `None` if there is none.
    pub(crate) fn send(
        &mut self,
        now: Timestamp,
        command: Command,
        shared: &mut Shared,
    ) -> Option<u64> {
        self.send_on(now, Channel::Main, command, shared)
    }

    /// The same on a channel of a bus.
    pub(crate) fn send_on(
        &mut self,
        now: Timestamp,
        channel: Channel,
        command: Command,
        shared: &mut Shared,
    ) -> Option<u64> {
        let Link::Up(session) = &mut self.link else { return None };
        if let Some(server) = &mut session.server {
            server.on_sent(now);
        }
        Some(shared.send_on(session.conn, channel, command))
    }

    /// Somebody else uses our name. Said once a connection.
    pub(crate) fn on_duplicate_instance(&mut self, config: &Config, shared: &mut Shared) {
        if let Link::Up(session) = &mut self.link
            && !session.duplicate_reported
        {
            session.duplicate_reported = true;
            let instance = config.instance.clone();
            shared.notify(Event::Warning(Warning::DuplicateInstance { instance }));
        }
    }

    /// Closes for good.
    pub(crate) fn shut_down(&mut self, shared: &mut Shared) {
        match self.link {
            Link::Up(Session { conn, .. }) | Link::Connecting(conn) => {
                self.link = Link::Closing(conn);
                shared.actions.push_back(Action::Close { conn });
            }
            Link::Refused(conn, _) => self.link = Link::Closing(conn),
            Link::Down => self.link = Link::Stopped,
            Link::Closing(_) | Link::Stopped => {}
        }
    }
}
