//! What to do: everything the core ever asks for.

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

/// Something for the driver to do, from [`Node::poll_action`](crate::Node::poll_action). Carried
/// out in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[must_use]
pub enum Action {
    /// Make a connection; answer with `Connected` or `Disconnected`.
    Connect {
        /// The id of the connection to be.
        conn: ConnectionId,
    },
    /// Close the connection after what was sent on it has gone out; answer with `Disconnected`.
    Close {
        /// Which one.
        conn: ConnectionId,
    },
    /// Send a command. Never waits: if the connection is gone, so is the command. Report with
    /// `Sent` when it has gone out.
    Send {
        /// On which connection.
        conn: ConnectionId,
        /// On which channel of it, if it is to a bus.
        #[serde(default, skip_serializing_if = "Channel::is_main")]
        channel: Channel,
        /// The command.
        command: Command,
    },
    /// Send a command to many accepted connections, as `Send` to each in order would. A driver
    /// encodes it once per dialect.
    Broadcast {
        /// To whom; at least one. The same list is shared by broadcasts in a row.
        audience: Arc<Audience>,
        /// The command.
        command: Box<Command>,
    },
    /// Read rows of an own stream's log; answer with `LogRead`. Never split the
    /// rows of one token, so a page may exceed `rows_max` to end one.
    ReadLog {
        /// Echoed in the answer.
        query: ReadId,
        /// The own stream.
        stream: ByteString,
        /// The tokens whose rows are wanted.
        #[serde(flatten)]
        span: Span,
        /// About how many rows.
        rows_max: u32,
    },
    /// Get rows of `source` from its writer; answer with `Fetched`.
    Fetch {
        /// Echoed in the answer.
        query: FetchId,
        /// Whose rows, and whom to ask.
        source: Source,
        /// The tokens whose rows are wanted.
        #[serde(flatten)]
        span: Span,
    },
    /// The answer to this fetch is no longer wanted. It may still be given.
    CancelFetch {
        /// Which fetch.
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
    /// The connections.
    pub fn connections(&self) -> &[ConnectionId] {
        &self.0
    }
}

impl FromIterator<ConnectionId> for Audience {
    fn from_iter<I: IntoIterator<Item = ConnectionId>>(connections: I) -> Self {
        Self(connections.into_iter().collect())
    }
}
