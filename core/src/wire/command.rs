//! The commands of the protocol as types (`protocol.md` 2.3).

use std::fmt;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{
    secret::{REDACTED, Secret, takes_tokens},
    stream::{Row, Token},
};

/// One command of the protocol. Text fields are slices of the line they were read from, but for
/// the names of streams that are known.
///
/// One type serves every dialect: fields that a dialect lacks are `None` or have the value that
/// `protocol.md` 2.5 gives them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Command {
    /// Homeserver name of the server. Direct TCP only.
    Server(ByteString),
    /// Label of the client. Direct TCP only.
    Name(ByteString),
    /// Keep-alive; the content is never read. Direct TCP only.
    Ping(ByteString),
    /// Text for people, always followed by a close of the sender's side. Direct TCP only.
    Error(ByteString),
    /// Test hook of the oldest dialect.
    Sync(ByteString),
    /// Asks for positions (all dialects but the oldest) or subscribes (the oldest).
    Replicate(Replicate),
    /// One row of a stream.
    Rdata(Rdata),
    /// The position of a writer.
    Position(Position),
    /// A user started or stopped syncing on an instance. Boxed, so that no command is larger than an
    /// RDATA: every command is moved several times.
    UserSync(Box<UserSync>),
    /// All that was reported under this instance id (a random id, not a name) is void.
    ClearUserSync(ByteString),
    /// A federation sender has stored all rows of `federation` up to the token.
    FederationAck(FederationAck),
    /// A pusher is gone. Removed in 1.29.
    RemovePusher(RemovePusher),
    /// A cache entry is stale. Removed in 1.14.
    InvalidateCache(InvalidateCache),
    /// A client's address was seen. Carries an access token. Boxed for the same
    /// reason.
    UserIp(Box<UserIp>),
    /// A remote homeserver answers again.
    RemoteServerUp(ByteString),
    /// A lock was released by this instance.
    LockReleased(LockReleased),
    /// A background task became active; a bare id.
    NewActiveTask(ByteString),
    /// A background task is to be cancelled; a bare id.
    CancelTask(ByteString),
}

/// The rows or positions that a `REPLICATE` requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Replicate {
    /// Everything: the form without fields, 1.13 and later.
    Everything,
    /// One stream (`ALL`: every stream) of the oldest dialect.
    Stream {
        /// Stream name, or `ALL`.
        stream: ByteString,
        /// Rows above this token are wanted; `None` is `NOW`.
        from: Option<Token>,
    },
}

/// One row of a stream: `RDATA stream instance token json`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rdata {
    /// Stream name.
    pub stream: ByteString,
    /// Writer; `master` in the oldest dialect, which has no such field.
    pub instance: ByteString,
    /// The row's token; `None` is `batch`: it shares the token of the rows that follow, the last
    /// of which has the number.
    pub token: Option<Token>,
    /// The row.
    pub row: Row,
}

/// The position of a writer: `POSITION stream instance prev new`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Stream name.
    pub stream: ByteString,
    /// Writer; `master` in the oldest dialect.
    pub instance: ByteString,
    /// The writer wrote no row in `(prev, token]`. Equal to `token` in dialects without it.
    pub prev: Token,
    /// The writer's current token.
    pub token: Token,
    /// Oldest dialect only: the catch-up that was asked for on this connection is complete.
    pub ends_catch_up: bool,
}

/// A user started or stopped syncing: `USER_SYNC instance_id user device state ms`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserSync {
    /// Random id of the sending process; absent in the oldest dialect.
    pub instance_id: Option<ByteString>,
    /// Matrix user id.
    pub user: ByteString,
    /// Device id; absent before 1.92 and where the wire says `None`.
    pub device: Option<ByteString>,
    /// Whether the user started (`start`) or stopped (`end`).
    pub syncing: bool,
    /// Milliseconds since the Unix epoch.
    pub last_sync_ms: i64,
}

/// `FEDERATION_ACK instance token`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FederationAck {
    /// The sender's name; absent before 1.18.
    pub instance: Option<ByteString>,
    /// All rows up to here are stored.
    pub token: Token,
}

/// `REMOVE_PUSHER app_id push_key user`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RemovePusher {
    /// Application id.
    pub app_id: ByteString,
    /// Push key. May hold spaces; see `protocol.md` 2.5.
    pub push_key: ByteString,
    /// Matrix user id.
    pub user: ByteString,
}

/// `INVALIDATE_CACHE function keys`. `Debug` leaves keys out that are access tokens.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InvalidateCache {
    /// Name of the cached function.
    pub function: ByteString,
    /// Keys, verbatim JSON array.
    pub keys: Row,
}

/// `USER_IP user [access_token, ip, user_agent, device_id, last_seen]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserIp {
    /// Matrix user id.
    pub user: ByteString,
    /// The client's access token: never in `Debug`, logs or traces.
    pub access_token: Secret,
    /// Client address.
    pub ip: String,
    /// User agent.
    pub user_agent: String,
    /// Device id, if there is one.
    pub device: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub last_seen_ms: i64,
}

/// `LOCK_RELEASED [instance, lock, key]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LockReleased {
    /// The instance that held the lock.
    pub instance: String,
    /// Lock name.
    pub lock: String,
    /// Lock key.
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
    /// The command's name, as on the wire.
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
