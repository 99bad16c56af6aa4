//! Actions: everything that leaves the core. A driver carries them out; the core itself does no IO
//! (promise C3).

use std::sync::Arc;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{
    config::Channel,
    event::Event,
    ids::{ConnectionId, FetchId, ReadId},
    stream::{Source, Span},
    wire::Command,
};

/// Something for the driver to do, as [`Node::poll_action`](crate::Node::poll_action) returns it.
/// Actions must be carried out in the order in which they are returned.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[must_use]
pub enum Action {
    /// Make a connection. The driver answers with `Connected` or `Disconnected`.
    Connect {
        /// The id of the new connection.
        conn: ConnectionId,
    },
    /// Close a connection after all that was sent on it has gone out. The driver answers with
    /// `Disconnected`.
    Close {
        /// The connection to close.
        conn: ConnectionId,
    },
    /// Send a command. It is never kept for later: if the connection is gone, so is the command.
    /// The driver reports with `Sent` that it has gone out.
    Send {
        /// The connection to send on.
        conn: ConnectionId,
        /// The channel to send on, if the connection is to a bus.
        #[serde(default, skip_serializing_if = "Channel::is_main")]
        channel: Channel,
        /// The command to send.
        command: Command,
    },
    /// Send a command to many accepted connections, as `Send` to each in order would. A driver
    /// encodes it once per dialect.
    Broadcast {
        /// The connections to send on, at least one. Broadcasts in a row share one list.
        audience: Arc<Audience>,
        /// The command to send.
        command: Box<Command>,
    },
    /// Read rows of an own stream's log. The driver answers with `LogRead`. A page never splits the
    /// rows of one token, so it may exceed `rows_max` to complete one.
    ReadLog {
        /// The id of the read, which the answer repeats.
        query: ReadId,
        /// The own stream to read.
        stream: ByteString,
        /// The tokens whose rows are requested.
        #[serde(flatten)]
        span: Span,
        /// The approximate number of rows that a page should have at most.
        rows_max: u32,
    },
    /// Fetch rows of a source from its writer. The driver answers with `Fetched`.
    Fetch {
        /// The id of the fetch, which the answer repeats.
        query: FetchId,
        /// The source to fetch; its instance is the one to request the rows from.
        source: Source,
        /// The tokens whose rows are requested.
        #[serde(flatten)]
        span: Span,
    },
    /// Give up a fetch: its answer is no longer used. It may still be handed in.
    CancelFetch {
        /// The fetch that is given up.
        query: FetchId,
    },
    /// Hand the event to the application, in order.
    Notify(Event),
}

/// The accepted connections that a broadcast goes to, in order of their acceptance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Audience(Vec<ConnectionId>);

impl Audience {
    /// Returns the connections, in order of their acceptance.
    pub fn connections(&self) -> &[ConnectionId] {
        &self.0
    }
}

impl FromIterator<ConnectionId> for Audience {
    fn from_iter<I: IntoIterator<Item = ConnectionId>>(connections: I) -> Self {
        Self(connections.into_iter().collect())
    }
}
