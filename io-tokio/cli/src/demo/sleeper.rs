//! A peer that requests every stream and reads nothing until the end.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// The receive buffer of the peer: small, so that the writer notices soon that nobody reads.
const RECEIVE_BUFFER_BYTES: u32 = 16 << 10;
/// The longest time to read, at the end, what is still on its way.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most bytes of it that are kept: only the last lines are of interest.
const TAIL_BYTES: usize = 256;

/// A connection to the writer on which nobody reads.
pub(super) struct Sleeper(TcpStream);

impl Sleeper {
    pub(super) async fn connect(writer: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        let mut stream = socket.connect(writer).await?;
        stream.write_all(b"NAME sleeper\nREPLICATE \n").await?;
        Ok(Self(stream))
    }

    /// Reads to the end of the connection. Returns `None` if the writer has not ended it; else the
    /// ERROR that it sent last. There is no ERROR if the connection was gone before there was room
    /// for one.
    pub(super) async fn wake_up(mut self) -> Option<Option<String>> {
        let mut tail = Vec::new();
        let mut chunk = vec![0; 64 << 10];
        let to_the_end = async {
            while let Ok(count @ 1..) = self.0.read(&mut chunk).await {
                tail.extend_from_slice(&chunk[..count]);
                let surplus = tail.len().saturating_sub(TAIL_BYTES);
                tail.drain(..surplus);
            }
        };
        timeout(PATIENCE, to_the_end).await.ok()?;
        let tail = String::from_utf8_lossy(&tail);
        Some(tail.lines().last().filter(|line| line.starts_with("ERROR")).map(str::to_owned))
    }
}
