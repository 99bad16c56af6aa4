//! Settings of own streams and of the peers that connect to us (`protocol.md` 5).

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Backoff, MainChannel};
use crate::stream::Token;

/// Settings of own streams: their channels, and how much is read and sent at once. A group of
/// [`Config`](crate::Config), whose table has all defaults.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PublishConfig {
    /// The streams that we write, each with the last token of its log. Default none. Rows above the
    /// token are published; more streams appear with [`Input::Appended`](crate::Input).
    pub own_streams: BTreeMap<String, Token>,
    /// The own streams that go out on the deployment's channel of a bus, to which Synapse
    /// subscribes. Default [`MainChannel::Streams`] of none: all go out on a channel of their own.
    // Traces without this setting have all streams on one channel.
    #[serde(default = "MainChannel::everything")]
    pub main_channel: MainChannel,
    /// The most own streams. Default 1,000. More are refused with a warning.
    pub own_streams_max: u32,
    /// The delay between attempts to read an own log. Default 0.1 s to 5 s: rows wait for it.
    pub log_retry: Backoff,
    /// The most rows requested of an own log at once. Default 500.
    pub log_rows_max: u32,
    /// The most commands on a bus that may be unconfirmed before an own log is read on. Default
    /// 10,000: 20 ms of a server that takes half a million a second.
    pub unconfirmed_max: u32,
    /// The longest row that is sent to an accepted connection, in bytes. Default 15,872: with names
    /// and a token it fits a line of direct TCP. For a longer one see
    /// [`Warning::RowTooLong`](crate::Warning).
    pub row_bytes_max: u32,
    /// The most accepted connections. Default 1,000. More are refused with an ERROR line.
    pub peers_max: u32,
    /// The most commands that an accepted connection may leave untaken; above it the connection is
    /// cut off. Default 10,000, as in Synapse. A connection is also cut off that leaves more than
    /// half of this, or of `peer_pending_bytes_max`, untaken at two checks in a row and takes
    /// nothing between them ([`ConnectionConfig::ping_every`](crate::ConnectionConfig)). At least 2,
    /// the commands of the greeting.
    pub peer_pending_max: u32,
    /// The most bytes of commands, about those of their lines, that an accepted connection may
    /// leave untaken; above it the connection is cut off. Default 32 MiB.
    pub peer_pending_bytes_max: u32,
}

impl Default for PublishConfig {
    fn default() -> Self {
        let millis = Duration::from_millis;
        Self {
            own_streams: BTreeMap::new(),
            main_channel: MainChannel::default(),
            own_streams_max: 1_000,
            log_retry: Backoff::new(millis(100), millis(5_000)),
            log_rows_max: 500,
            unconfirmed_max: 10_000,
            row_bytes_max: 15_872,
            peers_max: 1_000,
            peer_pending_max: 10_000,
            peer_pending_bytes_max: 32 << 20,
        }
    }
}
