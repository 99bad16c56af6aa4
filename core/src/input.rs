//! What happened: everything the core is ever told.

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{ConnectionId, FetchId, ReadId, WaitId},
    stream::{FetchError, LogError, Page, Source, Token},
    time::Timestamp,
    wire::{Command, DecodeError, Dialect},
};

/// Something that happened outside, handed to [`Node::handle`](crate::Node::handle).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Input {
    /// The connection that [`Action::Connect`](crate::Action) asked for is usable in both
    /// directions. On a bus: the subscription is confirmed.
    Connected {
        /// Which one.
        conn: ConnectionId,
    },
    /// A peer has connected to our listener.
    Accepted {
        /// Chosen by the driver with [`ConnectionId::accepted`], each number once.
        conn: ConnectionId,
        /// What is spoken on that listener: nothing on the wire tells.
        dialect: Dialect,
    },
    /// The connection is gone, or could not be made. Reported once for every `Connect` and every
    /// `Accepted`, also after a `Close`.
    Disconnected {
        /// Which one.
        conn: ConnectionId,
        /// For people: what the system or the peer said.
        reason: String,
    },
    /// A command arrived.
    Received {
        /// On which connection.
        conn: ConnectionId,
        /// The command.
        command: Command,
    },
    /// More than [`LINE_BYTES_MAX`](crate::wire::LINE_BYTES_MAX) bytes arrived without a delimiter.
    /// Nothing more can be read of this connection. Direct TCP only.
    LineTooLong {
        /// On which connection.
        conn: ConnectionId,
    },
    /// The oldest `count` commands sent on this connection that were not reported yet have gone
    /// out. Direct TCP: they were written to the socket. On a bus: their PUBLISHes were answered.
    /// [`Action::Send`](crate::Action) and [`Action::Broadcast`](crate::Action) count alike.
    Sent {
        /// On which connection.
        conn: ConnectionId,
        /// How many, at least 1.
        count: u32,
    },
    /// A line or message arrived that is not a command.
    Malformed {
        /// On which connection.
        conn: ConnectionId,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The answer to [`Action::Fetch`](crate::Action).
    Fetched {
        /// The id of the fetch.
        query: FetchId,
        /// The page, or why there is none.
        result: Result<Page, FetchError>,
    },
    /// The log of an own stream holds rows, or is known to hold none, up to `token`, for good. A
    /// stream that is new begins at [`Token::START`]. Order among appends is free; the highest
    /// token counts.
    Appended {
        /// The own stream.
        stream: ByteString,
        /// The last token of its log.
        token: Token,
    },
    /// The answer to [`Action::ReadLog`](crate::Action).
    LogRead {
        /// The id of the read.
        query: ReadId,
        /// The page, of whole batches with rising tokens, or why there is none.
        result: Result<Page, LogError>,
    },
    /// A sync of a user of ours began or ended; several of one device may overlap. The presence
    /// writer is told, on every new connection again while it lasts; of the end only when no other
    /// sync began within [`Config::user_sync_end_after`](crate::Config).
    Syncing {
        /// Matrix user id.
        user: ByteString,
        /// Device id, if there is one.
        device: Option<ByteString>,
        /// Whether it began.
        syncing: bool,
        /// Milliseconds since the Unix epoch.
        at_ms: i64,
    },
    /// The application wants to send a command to the other instances.
    Send {
        /// The command.
        command: Command,
    },
    /// The application wants to know when a source has reached a token.
    WaitFor {
        /// Unique among open waits.
        wait: WaitId,
        /// Which source.
        source: Source,
        /// The token to reach.
        token: Token,
        /// When to give up.
        deadline: Timestamp,
    },
    /// The application no longer waits. An unknown id is fine: the wait may just have ended.
    CancelWait {
        /// Which wait.
        wait: WaitId,
    },
    /// A deadline from [`Node::poll_timeout`](crate::Node::poll_timeout) may have passed. Early
    /// or repeated ticks do nothing.
    Tick,
    /// The application wants to stop: send what is left, close the connections, fetch no more.
    Shutdown,
}

// Every command that is received passes through both. Up to 128 bytes are moved by a few vector
// instructions in place, more by a call each time: that is an eighth of the time of a whole line.
const _: () = assert!(size_of::<Input>() <= 128 && size_of::<crate::Action>() <= 128);
