//! Byte streams: whatever can be connected to an [`Address`]. Addresses enter, streams of bytes
//! leave, with TLS or without.
//!
//! The driver opens sockets through a [`Connector`] only, and accepts them through a [`Listener`]
//! only, so the whole of it runs on a simulated network as well: implement the traits for the
//! simulator's streams and hand them to [`Builder::connector`](crate::Builder::connector) and
//! [`Builder::listen`](crate::Builder::listen).

use std::{fmt, future::Future, io, path::PathBuf, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};

mod addresses;
mod listener;
mod socket;
mod stream;
#[cfg(feature = "tls")]
pub(crate) mod tls;

pub(crate) use self::stream::{Secured, Security};
pub use self::{
    listener::Listener,
    socket::{Socket, SocketConnector},
};

/// The time that what was sent has to go out before a connection is closed.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The room that a read is offered, in bytes. Messages have some 200 bytes, so one read brings
/// hundreds.
pub(crate) const READ_BYTES: usize = 64 << 10;

/// An address to connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A host, by its name or by its IPv4 or IPv6 address (without brackets), and a TCP port.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Opens byte streams.
pub trait Connector: Clone + Send + Sync + 'static {
    /// The type of an open stream.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Opens a stream to `address`. It need not time out: the driver drops the future then.
    ///
    /// # Errors
    /// The error of the system.
    fn connect(&self, address: &Address) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}
