//! What happened: everything the core is ever told.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{ConnectionId, QueryId, WaitId},
    stream::{FetchError, Page, Source, Token},
    time::Timestamp,
    wire::{Command, DecodeError},
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
    /// The connection is gone, or could not be made. Reported once for every `Connect`, also
    /// after a `Close`.
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
        query: QueryId,
        /// The page, or why there is none.
        result: Result<Page, FetchError>,
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
    /// The application wants to stop: close the connection, fetch no more.
    Shutdown,
}

// Every command that is received passes through both. Up to 128 bytes are moved by a few vector
// instructions in place, more by a call each time: that is an eighth of the time of a whole line.
const _: () = assert!(size_of::<Input>() <= 128 && size_of::<crate::Action>() <= 128);
