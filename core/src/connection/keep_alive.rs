//! PING and time-out of one direct TCP connection (`protocol.md` 3.2).
//!
//! What enters: the times of what was sent and received. What leaves: the action that is due.

use crate::{config::Config, time::Timestamp};

/// The signs of life on a connection. They are looked at every
/// [`ping_every`](crate::ConnectionConfig::ping_every).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeepAlive {
    last_sent: Timestamp,
    last_received: Timestamp,
    /// Whether the peer has sent a PING: only then does its silence mean something. A person who
    /// types by hand sends none.
    peer_pings: bool,
}

/// The action that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// A PING is to be sent.
    Ping,
    /// The peer is dead: the connection is to be given up.
    TimedOut,
}

impl KeepAlive {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self { last_sent: now, last_received: now, peer_pings: false }
    }

    /// Notes that something was sent.
    pub(crate) const fn on_sent(&mut self, now: Timestamp) {
        self.last_sent = now;
    }

    /// Notes that a valid command was received; nothing else counts as a sign of life.
    pub(crate) const fn on_received(&mut self, now: Timestamp, is_ping: bool) {
        self.last_received = now;
        self.peer_pings |= is_ping;
    }

    /// Returns what is due now.
    pub(crate) fn look(&self, now: Timestamp, config: &Config) -> Due {
        if self.peer_pings
            && now.saturating_since(self.last_received) > config.connection.ping_timeout
        {
            Due::TimedOut
        } else if now.saturating_since(self.last_sent) >= config.connection.ping_every {
            Due::Ping
        } else {
            Due::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_ping_is_due_when_nothing_was_sent_for_the_interval() {
        let config = Config::default();
        let mut life = KeepAlive::new(at(0));
        assert_eq!(life.look(at(4), &config), Due::Nothing);
        assert_eq!(life.look(at(5), &config), Due::Ping);
        life.on_sent(at(3));
        assert_eq!(life.look(at(5), &config), Due::Nothing);
    }

    #[test]
    fn silence_ends_a_connection_only_after_a_ping_of_the_peer() {
        let config = Config::default();
        let mut life = KeepAlive::new(at(0));
        life.on_received(at(1), false);
        life.on_sent(at(1_000));
        assert_eq!(life.look(at(1_000), &config), Due::Nothing);
        life.on_received(at(1_000), true);
        life.on_sent(at(1_025));
        assert_eq!(life.look(at(1_025), &config), Due::Nothing);
        assert_eq!(life.look(at(1_026), &config), Due::TimedOut);
        life.on_received(at(1_026), false);
        assert_eq!(life.look(at(1_026), &config), Due::Nothing);
    }
}
