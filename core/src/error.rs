//! Errors of the caller. What peers and the world get wrong is in [`crate::wire`] and
//! [`crate::stream`].

use thiserror::Error;

use crate::{
    ids::{ConnectionId, FetchId, ReadId, WaitId},
    time::Timestamp,
};

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
#[error("setting `{setting}` {problem}")]
#[non_exhaustive]
pub struct ConfigError {
    /// Name of the field of [`Config`](crate::Config).
    pub setting: &'static str,
    /// What is wrong and what to do.
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
    /// A connection that the core did not ask for, or that has ended.
    #[error("connection {0} is not one that the core asked for and that is still open")]
    UnknownConnection(ConnectionId),
    /// `Connected` twice, or something received before it.
    #[error("connection {0} is not in the state for this input")]
    WrongConnectionState(ConnectionId),
    /// An accepted connection whose id was used before, or is not one of
    /// [`ConnectionId::accepted`].
    #[error("connection {0} cannot be that of a newly accepted peer")]
    ConnectionIdInUse(ConnectionId),
    /// More commands reported as gone out than were sent.
    #[error("connection {0} reports commands as gone out that were not sent on it")]
    NothingToConfirm(ConnectionId),
    /// The name of an own stream that the wire cannot carry.
    #[error("an own stream has a name that is empty or has a space or control character")]
    BadStreamName,
    /// The answer to a fetch that the core did not ask for.
    #[error("{0} was never asked for")]
    UnknownFetch(FetchId),
    /// A page of an own log that the core did not ask for.
    #[error("{0} was never asked for")]
    UnknownRead(ReadId),
    /// A wait id that is already in use.
    #[error("wait {0} is already open")]
    WaitInUse(WaitId),
}
