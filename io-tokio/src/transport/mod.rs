//! Byte streams: whatever can be connected to an [`Address`].
//!
//! The driver opens sockets through a [`Connector`] only, so the whole of it runs on a simulated
//! network as well: implement the trait for the simulator's `TcpStream` and hand it to
//! [`Builder::connector`](crate::Builder::connector).

use std::{fmt, future::Future, io, path::PathBuf, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};

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

/// Time for what was sent to go out before a close.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Room that a read is offered. Messages have some 200 bytes, so one read brings hundreds.
pub(crate) const READ_BYTES: usize = 64 << 10;

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A TCP host (name, IPv4 or IPv6 without brackets) and port.
    Tcp {
        /// Host.
        host: String,
        /// Port.
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
    /// An open stream.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Opens a stream to `address`. Need not time out: the driver drops the future then.
    ///
    /// # Errors
    /// What the system said.
    fn connect(&self, address: &Address) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}
