//! What to do: everything the core ever asks for.

use serde::{Deserialize, Serialize};

use crate::{
    event::Event,
    ids::{ConnectionId, QueryId},
    stream::{Source, Token},
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
    /// Send a command. Never waits: if the connection is gone, so is the command.
    Send {
        /// On which connection.
        conn: ConnectionId,
        /// The command.
        command: Command,
    },
    /// Get the rows of `source` in `(from, upto]` from its writer; answer with `Fetched`.
    Fetch {
        /// Echoed in the answer.
        query: QueryId,
        /// Whose rows, and whom to ask.
        source: Source,
        /// Rows above this token.
        from: Token,
        /// Rows up to this token.
        upto: Token,
    },
    /// The answer to this fetch is no longer wanted. It may still be given.
    CancelFetch {
        /// Which fetch.
        query: QueryId,
    },
    /// Hand the event to the application, in order.
    Notify(Event),
}
