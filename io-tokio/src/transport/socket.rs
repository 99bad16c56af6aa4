//! tokio's sockets: the streams that the driver uses unless it is given others.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{Address, Connector, addresses};

/// The silence after which the system asks the far end whether it still knows the connection, and
/// then the time between two such questions. A router that forgets a connection does so after
/// minutes; asked before that, it does not.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The time after which a connection ends whose far end's system has not confirmed what was sent.
/// Systems confirm at once, however long the answer takes, and Linux's own time would be a quarter of
/// an hour. Less than a catch-up call has, so that a call on a dead connection can be made again.
#[cfg(target_os = "linux")]
const UNCONFIRMED: Duration = Duration::from_secs(20);

/// Has the system watch over a connection.
fn watch(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE);
    socket.set_tcp_keepalive(&keep_alive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNCONFIRMED))?;
    Ok(())
}

/// Connects with tokio's sockets, with `TCP_NODELAY` set and the system's keep-alive. A host with
/// several addresses is had at the first that answers; families take turns, and an address that is
/// silent for 250 ms gets the next one beside it. The default.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SocketConnector;

impl Connector for SocketConnector {
    type Stream = Socket;

    async fn connect(&self, address: &Address) -> io::Result<Socket> {
        match address {
            Address::Tcp { host, port } => {
                let resolved = tokio::net::lookup_host((host.as_str(), *port)).await?;
                let stream = addresses::connect(resolved).await?;
                stream.set_nodelay(true)?;
                watch(&stream)?;
                Ok(Socket(Kind::Tcp(stream)))
            }
            #[cfg(unix)]
            Address::Unix(path) => Ok(Socket(Kind::Unix(UnixStream::connect(path).await?))),
            #[cfg(not(unix))]
            Address::Unix(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this system has no Unix sockets; use a TCP address",
            )),
        }
    }
}

/// A TCP or Unix socket.
#[derive(Debug)]
pub struct Socket(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            #[cfg(unix)]
            Kind::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            #[cfg(unix)]
            Kind::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Kind::Tcp(stream) => stream.is_write_vectored(),
            #[cfg(unix)]
            Kind::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            #[cfg(unix)]
            Kind::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(unix)]
            Kind::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(unix)]
            Kind::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
