//! The simulated network, as the connector and the listener of drivers.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use synrepl::transport::{Address, Connector, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

#[derive(Clone)]
pub(super) struct Simulated;

impl Connector for Simulated {
    type Stream = TcpStream;

    async fn connect(&self, address: &Address) -> io::Result<TcpStream> {
        match address {
            Address::Tcp { host, port } => TcpStream::connect((host.as_str(), *port)).await,
            other => panic!("no way to {other}"),
        }
    }
}

/// The connections that the writer has accepted, in that order. When the writer dies, its tasks are
/// dropped in an order that differs from run to run, and each connection that is dropped draws from
/// the network's random numbers; so the first of them that is dropped closes all.
#[derive(Clone, Default)]
pub(super) struct OpenStreams(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    streams: BTreeMap<u64, Slot>,
    accepted: u64,
    dying: bool,
}

type Slot = Arc<Mutex<Option<TcpStream>>>;

impl OpenStreams {
    /// Sets whether the writer is dying: from just before its crash until just after it.
    pub(super) fn set_dying(&self, dying: bool) {
        lock(&self.0).dying = dying;
    }

    fn accept(&self, stream: TcpStream) -> Accepted {
        let slot = Arc::new(Mutex::new(Some(stream)));
        let mut open = lock(&self.0);
        let number = open.accepted;
        open.accepted += 1;
        open.streams.insert(number, Arc::clone(&slot));
        Accepted { slot, number, open: self.clone() }
    }
}

/// The writer's end of a connection.
pub(super) struct Accepted {
    slot: Slot,
    number: u64,
    open: OpenStreams,
}

impl Accepted {
    fn with<T>(
        &self,
        act: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut *lock(&self.slot) {
            Some(stream) => act(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        let mut open = lock(&self.open.0);
        let closing = if open.dying {
            std::mem::take(&mut open.streams)
        } else {
            open.streams.remove_entry(&self.number).into_iter().collect()
        };
        drop(open);
        for slot in closing.values() {
            lock(slot).take();
        }
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Listening {
    listener: TcpListener,
    open: OpenStreams,
}

impl Listening {
    pub(super) async fn on(port: u16, open: OpenStreams) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(("0.0.0.0", port)).await?, open })
    }
}

impl Listener for Listening {
    type Stream = Accepted;

    async fn accept(&mut self) -> io::Result<(Accepted, String)> {
        let (stream, peer) = self.listener.accept().await?;
        Ok((self.open.accept(stream), peer.to_string()))
    }
}
