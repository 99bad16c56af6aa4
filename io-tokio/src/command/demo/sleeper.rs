//! A peer that asks for everything and reads nothing.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// What the system buffers for it: little, so that the writer notices soon.
const RECEIVE_BUFFER_BYTES: u32 = 16 << 10;
/// Time to read what was on the way, at the end.
const PATIENCE: Duration = Duration::from_secs(3);
/// What is kept of it: the last lines are of interest.
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

    /// Reads at last. Whether the writer has ended the connection, and what ERROR it said last:
    /// none, if the connection was gone before there was room for one.
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
