//! Measures a writer whose peers take everything at once.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use synrepl::{Builder, Dialect, Row, transport::Listener};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

use crate::{cpu_time, nanos_each, writer};

/// The number of connections.
pub(crate) const PEERS: usize = 100;

const UPDATES: usize = 5_000;

/// Whether the next update waits until the last one has reached every peer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    InARow,
    OneAtATime,
}

/// The account of what all sinks have taken.
#[derive(Default)]
struct Taken {
    bytes: AtomicU64,
    awaited: AtomicU64,
    reached: Notify,
}

impl Taken {
    /// Waits until the sinks have taken this many more bytes than before, together.
    async fn more(&self, bytes: u64) {
        let awaited = self.awaited.fetch_add(bytes, Ordering::Relaxed) + bytes;
        while self.bytes.load(Ordering::Relaxed) < awaited {
            self.reached.notified().await;
        }
    }

    /// Waits until the sinks fall quiet, and counts what they have taken by then as done.
    async fn settle(&self) {
        let mut before = u64::MAX;
        while before != self.bytes.load(Ordering::Relaxed) {
            before = self.bytes.load(Ordering::Relaxed);
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        }
        self.awaited.store(before, Ordering::Relaxed);
    }
}

struct Sink(Arc<Taken>);

impl AsyncRead for Sink {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = &self.0;
        let all = taken.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed) + bytes.len() as u64;
        if all >= taken.awaited.load(Ordering::Relaxed) {
            taken.reached.notify_one();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, &pieces[0])
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Sinks {
    taken: Arc<Taken>,
    left: usize,
}

impl Listener for Sinks {
    type Stream = Sink;

    async fn accept(&mut self) -> io::Result<(Sink, String)> {
        if self.left == 0 {
            std::future::pending::<()>().await;
        }
        self.left -= 1;
        Ok((Sink(Arc::clone(&self.taken)), "sink".to_owned()))
    }
}

/// Returns the CPU time per delivery, in nanoseconds.
pub(crate) fn pass_ns(pace: Pace) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(pass(pace))
}

async fn pass(pace: Pace) -> f64 {
    let taken = Arc::<Taken>::default();
    let listener = Sinks { taken: Arc::clone(&taken), left: PEERS };
    let mut replication = Builder::standalone()
        .server_name("matrix.example.org")
        .instance("writer")
        .shared_log(writer::log())
        .listen(listener, Dialect::V1_22)
        .spawn()
        .expect("settings that work");
    let handle = replication.handle();
    handle.append("events", [Row::from("[0]")]).await.expect("appended");
    while handle.stats().await.expect("running").peers_now < PEERS as u64 {
        while replication.try_next().is_some() {}
    }
    taken.settle().await;

    let rows: Vec<Row> = (0..UPDATES).map(|number| writer::row(number).as_str().into()).collect();
    let line = |token: usize, row: &Row| {
        format!("RDATA events writer {token} {row}\n", row = row.as_str()).len() as u64
    };
    let bytes: Vec<u64> =
        rows.iter().enumerate().map(|(index, row)| PEERS as u64 * line(index + 2, row)).collect();
    let start = cpu_time();
    match pace {
        Pace::InARow => {
            for row in rows {
                handle.append("events", [row]).await.expect("appended");
            }
            taken.more(bytes.iter().sum()).await;
        }
        Pace::OneAtATime => {
            for (row, bytes) in rows.into_iter().zip(bytes) {
                handle.append("events", [row]).await.expect("appended");
                taken.more(bytes).await;
            }
        }
    }
    nanos_each(cpu_time() - start, (UPDATES * PEERS) as f64)
}
