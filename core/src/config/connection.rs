//! Settings of connections (`protocol.md` 1.3, 3.2).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Backoff;

/// Settings of connections: the times at which they are made again, checked and given up. A group
/// of [`Config`](crate::Config), whose table has all defaults.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ConnectionConfig {
    /// The delay between connection attempts. Default 1 s to 5 s, as in Synapse: short enough not
    /// to fall further behind than can be caught up. It starts over after a POSITION was handled.
    pub reconnect: Backoff,
    /// The delay until REPLICATE is sent again while a known source has not announced its position,
    /// or no POSITION was received at all. Default 2 s to 60 s: answers take some 20 ms, and each
    /// REPLICATE makes every instance announce.
    pub replicate_retry: Backoff,
    /// The longest delay until REPLICATE is sent again if the writers of all sources that have not
    /// answered may be gone: nothing of them was received on the connection, while others announce
    /// their positions. Default 1 h: each REPLICATE makes every instance announce, and a writer that
    /// starts again announces by itself.
    pub replicate_absent_max: Duration,
    /// The time after the first connection within which a writer that announces is taken to have
    /// been there from the start. Default 2 s: answers take some 20 ms. Of a writer that appears
    /// later, the rows since then are fetched.
    pub settling_for: Duration,
    /// The time after which a connection on which nothing of another instance was received is
    /// reported; a REPLICATE does not count, nor what a bus brings back of ours. Default 10 s: a
    /// busy deployment sends something each second.
    pub nothing_heard_after: Duration,
    /// Direct TCP: the time without a command of ours after which a PING is sent, and the time
    /// between two checks of a connection. Default 5 s, as in Synapse.
    pub ping_every: Duration,
    /// Direct TCP: the time without a valid command after which the connection to a peer that has
    /// sent a PING before is given up. Default 25 s, as in Synapse.
    pub ping_timeout: Duration,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        let millis = Duration::from_millis;
        Self {
            reconnect: Backoff::new(millis(1_000), millis(5_000)),
            replicate_retry: Backoff::new(millis(2_000), millis(60_000)),
            replicate_absent_max: millis(3_600_000),
            settling_for: millis(2_000),
            nothing_heard_after: millis(10_000),
            ping_every: millis(5_000),
            ping_timeout: millis(25_000),
        }
    }
}
