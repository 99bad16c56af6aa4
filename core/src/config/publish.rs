//! Own streams: where they go out, and what is read and sent at once.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Backoff, MainChannel};
use crate::stream::Token;

/// Own streams: where they go out, and what is read and sent at once. Part of [`Config`](crate::Config), whose table has all defaults.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PublishConfig {
    /// Streams that we write, each with the last token of its log. Default none. Rows above it
    /// are published; more streams appear with [`Input::Appended`](crate::Input).
    pub own_streams: BTreeMap<String, Token>,
    /// The own streams that go out on the deployment's channel of a bus, where Synapse listens.
    /// Default [`MainChannel::Streams`] of none: all go out on a channel of their own.
    // A trace of before there were two channels has everything on one.
    #[serde(default = "MainChannel::everything")]
    pub main_channel: MainChannel,
    /// Own streams. Default 1,000. More are refused with a warning.
    pub own_streams_max: u32,
    /// Delay between attempts to read an own log that failed. Default 0.1 s to 5 s.
    pub log_retry: Backoff,
    /// Rows asked of an own log at once. Default 500.
    pub log_rows_max: u32,
    /// Commands on a bus that may be unconfirmed before an own log is read on. Default 10,000:
    /// 20 ms of a server that takes half a million a second.
    pub unconfirmed_max: u32,
    /// Longest row of an own stream, in bytes. Default 15,872: with names and a token it fits a
    /// line of direct TCP.
    pub row_bytes_max: u32,
    /// Accepted connections. Default 1,000. More are refused with an ERROR line.
    pub peers_max: u32,
    /// Commands that an accepted connection may leave untaken before it is cut off. Default
    /// 10,000, the reference's.
    pub peer_pending_max: u32,
    /// Bytes of rows that an accepted connection may leave untaken before it is cut off. Default
    /// 32 MiB.
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
