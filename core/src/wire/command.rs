//! The commands of the protocol as types (`protocol.md` 2.3).
//!
//! [`Decoder`](super::Decoder) makes them of lines, and [`encode`](fn@super::encode) makes lines of
//! them; all dialects share these types. Where the protocol carries an access token (`USER_IP`,
//! `INVALIDATE_CACHE`, rows of `caches`), `Debug` leaves it out.

use std::fmt;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{
    secret::{REDACTED, Secret, takes_tokens},
    stream::{Row, Token},
};

/// One command of the protocol.
///
/// One type serves every dialect: fields that a dialect lacks are `None` or have the value that
/// `protocol.md` 2.5 gives them.
///
/// Fields of type [`ByteString`] and [`Row`] are slices of the line that they were read from, and
/// keep its buffer alive; the names of known streams are not. Fields of type `String` are copies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Command {
    /// The homeserver name of the server. Direct TCP only.
    Server(ByteString),
    /// The label of the client. Direct TCP only.
    Name(ByteString),
    /// A keep-alive, whose content is never read. Direct TCP only.
    Ping(ByteString),
    /// A text for people, after which the sender always closes its side. Direct TCP only.
    Error(ByteString),
    /// A test hook of the oldest dialect.
    Sync(ByteString),
    /// A request for positions, or in the oldest dialect a subscription.
    Replicate(Replicate),
    /// One row of a stream.
    Rdata(Rdata),
    /// The position of a writer.
    Position(Position),
    /// A user started or stopped syncing on an instance. It is boxed so that no command is larger
    /// than an RDATA: every command is moved several times.
    UserSync(Box<UserSync>),
    /// All that was reported under this instance id (a random id, not a name) is void.
    ClearUserSync(ByteString),
    /// A federation sender has stored all rows of `federation` up to the token.
    FederationAck(FederationAck),
    /// A pusher is gone. Synapse 1.29 removed this command.
    RemovePusher(RemovePusher),
    /// A cache entry is stale. Synapse 1.14 removed this command.
    InvalidateCache(InvalidateCache),
    /// A client's address was seen. It carries an access token, and is boxed for the reason that
    /// `UserSync` is.
    UserIp(Box<UserIp>),
    /// The remote homeserver of this name answers again.
    RemoteServerUp(ByteString),
    /// An instance released a lock.
    LockReleased(LockReleased),
    /// The background task of this id became active.
    NewActiveTask(ByteString),
    /// The background task of this id is to be cancelled.
    CancelTask(ByteString),
}

/// The rows or positions that a `REPLICATE` requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Replicate {
    /// The positions of all streams: the form without fields, 1.13 and later.
    Everything,
    /// The rows of one stream (`ALL`: of every stream): the form of the oldest dialect.
    Stream {
        /// The stream name, or `ALL`.
        stream: ByteString,
        /// The token above which rows are requested; `None` is `NOW`.
        from: Option<Token>,
    },
}

/// One row of a stream: `RDATA stream instance token json`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rdata {
    /// The stream name.
    pub stream: ByteString,
    /// The writer; `master` in the oldest dialect, which has no such field.
    pub instance: ByteString,
    /// The row's token. `None` is `batch`: the row shares the token of the rows that follow, the
    /// last of which has the number.
    pub token: Option<Token>,
    /// The row.
    pub row: Row,
}

/// The position of a writer: `POSITION stream instance prev new`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The stream name.
    pub stream: ByteString,
    /// The writer; `master` in the oldest dialect.
    pub instance: ByteString,
    /// The token above which nothing was written: the writer wrote no row in `(prev, token]`. Equal
    /// to `token` in dialects that lack the field.
    pub prev: Token,
    /// The writer's current token.
    pub token: Token,
    /// Whether the catch-up that was requested on this connection is complete. Oldest dialect only.
    pub ends_catch_up: bool,
}

