//! The connection that we make: to a bus, one subscription behind which all other instances are
//! (`protocol.md` 1.3, 5.4), or to the main process over direct TCP (3.1).

use std::collections::BTreeSet;

use bytestring::ByteString;

use super::server::{Heard, Server};
use crate::{
    action::Action,
    config::{Channel, Transport},
    env::Env,
    event::{Event, NotSentReason, Warning},
    ids::ConnectionId,
    inband,
    planted::planted,
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

    pub(crate) fn connect(&mut self, env: &mut Env) {
        self.connections += 1;
        self.attempts = self.attempts.saturating_add(1);
        let conn = ConnectionId::new(self.connections);
        self.link = Link::Connecting(conn);
        env.empty_outbox();
        env.act(Action::Connect { conn });
    }

    /// The connection is usable: say who we are, and ask everyone where they stand.
    pub(crate) fn on_connected(&mut self, conn: ConnectionId, env: &mut Env) {
        env.stats.connections += 1;
        env.settling_until.get_or_insert(env.now + env.config.connection.settling_for);
        env.notify(Event::Connected { conn });
        let server = match env.config.transport {
            Transport::Tcp(dialect) => Some(Server::greet(conn, dialect, env)),
            Transport::Bus | Transport::None => None,
        };
        env.in_band_on = server.as_ref().filter(|server| server.catches_up_in_band()).map(|_| conn);
        self.link = Link::Up(Session {
            conn,
            server,
            since: env.now,
            heard: false,
            positioned: false,
            asked: 0,
            asked_in_vain: 0,
            duplicate_reported: false,
        });
        env.timers.set(TimerKey::NothingHeard, env.now + env.config.connection.nothing_heard_after);
        self.replicate(env);
    }

    /// The connection is gone or was never made; tries again later.
    pub(crate) fn on_disconnected(&mut self, conn: ConnectionId, reason: String, env: &mut Env) {
        env.timers.clear(TimerKey::NothingHeard);
        env.timers.clear(TimerKey::Replicate);
        env.timers.clear(TimerKey::KeepAlive(conn));
        env.in_band_on = None;
        let reason = match &self.link {
            Link::Refused(_, told) => format!("{told}; {reason}"),
            Link::Up(_) | Link::Connecting(_) | Link::Closing(_) | Link::Down | Link::Stopped => {
                reason
            }
        };
        let stopping = matches!(self.link, Link::Closing(_));
        let gives_up =
            planted!(env.config, NeverReconnects if matches!(self.link, Link::Connecting(_)));
        let retry_at = if stopping {
            None
        } else {
            Some(env.now + env.jitter.delay(env.config.connection.reconnect, self.attempts))
        };
        env.notify(Event::Disconnected { conn, reason, retry_at });
        if let Some(at) = retry_at {
            self.link = Link::Down;
            if !gives_up {
                env.timers.set(TimerKey::Reconnect, at);
            }
        } else {
            self.link = Link::Stopped;
        }
    }

    /// Sends REPLICATE, and sets the time at which to see whether it was enough. A server of the
    /// oldest dialect is asked once: its answers come in order and whole, or not at all.
    fn replicate(&mut self, env: &mut Env) {
        let Link::Up(session) = &mut self.link else { return };
        let is_silent = env.config.observe_only && !planted!(env.config, ObserverAsks);
        if is_silent || planted!(env.config, NeverAsksAgain if session.asked > 0) {
            return;
        }
        let conn = session.conn;
        if env.config.transport.catches_up_in_band() {
            if session.asked > 0 {
                return;
            }
            for command in inband::subscriptions(&env.config, &self.unknown).collect::<Vec<_>>() {
                env.send(conn, command);
            }
        } else {
            env.send(conn, Command::Replicate(Replicate::Everything));
        }
        if let Some(server) = &mut session.server {
            server.on_sent(env.now);
        }
        session.asked = session.asked.saturating_add(1);
        session.asked_in_vain = session.asked_in_vain.saturating_add(1);
        env.stats.replicates += 1;
        let delay = env.jitter.delay(env.config.connection.replicate_retry, session.asked_in_vain);
        env.timers.set(TimerKey::Replicate, env.now + delay);
    }

    /// A source lost its footing. Asks at once, or, if others have been asked for lately, after
    /// the shortest delay: theirs has grown while they did not answer, and this one will.
    pub(crate) fn replicate_again(&mut self, env: &mut Env) {
        let Some(at) = env.timers.at(TimerKey::Replicate) else {
            self.replicate(env);
            return;
        };
        let soon = env.now + env.jitter.delay(env.config.connection.replicate_retry, 1);
        if soon < at {
            env.timers.set(TimerKey::Replicate, soon);
        }
    }

    /// Time to see whether everyone answered. `unanswered` is one source that did not.
    pub(crate) fn on_replicate_due(&mut self, unanswered: Option<Source>, env: &mut Env) {
        let Link::Up(session) = &mut self.link else { return };
        if unanswered.is_none() && session.positioned {
            session.asked_in_vain = 0;
            return;
        }
        if let Some(example) = unanswered {
            let (sources, asked) = (env.unconfirmed, session.asked);
            env.notify(Event::Warning(Warning::Unanswered { sources, example, asked }));
        }
        self.replicate(env);
    }

    pub(crate) fn on_nothing_heard_due(&self, env: &mut Env) {
        if let Link::Up(session) = &self.link
            && !session.heard
        {
            let after = env.now.saturating_since(session.since);
            env.notify(Event::Warning(Warning::NothingHeard { after }));
        }
    }

    /// Notes that somebody speaks on this connection. Whether the command is for the node: the
    /// others only manage the connection, or are ignored.
    pub(crate) fn on_command(&mut self, command: &Command, env: &mut Env) -> bool {
        env.commands_received += 1;
        let Link::Up(session) = &mut self.link else { return false };
        session.heard |= !matches!(command, Command::Replicate(_));
        if let Some(server) = &mut session.server {
            match server.on_command(session.conn, command, env) {
                Heard::Passed => {}
                Heard::Done => {
                    if let Command::Error(text) = command {
                        self.on_error(text, env);
                    }
                    return false;
                }
                Heard::Refused(told) => {
                    self.refuse(told, env);
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
    fn on_error(&mut self, text: &str, env: &Env) {
        if env.config.transport.catches_up_in_band()
            && inband::says_unknown_stream(text)
            && let Some((stream, ())) = inband::named_in(
                text,
                env.config.streams.iter().flatten().map(|name| (name.as_str(), ())),
            )
        {
            self.unknown.insert(stream.to_owned());
        }
    }

    /// Time to see whether the server lives.
    pub(crate) fn on_keep_alive_due(&mut self, conn: ConnectionId, env: &mut Env) {
        let Link::Up(session) = &mut self.link else { return };
        if session.conn == conn
            && let Some(server) = &mut session.server
            && let Heard::Refused(told) = server.look(conn, env)
        {
            self.refuse(told, env);
        }
    }

    /// A line is too long to be read, and with it all that follows.
    pub(crate) fn on_line_too_long(&mut self, env: &mut Env) {
        self.refuse("Line length exceeded", env);
    }

    /// A line of a server of the oldest dialect could not be read that may have been an answer.
    /// It says nothing twice, so another connection must.
    pub(crate) fn on_lost_answer(&mut self, env: &mut Env) {
        self.refuse("failed to parse line", env);
    }

    /// Tells the server what is wrong, unless we only observe, and closes; connects again
    /// afterwards.
    fn refuse(&mut self, told: &'static str, env: &mut Env) {
        let Link::Up(Session { conn, .. }) = self.link else { return };
        self.link = Link::Refused(conn, told);
        env.in_band_on = None;
        if !env.config.observe_only {
            env.send(conn, Command::Error(ByteString::from_static(told)));
        }
        env.act(Action::Close { conn });
    }

    /// Why a command of the application cannot be sent, if so.
    pub(crate) fn will_not_send(&self, command: &Command) -> Option<NotSentReason> {
        let Link::Up(session) = &self.link else { return Some(NotSentReason::Disconnected) };
        let refused = session.server.as_ref().is_some_and(|server| !server.takes(command));
        refused.then_some(NotSentReason::NotForClients)
    }

    /// Sends on the connection in use; the number of the command on it. `None` if there is none.
    pub(crate) fn send(&mut self, command: Command, env: &mut Env) -> Option<u64> {
        self.send_on(Channel::Main, command, env)
    }

    /// The same on a channel of a bus.
    pub(crate) fn send_on(
        &mut self,
        channel: Channel,
        command: Command,
        env: &mut Env,
    ) -> Option<u64> {
        let Link::Up(session) = &mut self.link else { return None };
        if let Some(server) = &mut session.server {
            server.on_sent(env.now);
        }
        Some(env.send_on(session.conn, channel, command))
    }

    /// Somebody else uses our name. Said once a connection.
    pub(crate) fn on_duplicate_instance(&mut self, env: &mut Env) {
        if let Link::Up(session) = &mut self.link
            && !session.duplicate_reported
        {
            session.duplicate_reported = true;
            let instance = env.config.instance.clone();
            env.notify(Event::Warning(Warning::DuplicateInstance { instance }));
        }
    }

    /// Closes for good.
    pub(crate) fn shut_down(&mut self, env: &mut Env) {
        match self.link {
            Link::Up(Session { conn, .. }) | Link::Connecting(conn) => {
                self.link = Link::Closing(conn);
                env.act(Action::Close { conn });
            }
            Link::Refused(conn, _) => self.link = Link::Closing(conn),
            Link::Down => self.link = Link::Stopped,
            Link::Closing(_) | Link::Stopped => {}
        }
    }
}
