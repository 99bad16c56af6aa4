//! A proxy between a follower and the writer that can cut the connection, inside a line too.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// The most bytes that are passed on at once.
const CHUNK_BYTES: usize = 16 << 10;

/// The present behaviour of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Everything is passed on.
    Passing,
    /// The next chunk is passed on up to its middle; then the connection ends, and new ones end
    /// at once.
    Cut,
}

/// A running proxy, which ends with its connections when dropped.
pub(super) struct Proxy {
    mode: Arc<watch::Sender<Mode>>,
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy to `writer` that listens on a free port of the loopback address.
    pub(super) async fn start(writer: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mode = Arc::new(watch::Sender::new(Mode::Passing));
        let task = tokio::spawn(accept(listener, writer, Arc::clone(&mode)));
        Ok(Self { mode, address, task })
    }

    /// The address that the follower connects to.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    pub(super) fn mend(&self) {
        self.mode.send_replace(Mode::Passing);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one connection at a time: a follower makes no more.
async fn accept(listener: TcpListener, writer: SocketAddr, mode: Arc<watch::Sender<Mode>>) {
    while let Ok((follower, _)) = listener.accept().await {
        // The follower notices by itself how the connection ends.
        let _ended = pass(follower, writer, mode.subscribe()).await;
    }
}

async fn pass(
    follower: TcpStream,
    writer: SocketAddr,
    mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    if *mode.borrow() == Mode::Cut {
        return Ok(());
    }
    let writer = TcpStream::connect(writer).await?;
    follower.set_nodelay(true)?;
    writer.set_nodelay(true)?;
    let (from_follower, to_follower) = follower.into_split();
    let (from_writer, to_writer) = writer.into_split();
    tokio::select! {
        biased;
        ended = forward(from_follower, to_writer) => ended,
        ended = forward_with_faults(from_writer, to_follower, mode) => ended,
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    tokio::io::copy(&mut from, &mut to).await?;
    Ok(())
}

async fn forward_with_faults(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = from.read(&mut chunk).await?;
        let Some(read) = chunk.get(..count).filter(|read| !read.is_empty()) else {
            return Ok(());
        };
        if *mode.borrow() == Mode::Cut {
            return to.write_all(&read[..read.len() / 2]).await;
        }
        to.write_all(read).await?;
    }
}
