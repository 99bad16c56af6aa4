//! The connection that we make: to a bus, one subscription behind which all other instances are
//! (`protocol.md` 1.3, 5.4), or to the main process over direct TCP (3.1).
//!
//! What enters: the driver's reports on the connection, received commands, and timers. What leaves:
//! `Connect` and `Close`, REPLICATE until every source has announced its position, and commands of
//! others to send. Keeps F7: a connection that is lost is made again.

use std::{collections::BTreeSet, time::Duration};

use bytestring::ByteString;

use super::server::{Server, Verdict};
use crate::{
    action::Action,
    config::{Channel, Config, Transport},
    env::Env,
    event::{Event, NotSentReason, Warning},
    ids::ConnectionId,
    inband,
    retry::Backoff,
    stream::Source,
    time::Timestamp,
    timer::TimerKey,
    wire::{Command, Replicate},
};

/// The state of the connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Link {
    /// There is no connection; a timer ends the wait for the next attempt.
    Down,
    /// A connection was requested.
    Connecting(ConnectionId),
    /// The connection is usable.
    Up(Session),
    /// Closed by us, to be made again, with the text of the ERROR that says what was wrong.
    Refused(ConnectionId, &'static str),
    /// Closed by us, for good.
    Closing(ConnectionId),
    /// There is no connection, and none will be made.
    Stopped,
}

/// The state of the present connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub(crate) conn: ConnectionId,
    /// The server at the other end; direct TCP only.
    server: Option<Server>,
    since: Timestamp,
    /// Whether a command of another instance was received, other than REPLICATE.
    heard_others: bool,
    /// Whether the application had a command sent that does not name its sender.
    sent_nameless: bool,
    /// Whether another instance has announced a position.
    others_announced: bool,
    /// The number of REPLICATEs sent.
    replicates_sent: u32,
    /// The number of REPLICATEs sent since all known sources had announced their positions.
    replicates_unanswered: u32,
    /// Whether the application was warned that another instance has our name.
    duplicate_reported: bool,
}

/// The sources that have not announced their positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Silent {
    /// One of them.
    pub(crate) example: Source,
    /// Whether the writer of one is there all the same.
    pub(crate) is_there: bool,
}

/// The connection that we make, over all attempts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Upstream {
    pub(crate) link: Link,
    connections: u64,
    /// The number of attempts since a POSITION was received.
    attempts: u32,
    /// The wanted streams that a server of the oldest dialect does not have.
    unknown: BTreeSet<String>,
}

impl Upstream {
    pub(crate) const fn new() -> Self {
        Self { link: Link::Down, connections: 0, attempts: 0, unknown: BTreeSet::new() }
    }

    /// Returns the connection in use, if there is one.
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

    /// Returns whether the connection is usable, or was until we closed it.
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

