//! The connection to a bus: one subscription behind which all other instances are
//! (`protocol.md` 1.3, 5.4).

use super::outbox::Outbox;
use crate::{
    action::Action,
    config::Config,
    event::{Event, Warning},
    follow::Common,
    ids::ConnectionId,
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
    /// Closed by us, for good.
    Closing(ConnectionId),
    Stopped,
}

/// What is known of the present connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub(crate) conn: ConnectionId,
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
pub(crate) struct Bus {
    pub(crate) link: Link,
    /// What was sent on the present connection, or the last one.
    pub(crate) outbox: Outbox,
    connections: u64,
    /// Attempts since a POSITION was handled.
    attempts: u32,
}

impl Bus {
    pub(crate) const fn new() -> Self {
        Self { link: Link::Down, outbox: Outbox::new(), connections: 0, attempts: 0 }
    }

    /// The connection in use, if there is one.
    pub(crate) const fn up(&self) -> Option<ConnectionId> {
        match &self.link {
            Link::Up(session) => Some(session.conn),
            Link::Down | Link::Connecting(_) | Link::Closing(_) | Link::Stopped => None,
        }
    }

    /// Sends on the connection in use; the number of the command on it. `None` if there is none.
    pub(crate) fn send(&mut self, command: Command, common: &mut Common) -> Option<u64> {
        let conn = self.up()?;
        Some(self.outbox.send(conn, command, common))
    }

    pub(crate) fn connect(&mut self, common: &mut Common) {
        self.connections += 1;
        self.attempts = self.attempts.saturating_add(1);
        let conn = ConnectionId::new(self.connections);
        self.link = Link::Connecting(conn);
        self.outbox = Outbox::new();
        common.actions.push_back(Action::Connect { conn });
    }

    /// The subscription is confirmed: ask everyone where they stand.
    pub(crate) fn on_connected(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        config: &Config,
        common: &mut Common,
    ) {
        common.stats.connections += 1;
        self.link = Link::Up(Session {
            conn,
            since: now,
            heard: false,
            positioned: false,
            asked: 0,
            asked_in_vain: 0,
            duplicate_reported: false,
        });
        common.settling_until.get_or_insert(now + config.settling_for);
        common.notify(Event::Connected { conn });
        common.timers.set(TimerKey::NothingHeard, now + config.nothing_heard_after);
        self.ask(now, config, common);
    }

    /// The connection is gone or was never made; tries again later.
    pub(crate) fn on_disconnected(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        reason: String,
        config: &Config,
        common: &mut Common,
    ) {
        common.timers.clear(TimerKey::NothingHeard);
        common.timers.clear(TimerKey::Replicate);
        let stopping = matches!(self.link, Link::Closing(_));
        let retry_at = if stopping {
            None
        } else {
            Some(now + common.jitter.delay(config.reconnect, self.attempts))
        };
        common.notify(Event::Disconnected { conn, reason, retry_at });
        if let Some(at) = retry_at {
            self.link = Link::Down;
            common.timers.set(TimerKey::Reconnect, at);
        } else {
            self.link = Link::Stopped;
        }
    }

    /// Sends REPLICATE, and sets the time at which to see whether it was enough.
    fn ask(&mut self, now: Timestamp, config: &Config, common: &mut Common) {
        let Link::Up(session) = &mut self.link else { return };
        if config.observe_only {
            return;
        }
        session.asked = session.asked.saturating_add(1);
        session.asked_in_vain = session.asked_in_vain.saturating_add(1);
        common.stats.replicates += 1;
        let command = Command::Replicate(Replicate::Everything);
        self.outbox.send(session.conn, command, common);
        let delay = common.jitter.delay(config.replicate_retry, session.asked_in_vain);
        common.timers.set(TimerKey::Replicate, now + delay);
    }

    /// A source lost its footing. Asks at once, or, if others have been asked for lately, after
    /// the shortest delay: theirs has grown while they did not answer, and this one will.
    pub(crate) fn ask_again(&mut self, now: Timestamp, config: &Config, common: &mut Common) {
        let Some(at) = common.timers.at(TimerKey::Replicate) else {
            self.ask(now, config, common);
            return;
        };
        let soon = now + common.jitter.delay(config.replicate_retry, 1);
        if soon < at {
            common.timers.set(TimerKey::Replicate, soon);
        }
    }

    /// Time to see whether everyone answered. `unanswered` is one source that did not.
    pub(crate) fn on_replicate_due(
        &mut self,
        now: Timestamp,
        unanswered: Option<Source>,
        config: &Config,
        common: &mut Common,
    ) {
        let Link::Up(session) = &mut self.link else { return };
        if unanswered.is_none() && session.positioned {
            session.asked_in_vain = 0;
            return;
        }
        if let Some(example) = unanswered {
            let (sources, asked) = (common.unanswered, session.asked);
            common.notify(Event::Warning(Warning::Unanswered { sources, example, asked }));
        }
        self.ask(now, config, common);
    }

    pub(crate) fn on_nothing_heard_due(&self, now: Timestamp, common: &mut Common) {
        if let Link::Up(session) = &self.link
            && !session.heard
        {
            let after = now.saturating_since(session.since);
            common.notify(Event::Warning(Warning::NothingHeard { after }));
        }
    }

    /// Notes that somebody speaks on this connection.
    pub(crate) fn on_command(&mut self, command: &Command) {
        if let Link::Up(session) = &mut self.link {
            session.heard |= !matches!(command, Command::Replicate(_));
            if matches!(command, Command::Position(_)) {
                session.positioned = true;
                self.attempts = 0;
            }
        }
    }

    /// Somebody else uses our name. Said once a connection.
    pub(crate) fn on_duplicate_instance(&mut self, config: &Config, common: &mut Common) {
        if let Link::Up(session) = &mut self.link
            && !session.duplicate_reported
        {
            session.duplicate_reported = true;
            let instance = config.instance.clone();
            common.notify(Event::Warning(Warning::DuplicateInstance { instance }));
        }
    }

    /// Closes for good.
    pub(crate) fn shut_down(&mut self, common: &mut Common) {
        match self.link {
            Link::Up(Session { conn, .. }) | Link::Connecting(conn) => {
                self.link = Link::Closing(conn);
                common.actions.push_back(Action::Close { conn });
            }
            Link::Down => self.link = Link::Stopped,
            Link::Closing(_) | Link::Stopped => {}
        }
    }
}
