//! The interface to accept connections. What it accepts leaves as streams of bytes; errors are
//! waited out by the caller.

use std::{future::Future, io};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// Accepts byte streams. Implement it for a simulator's listener to run the whole driver on a
/// simulated network.
pub trait Listener: Send + 'static {
    /// The type of an accepted stream.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next stream; the text names the peer that connected, for people.
    ///
    /// # Errors
    /// The error of the system. One that passes (a peer that went away, no free descriptors) is
    /// waited out; none ends the listener.
    ///
    /// # Cancel safety
    /// Implementations must be cancel safe.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, String)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    #[expect(clippy::use_self, reason = "`Self::accept` reads like a call of itself")]
    async fn accept(&mut self) -> io::Result<(TcpStream, String)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok((stream, peer.to_string()))
    }
}