    /// Handles a connection that has become usable: sends our name, and requests all positions.
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
            heard_others: false,
            sent_nameless: false,
            others_announced: false,
            replicates_sent: 0,
            replicates_unanswered: 0,
            duplicate_reported: false,
        });
        env.timers.set(TimerKey::NothingHeard, env.now + env.config.connection.nothing_heard_after);
        self.replicate(env, env.config.connection.replicate_retry.max);
    }

    /// Handles the end of the connection, or the failure to make it: sets the time of the next
    /// attempt.
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
        let retry_at = if stopping {
            None
        } else {
            Some(env.now + env.jitter.delay(env.config.connection.reconnect, self.attempts))
        };
        env.notify(Event::Disconnected { conn, reason, retry_at });
        if let Some(at) = retry_at {
            self.link = Link::Down;
            env.timers.set(TimerKey::Reconnect, at);
        } else {
            self.link = Link::Stopped;
        }
    }

    /// Sends REPLICATE, and sets the time at which to see whether it was enough. An observer sends
    /// none. A server of the oldest dialect gets one round only: its answers come in order and
    /// whole, or not at all. The next look is at most `longest` away.
    fn replicate(&mut self, env: &mut Env, longest: Duration) {
        let Link::Up(session) = &mut self.link else { return };
        if env.config.observe_only {
            return;
        }
        let conn = session.conn;
        if env.config.transport.catches_up_in_band() {
            if session.replicates_sent > 0 {
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
        session.replicates_sent = session.replicates_sent.saturating_add(1);
        session.replicates_unanswered = session.replicates_unanswered.saturating_add(1);
        env.stats.replicates += 1;
        let backoff = Backoff::new(env.config.connection.replicate_retry.first, longest);
        let delay = env.jitter.delay(backoff, session.replicates_unanswered);
        env.timers.set(TimerKey::Replicate, env.now + delay);
    }

    /// Requests positions again because that of a source is in doubt: at once, or, if they were
    /// requested lately, after the shortest delay. The delay of that request has grown as other
    /// writers did not answer, but the writer of this source will.
    pub(crate) fn replicate_again(&mut self, env: &mut Env) {
        let Some(at) = env.timers.at(TimerKey::Replicate) else {
            self.replicate(env, env.config.connection.replicate_retry.max);
            return;
        };
        let soon = env.now + env.jitter.delay(env.config.connection.replicate_retry, 1);
        if soon < at {
            env.timers.set(TimerKey::Replicate, soon);
        }
    }

    /// Handles the time at which to see whether every source has announced its position.
    /// REPLICATE is repeated if there are silent ones, or if no other instance has announced
    /// anything: our own announcement, which a bus brings back, is no answer. Every instance answers
    /// it, so it is repeated less and less where all that are silent may be gone.
    pub(crate) fn on_replicate_due(&mut self, silent: Option<Silent>, env: &mut Env) {
        let Link::Up(session) = &mut self.link else { return };
        let settings = &env.config.connection;
        let longest = match &silent {
            None if session.others_announced => {
                session.replicates_unanswered = 0;
                return;
            }
            Some(Silent { is_there: false, .. }) if session.others_announced => {
                settings.replicate_absent_max
            }
            None | Some(_) => settings.replicate_retry.max,
        };
        if let Some(Silent { example, .. }) = silent {
            let (sources, asked) = (env.unconfirmed, session.replicates_sent);
            env.notify(Event::Warning(Warning::Unanswered { sources, example, asked }));
        }
        self.replicate(env, longest);
    }

    /// Returns the number of REPLICATEs sent on the present connection.
    pub(crate) const fn replicates_sent(&self) -> u32 {
        match &self.link {
            Link::Up(session) => session.replicates_sent,
            Link::Down
            | Link::Connecting(_)
            | Link::Refused(..)
            | Link::Closing(_)
            | Link::Stopped => 0,
        }
    }

    pub(crate) fn on_silence_due(&self, env: &mut Env) {
        if let Link::Up(session) = &self.link
            && !session.heard_others
        {
            let after = env.now.saturating_since(session.since);
            env.notify(Event::Warning(Warning::NothingHeard { after }));
        }
    }

    /// Takes note of a command that was received. Returns whether it is for the node: the others
    /// only manage the connection, or are ignored.
    pub(crate) fn on_command(&mut self, command: &Command, env: &mut Env) -> bool {
        env.commands_received += 1;
        let Link::Up(session) = &mut self.link else { return false };
        if !session.heard_others {
            session.heard_others = is_of_another(command, session.sent_nameless, &env.config);
        }
        if let Some(server) = &mut session.server {
            match server.on_command(session.conn, command, env) {
                Verdict::ForNode => {}
                Verdict::Done => {
                    if let Command::Error(text) = command {
                        self.on_error(text, env);
                    }
                    return false;
                }
                Verdict::Refused(told) => {
                    self.refuse(told, env);
                    return false;
                }
            }
        }
        if let Command::Position(position) = command {
            session.others_announced |= *position.instance != *env.config.instance;
            self.attempts = 0;
        }
        true
    }

    /// Handles an ERROR: a wanted stream that the server does not have is not requested again.
    fn on_error(&mut self, text: &str, env: &Env) {
        if env.config.transport.catches_up_in_band()
            && inband::names_unknown_stream(text)
            && let Some((stream, ())) = inband::named_in(
                text,
                env.config.streams.iter().flatten().map(|name| (name.as_str(), ())),
            )
        {
            self.unknown.insert(stream.to_owned());
        }
    }

    /// Handles the time at which to see whether the server is alive.
    pub(crate) fn on_keep_alive_due(&mut self, conn: ConnectionId, env: &mut Env) {
        let Link::Up(session) = &mut self.link else { return };
        if session.conn == conn
            && let Some(server) = &mut session.server
            && let Verdict::Refused(told) = server.look(conn, env)
        {
            self.refuse(told, env);
        }
    }

    /// Handles a line that is too long to be read: nothing behind it can be read either.
    pub(crate) fn on_line_too_long(&mut self, env: &mut Env) {
        self.refuse("Line length exceeded", env);
    }

    /// Handles a line of a server of the oldest dialect that could not be read, and may have been
    /// an answer. The server repeats nothing, so it takes a new connection to get the answer.
    pub(crate) fn on_unreadable_answer(&mut self, env: &mut Env) {
        self.refuse("failed to parse line", env);
    }

    /// Sends the server an ERROR that says what is wrong, unless we only observe, and closes; a new
    /// connection is made afterwards.
    fn refuse(&mut self, told: &'static str, env: &mut Env) {
        let Link::Up(Session { conn, .. }) = self.link else { return };
        self.link = Link::Refused(conn, told);
        env.in_band_on = None;
        if !env.config.observe_only {
            env.send(conn, Command::Error(ByteString::from_static(told)));
        }
        env.act(Action::Close { conn });
    }

    /// Returns the reason why a command of the application cannot be sent, if there is one.
    pub(crate) fn will_not_send(&self, command: &Command) -> Option<NotSentReason> {
        let Link::Up(session) = &self.link else { return Some(NotSentReason::Disconnected) };
        let refused = session.server.as_ref().is_some_and(|server| !server.takes(command));
        refused.then_some(NotSentReason::NotForClients)
    }

    /// Sends on the connection in use; returns the number of the command on it, or `None` if there
    /// is no connection.
    pub(crate) fn send(&mut self, command: Command, env: &mut Env) -> Option<u64> {
        if let Link::Up(session) = &mut self.link {
            let own = matches!(command, Command::Rdata(_) | Command::Position(_));
            session.sent_nameless |= !own && is_of_another(&command, false, &env.config);
        }
        self.send_on(Channel::Main, command, env)
    }

    /// Sends like [`Upstream::send`], on a channel of a bus.
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

    /// Warns that another instance has our name, once per connection.
    pub(crate) fn on_duplicate_instance(&mut self, env: &mut Env) {
        if let Link::Up(session) = &mut self.link
            && !session.duplicate_reported
        {
            session.duplicate_reported = true;
            // Another process speaks under our name.
            session.heard_others = true;
            let instance = env.config.instance.clone();
            env.notify(Event::Warning(Warning::DuplicateInstance { instance }));
        }
    }

    /// Closes the connection for good.
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

/// Returns whether a command shows that another instance is there. A bus brings back what we send
/// ourselves: a command that names its sender counts if that is not us, and one that names none
/// counts unless we have sent such a one on this connection (`sent_nameless`). A REPLICATE never
/// counts: every instance sends it.
fn is_of_another(command: &Command, sent_nameless: bool, config: &Config) -> bool {
    let me = config.instance.as_str();
    match command {
        Command::Replicate(_) => false,
        Command::Rdata(rdata) => &*rdata.instance != me,
        Command::Position(position) => &*position.instance != me,
        Command::LockReleased(lock) => &*lock.instance != me,
        Command::FederationAck(ack) => ack.instance.as_deref() != Some(me),
        Command::UserSync(sync) => sync.instance_id.as_ref() != Some(&config.instance_id),
        Command::ClearUserSync(instance_id) => *instance_id != config.instance_id,
        Command::RemoteServerUp(_)
        | Command::RemovePusher(_)
        | Command::InvalidateCache(_)
        | Command::UserIp(_)
        | Command::NewActiveTask(_)
        | Command::CancelTask(_)
        | Command::Sync(_)
        | Command::Server(_)
        | Command::Name(_)
        | Command::Ping(_)
        | Command::Error(_) => config.transport != Transport::Bus || !sent_nameless,
    }
}
