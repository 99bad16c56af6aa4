//! The origin of rows and of reports of syncing users, and the reason why such reports become void.

use std::fmt;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{ids::ConnectionId, printable::Printable};

/// The way in which rows reached this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// The rows were received as RDATA.
    Live,
    /// The rows were fetched from the writer's log.
    CatchUp,
    /// The rows were fetched from the writer's log later than rows above: the audit found that they
    /// had been lost. They lie at or below the position, which stays where it is; among themselves
    /// their tokens rise.
    Audit,
    /// The rows lie at or below the position, which stays where it is, and their tokens had been
    /// passed: they had been lost, and were fetched because no row explained their tokens, or they
    /// were late (F12). They come in any order.
    Hole,
}

/// The sender of reports of syncing users (`protocol.md` 2.3, USER_SYNC).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SyncOrigin {
    /// A process, by the random id that it draws at its start.
    Instance(ByteString),
    /// A connection of the oldest dialect, which has no ids.
    Connection(ConnectionId),
}

/// The reason why the reports of an origin about its users are void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClearedReason {
    /// The origin announced that it stops.
    Stopped,
    /// The origin reported no user for
    /// [`UsersConfig::syncing_expires_after`](crate::UsersConfig::syncing_expires_after).
    Silent,
    /// The connection of the origin ended.
    Disconnected,
}

/// The other end of a connection: the peer that made it, by its number, or the server that we
/// connected to.
pub(super) struct OtherEnd(pub(super) ConnectionId);

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::CatchUp => "caught up",
            Self::Audit => "found by the audit",
            Self::Hole => "found in a hole",
        })
    }
}

impl fmt::Display for SyncOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(id) => write!(f, "instance {}", Printable::name(id)),
            Self::Connection(conn) => OtherEnd(*conn).fmt(f),
        }
    }
}

impl fmt::Display for ClearedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "it stops",
            Self::Silent => "it reported no user for too long",
            Self::Disconnected => "its connection ended",
        })
    }
}

impl fmt::Display for OtherEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.accepted_number() {
            Some(number) => write!(f, "peer {number}"),
            None => f.write_str("the server"),
        }
    }
}
