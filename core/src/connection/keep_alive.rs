//! PING and time-out of one direct TCP connection (`protocol.md` 3.2).

use crate::{config::Config, time::Timestamp};

/// What is known of the life of a connection. Looked at every
/// [`Config::ping_every`](crate::Config).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeepAlive {
    last_sent: Timestamp,
    last_heard: Timestamp,
    /// The peer has sent a PING: only then its silence means something. One who types by hand
    /// sends none.
    peer_pings: bool,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// Send a PING.
    Ping,
    /// The peer is dead.
    TimedOut,
}

impl KeepAlive {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self { last_sent: now, last_heard: now, peer_pings: false }
    }

    /// Something was sent.
    pub(crate) const fn on_sent(&mut self, now: Timestamp) {
        self.last_sent = now;
    }

    /// A valid command was heard; nothing else counts as life.
    pub(crate) const fn on_heard(&mut self, now: Timestamp, is_ping: bool) {
        self.last_heard = now;
        self.peer_pings |= is_ping;
    }

    /// What is due at a look.
    pub(crate) fn look(&self, now: Timestamp, config: &Config) -> Due {
        if self.peer_pings && now.saturating_since(self.last_heard) > config.connection.ping_timeout
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
        life.on_heard(at(1), false);
        life.on_sent(at(1_000));
        assert_eq!(life.look(at(1_000), &config), Due::Nothing);
        life.on_heard(at(1_000), true);
        life.on_sent(at(1_025));
        assert_eq!(life.look(at(1_025), &config), Due::Nothing);
        assert_eq!(life.look(at(1_026), &config), Due::TimedOut);
        life.on_heard(at(1_026), false);
        assert_eq!(life.look(at(1_026), &config), Due::Nothing);
    }
}