/// A user started or stopped syncing: `USER_SYNC instance_id user device state ms`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserSync {
    /// The random id of the sending process; absent in the oldest dialect.
    pub instance_id: Option<ByteString>,
    /// The Matrix user id.
    pub user: ByteString,
    /// The device id; absent before 1.92 and where the wire has the text `None`.
    pub device: Option<ByteString>,
    /// Whether the user started (`start`) or stopped (`end`).
    pub syncing: bool,
    /// The time of the last sync, in milliseconds since the Unix epoch.
    pub last_sync_ms: i64,
}

/// The acknowledgement of a federation sender: `FEDERATION_ACK instance token`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FederationAck {
    /// The sender's name; absent before 1.18.
    pub instance: Option<ByteString>,
    /// The token up to which all rows are stored.
    pub token: Token,
}

/// A pusher that is gone: `REMOVE_PUSHER app_id push_key user`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RemovePusher {
    /// The application id.
    pub app_id: ByteString,
    /// The push key. It may hold spaces; see `protocol.md` 2.5.
    pub push_key: ByteString,
    /// The Matrix user id.
    pub user: ByteString,
}

/// A stale cache entry: `INVALIDATE_CACHE function keys`. `Debug` leaves out keys that are access
/// tokens.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InvalidateCache {
    /// The name of the cached function.
    pub function: ByteString,
    /// The key of the entry, a JSON array, verbatim.
    pub keys: Row,
}

/// A client's address: `USER_IP user [access_token, ip, user_agent, device_id, last_seen]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserIp {
    /// The Matrix user id.
    pub user: ByteString,
    /// The client's access token: never in `Debug`, logs or traces.
    pub access_token: Secret,
    /// The address of the client.
    pub ip: String,
    /// The user agent of the client.
    pub user_agent: String,
    /// The device id, if there is one.
    pub device: Option<String>,
    /// The time at which the client was last seen, in milliseconds since the Unix epoch.
    pub last_seen_ms: i64,
}

/// A released lock: `LOCK_RELEASED [instance, lock, key]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LockReleased {
    /// The instance that held the lock.
    pub instance: String,
    /// The lock name.
    pub lock: String,
    /// The lock key.
    pub key: String,
}

impl fmt::Debug for InvalidateCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, keys } = self;
        let secret = takes_tokens(function);
        let keys: &dyn fmt::Debug = if secret { &format_args!("{REDACTED}") } else { keys };
        f.debug_struct("InvalidateCache").field("function", function).field("keys", keys).finish()
    }
}

impl Command {
    /// Returns the command's name, as on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Server(_) => "SERVER",
            Self::Name(_) => "NAME",
            Self::Ping(_) => "PING",
            Self::Error(_) => "ERROR",
            Self::Sync(_) => "SYNC",
            Self::Replicate(_) => "REPLICATE",
            Self::Rdata(_) => "RDATA",
            Self::Position(_) => "POSITION",
            Self::UserSync(_) => "USER_SYNC",
            Self::ClearUserSync(_) => "CLEAR_USER_SYNC",
            Self::FederationAck(_) => "FEDERATION_ACK",
            Self::RemovePusher(_) => "REMOVE_PUSHER",
            Self::InvalidateCache(_) => "INVALIDATE_CACHE",
            Self::UserIp(_) => "USER_IP",
            Self::RemoteServerUp(_) => "REMOTE_SERVER_UP",
            Self::LockReleased(_) => "LOCK_RELEASED",
            Self::NewActiveTask(_) => "NEW_ACTIVE_TASK",
            Self::CancelTask(_) => "CANCEL_TASK",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_access_token_is_in_the_debug_of_a_command() {
        let shown = |function: &'static str| {
            let keys = Row::from(r#"["syt_abc"]"#);
            format!("{:?}", InvalidateCache { function: function.into(), keys })
        };
        assert!(!shown("get_user_by_access_token").contains("syt_abc"));
        assert!(shown("get_user_by_id").contains("syt_abc"));
    }
}
