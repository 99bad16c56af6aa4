//! The errors of this crate's callers: settings that cannot work, and calls that failed. Faults of
//! the network are not among them: they are [`Event`](crate::Event)s.

use std::{io, path::PathBuf};

use synrepl_core::{ConfigError, Misuse, stream::Token};
use thiserror::Error;

/// A URL or address that cannot be used. `Display` shows it without its password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{url:?} is not an address to use: {problem}. Accepted: {accepted}")]
#[non_exhaustive]
pub struct UrlError {
    /// The URL, with everything before the last `@` of its authority redacted.
    pub url: String,
    /// The fault of the URL.
    pub problem: String,
    /// The forms that are accepted, for people.
    pub accepted: &'static str,
}

/// The replication secret could not be read from its file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// The file cannot be read.
    #[error("cannot read the replication secret from {path}: {error}", path = path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        error: io::Error,
    },
    /// The file holds only white space.
    #[error("{path} holds no replication secret; put worker_replication_secret into it", path = path.display())]
    Empty {
        /// The path of the file.
        path: PathBuf,
    },
}

/// The settings from which a driver cannot be built, or the place where it cannot run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting of the core cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A limit of the driver cannot work.
    #[error("limit `{limit}` {problem}")]
    Limit {
        /// The name of the field of [`Limits`](crate::Limits).
        limit: &'static str,
        /// The fault of the value, and what to do.
        problem: &'static str,
    },
    /// The server name cannot be the name of a channel, or is needed and missing (then empty).
    #[error("server name {name:?} {problem}; it is Synapse's server_name, as in user ids")]
    ServerName {
        /// The server name as it was given.
        name: String,
        /// The fault of the name.
        problem: &'static str,
    },
    /// The replication secret has a character that no HTTP header can carry.
    #[error(
        "the replication secret has a character that an HTTP header cannot carry; \
         it must be the exact worker_replication_secret, without a line break"
    )]
    Secret,
    /// The file with the CAs to trust cannot be used.
    #[error("CA file {path}: {problem}", path = path.display())]
    CaFile {
        /// The path of the file.
        path: PathBuf,
        /// The fault of the file, or the error of the system.
        problem: String,
    },
    /// TLS cannot be set up.
    #[error("TLS for {url} cannot be set up: {problem}")]
    Tls {
        /// The address to connect to, without secrets.
        url: String,
        /// The error of rustls.
        problem: String,
    },
    /// The address needs TLS (`rediss://`, `https://`), and this build lacks the feature `tls`.
    #[error("{url:?} needs TLS; build with the feature `tls`")]
    NoTls {
        /// The address to connect to, without secrets.
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

/// The driver has stopped, so no call is answered any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("replication has stopped")]
#[non_exhaustive]
pub struct Stopped;

/// The reason why a command was not sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// This instance observes only ([`Builder::observe_only`](crate::Builder::observe_only)).
    #[error("this instance only observes and sends nothing")]
    ObserveOnly,
    /// There is no connection now. Send again after the next
    /// [`Connected`](crate::Event::Connected).
    #[error("there is no connection now")]
    Disconnected,
    /// A client of the release that is spoken may not send it, or this instance itself sends it
    /// when it is due.
    #[error("a client of this release may not say this, or it is said when it is due")]
    NotForClients,
    /// RDATA and POSITION are sent only as the log of an own stream has them: append to it
    /// ([`Handle::append`](crate::Handle::append)).
    #[error("rows and positions go out from a log: give the builder one and append to it")]
    OnlyFromLog,
    /// The command has no form on the wire, or is too long for it.
    #[error("the command cannot be sent: {problem}")]
    Unencodable {
        /// The error of the encoder.
        problem: String,
    },
    /// The driver has stopped.
    #[error("replication has stopped")]
    Stopped,
}

/// The reason why a wait ended without reaching its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The time passed before the source reached the token.
    #[error("the source did not reach the token in time; it stands at {position:?}")]
    TimedOut {
        /// The position at that time; `None` if nothing was ever received of the source.
        position: Option<Token>,
    },
    /// The source is not followed, there were too many open waits, or the node is stopping.
    #[error(
        "the wait was refused: the source is not followed, too many are open, or replication is \
         stopping"
    )]
    Refused,
    /// The driver has stopped.
    #[error("replication has stopped")]
    Stopped,
}
