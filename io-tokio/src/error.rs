//! Errors of the caller: settings and calls. What the network gets wrong are
//! [`Event`](crate::Event)s.

use std::{io, path::PathBuf};

use synrepl_core::{ConfigError, Misuse, stream::Token};
use thiserror::Error;

/// A URL that cannot be used. Shows the URL without its password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{url:?} is not an address to use: {problem}. Accepted: {accepted}")]
#[non_exhaustive]
pub struct UrlError {
    /// The URL, with everything before the last `@` of its authority redacted.
    pub url: String,
    /// What is wrong with it.
    pub problem: String,
    /// The forms that are accepted.
    pub accepted: &'static str,
}

/// The replication secret could not be read from its file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// The file cannot be read.
    #[error("cannot read the replication secret from {path}: {error}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The file holds only white space.
    #[error("{path} holds no replication secret; put worker_replication_secret into it", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The driver cannot be built from these settings.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting of the core.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A limit of the driver.
    #[error("limit `{limit}` {problem}")]
    Limit {
        /// Name of the field of [`Limits`](crate::Limits).
        limit: &'static str,
        /// What is wrong and what to do.
        problem: &'static str,
    },
    /// The server name cannot be a channel name.
    #[error("server name {name:?} {problem}; it is Synapse's server_name, as in user ids")]
    ServerName {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The secret cannot stand in an HTTP header.
    #[error(
        "the replication secret has a character that an HTTP header cannot carry; \
         it must be the exact worker_replication_secret, without a line break"
    )]
    Secret,
    /// The CA file cannot be used.
    #[error("CA file {path}: {problem}", path = path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// TLS cannot be set up.
    #[error("TLS for {url} cannot be set up: {problem}")]
    Tls {
        /// The address, without secrets.
        url: String,
        /// What rustls said.
        problem: String,
    },
    /// `rediss://` or `https://` in a build without the feature `tls`.
    #[error("{url:?} needs TLS; build with the feature `tls`")]
    NoTls {
        /// The address, without secrets.
        url: String,
    },
    /// [`Builder::spawn`](crate::Builder::spawn) was called outside a tokio runtime.
    #[error("there is no tokio runtime here; call spawn() inside one, or place driver() yourself")]
    NoRuntime,
}

/// The driver broke the core's contract: a defect of this crate, reported instead of hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the driver misused the core, which is a defect of synrepl: {0}")]
pub struct DriverError(#[from] pub(crate) Misuse);

/// The driver has stopped, so it answers no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("replication has stopped")]
#[non_exhaustive]
pub struct Stopped;

/// Why a command was not sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// Built with [`Builder::observe_only`](crate::Builder::observe_only).
    #[error("this instance only observes and sends nothing")]
    ObserveOnly,
    /// There is no connection now; send again after the next `Connected`.
    #[error("there is no connection now")]
    Disconnected,
    /// A client of the release that is spoken may not say it, or it is said when it is due.
    #[error("a client of this release may not say this, or it is said when it is due")]
    NotForClients,
    /// RDATA and POSITION go out as a log says: append to it
    /// ([`Handle::append`](crate::Handle::append)).
    #[error("rows and positions go out from a log: give the builder one and append to it")]
    OnlyFromLog,
    /// The command has no form on the wire.
    #[error("the command cannot be sent: {problem}")]
    Unencodable {
        /// What the encoder said.
        problem: String,
    },
    /// The driver has stopped.
    #[error("replication has stopped")]
    Stopped,
}

/// Why a wait ended without reaching its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The time passed first.
    #[error("the source did not reach the token in time; it stands at {position:?}")]
    TimedOut {
        /// Where the source stood; `None` if it was never heard of.
        position: Option<Token>,
    },
    /// There were too many open waits, or the node is stopping.
    #[error("the wait was refused: too many are open, or replication is stopping")]
    Refused,
    /// The driver has stopped.
    #[error("replication has stopped")]
    Stopped,
}
