//! The life of connections: when to try again, when to worry.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Backoff;

/// The life of connections: when to try again, when to worry. Part of [`Config`](crate::Config), whose table has all defaults.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ConnectionConfig {
    /// Delay between connection attempts. Default 1 s to 5 s: the reference's, short enough not
    /// to fall further behind than can be caught up. Starts over after a POSITION was handled.
    pub reconnect: Backoff,
    /// Delay until REPLICATE is repeated while known sources have not answered. Default 2 s to
    /// 60 s: answers take some 20 ms, and each REPLICATE makes every instance announce.
    pub replicate_retry: Backoff,
    /// Time after the first connection within which a writer that answers is taken to have been
    /// there from the start. Default 2 s: answers take some 20 ms. One that appears later has
    /// its rows since then fetched.
    pub settling_for: Duration,
    /// Time after which a connection without a single command is reported. Default 10 s.
    pub nothing_heard_after: Duration,
    /// Direct TCP: a PING is sent when nothing else was for this long; also the time between two
    /// looks. Default 5 s, the reference's.
    pub ping_every: Duration,
    /// Direct TCP: silence after which a peer that has sent a PING before is given up. Default
    /// 25 s, the reference's.
    pub ping_timeout: Duration,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        let millis = Duration::from_millis;
        Self {
            reconnect: Backoff::new(millis(1_000), millis(5_000)),
            replicate_retry: Backoff::new(millis(2_000), millis(60_000)),
            settling_for: millis(2_000),
            nothing_heard_after: millis(10_000),
            ping_every: millis(5_000),
            ping_timeout: millis(25_000),
        }
    }
}
