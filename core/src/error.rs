//! Errors of the caller: settings that cannot work, and a broken contract. Faults of peers and of
//! the world outside are in [`crate::wire`] and [`crate::stream`].

use thiserror::Error;

use crate::{
    ids::{ConnectionId, FetchId, ReadId, WaitId},
    time::Timestamp,
};

/// A setting cannot work.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
#[error("setting `{setting}` {problem}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The name of the field of [`Config`](crate::Config), with its group if it has one.
    pub setting: &'static str,
    /// The fault of the setting, and what to do.
    pub problem: String,
}

/// The driver broke the contract of [`Node::handle`](crate::Node::handle). The state is
/// unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Misuse {
    /// Time went back.
    #[error("time went back from {from} to {to}")]
    TimeWentBack {
        /// The latest time handed in before.
        from: Timestamp,
        /// The time handed in now.
        to: Timestamp,
    },
    /// The connection was neither requested by the core nor accepted, or it has ended.
    #[error("connection {0} is not one that the core asked for and that is still open")]
    UnknownConnection(ConnectionId),
    /// The connection was reported as connected twice, or was used before it was connected; or a
    /// line was too long on a connection that has no lines.
    #[error("connection {0} is not in the state for this input")]
    WrongConnectionState(ConnectionId),
    /// The id of an accepted connection is not above those accepted before, or is not one of
    /// [`ConnectionId::accepted`].
    #[error("connection {0} cannot be that of a newly accepted peer")]
    ConnectionIdInUse(ConnectionId),
    /// More commands were reported as gone out than were sent, or none.
    #[error("connection {0} reports commands as gone out that were not sent on it")]
    NothingToConfirm(ConnectionId),
    /// The wire cannot carry the name of an own stream.
    #[error("an own stream has a name that is empty or has a space or control character")]
    BadStreamName,
    /// The answer is to a fetch that the core did not request.
    #[error("{0} was never asked for")]
    UnknownFetch(FetchId),
    /// The answer is to a read of an own log that the core did not request.
    #[error("{0} was never asked for")]
    UnknownRead(ReadId),
    /// The id of a wait is that of an open one.
    #[error("wait {0} is already open")]
    WaitInUse(WaitId),
}
