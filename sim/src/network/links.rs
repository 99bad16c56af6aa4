//! The byte streams of the simulated network, as the driver gets them: cut into pieces if the
//! scenario says so. They count the fetches and the bytes that are under way.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use synrepl::transport::{Address, Connector};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;

use super::{
    hosts::HTTP_PORT,
    redis::{PORT as REDIS_PORT, Party},
    stage::Stage,
};
use crate::{marks::Mark, world::scramble};

/// While streams come in pieces, one write of this many is cut short.
const WRITES_PER_PIECE: u64 = 4;

/// Opens streams on the simulated network, for one instance.
#[derive(Clone, Debug)]
pub(super) struct Simulated {
    pub(super) stage: Stage,
    pub(super) party: Party,
}

impl Connector for Simulated {
    type Stream = Link;

    async fn connect(&self, address: &Address) -> io::Result<Link> {
        let Address::Tcp { host, port } = address else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, format!("no way to {address}")));
        };
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        let local = stream.local_addr()?;
        let carries = match (*port, self.party) {
            (HTTP_PORT, Party::Follower(follower)) => {
                Carries::Fetches { follower, asking: false, answers: 0 }
            }
            (REDIS_PORT, _) | (_, Party::Writer(_)) => Carries::Other,
            (_, Party::Follower(_)) => Carries::Rows { here: local },
        };
        Ok(Link::new(stream, self.stage.clone(), self.party, carries))
    }
}

/// What a stream carries, as the end that opened it knows.
#[derive(Debug)]
enum Carries {
    /// The stream carries a follower's calls for missed rows.
    Fetches {
        follower: usize,
        asking: bool,
        answers: u32,
    },
    /// The stream carries what a server on direct TCP says to the follower at this address.
    Rows {
        here: SocketAddr,
    },
    Other,
}

/// A stream that both its [`Link`] and the stage can close. A host that dies drops its tasks in an
/// order that differs from run to run, and the network draws a random number for each stream that
/// is dropped; so the stage closes the streams of that host in an order of its own.
type Slot = Arc<Mutex<Option<TcpStream>>>;

/// The open streams of every host, in the order in which they were opened.
#[derive(Debug, Default)]
pub(super) struct OpenStreams {
    slots: BTreeMap<(Party, u64), Slot>,
    dying: Option<Party>,
}

impl OpenStreams {
    /// Names the instance whose host is about to die, or nobody once it has died.
    pub(super) const fn set_dying(&mut self, party: Option<Party>) {
        self.dying = party;
    }

    /// Returns the streams that are to be closed, in order, as the end of one is dropped.
    fn on_drop(&mut self, party: Party, number: u64) -> Vec<Slot> {
        if self.dying != Some(party) {
            self.slots.remove(&(party, number));
            return Vec::new();
        }
        self.slots.extract_if((party, 0)..=(party, u64::MAX), |_, _| true).map(|(_, s)| s).collect()
    }
}

/// One end of a byte stream.
#[derive(Debug)]
pub(super) struct Link {
    stream: Slot,
    stage: Stage,
    party: Party,
    /// The number of this end among all ends.
    number: u64,
    carries: Carries,
    seed: u64,
    /// The number of pieces so far.
    pieces: u64,
    /// The next read finds nothing at first.
    rests: bool,
}

impl Link {
    fn new(stream: TcpStream, stage: Stage, party: Party, carries: Carries) -> Self {
        let stream = Arc::new(Mutex::new(Some(stream)));
        let mut contents = stage.lock();
        let (number, seed) = contents.next_stream();
        contents.open.slots.insert((party, number), Arc::clone(&stream));
        drop(contents);
        Self { stream, stage, party, number, carries, seed, pieces: 0, rests: false }
    }

    /// Makes the end of a stream that this instance has accepted.
    pub(super) fn accepted(stream: TcpStream, stage: Stage, party: Party) -> Self {
        Self::new(stream, stage, party, Carries::Other)
    }

    fn with<T>(
        &self,
        act: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *stream {
            Some(stream) => act(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    /// Returns the size of the next piece, or `None` if streams are not cut.
    fn next_piece(&mut self) -> Option<usize> {
        let mut stage = self.stage.lock();
        let most = u64::from(stage.pieces);
        if most == 0 {
            return None;
        }
        stage.marks.hit(if most == 1 { Mark::SingleBytes } else { Mark::Pieces });
        self.pieces += 1;
        usize::try_from(1 + scramble(self.seed, 0, self.pieces) % most).ok()
    }

    fn poll_read_piece(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rests {
            // This pause finds a reader that forgets a part when nothing follows it at once.
            self.rests = false;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(size) = self.next_piece() else {
            return self.with(|stream| stream.poll_read(cx, buffer));
        };
        let mut bytes = [0; u8::MAX as usize];
        let mut piece = ReadBuf::new(&mut bytes[..size.min(buffer.remaining())]);
        ready!(self.with(|stream| stream.poll_read(cx, &mut piece)))?;
        buffer.put_slice(piece.filled());
        self.rests = !piece.filled().is_empty();
        Poll::Ready(Ok(()))
    }

    fn on_read(&mut self, count: usize) {
        match &mut self.carries {
            Carries::Fetches { follower, asking, answers } => {
                if std::mem::take(asking) {
                    let mut stage = self.stage.lock();
                    stage.followers[*follower].calls -= 1;
                    if *answers > 0 && count > 0 {
                        stage.marks.hit(Mark::FetchReused);
                    }
                    *answers += 1;
                }
            }
            Carries::Rows { here } => self.stage.lock().direct.took(*here, count),
            Carries::Other => {}
        }
    }

    fn on_written(&mut self) {
        if let Carries::Fetches { follower, asking, .. } = &mut self.carries
            && !std::mem::replace(asking, true)
        {
            self.stage.lock().on_call(*follower);
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(self.poll_read_piece(cx, buffer));
        self.on_read(buffer.filled().len() - before);
        Poll::Ready(read)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let size = match self.next_piece() {
            // Not every write is cut: each piece is a segment, and the network looks at every
            // segment under way in every step.
            Some(size) if self.pieces.is_multiple_of(WRITES_PER_PIECE) => size.min(bytes.len()),
            Some(_) | None => bytes.len(),
        };
        let written = ready!(self.with(|stream| stream.poll_write(cx, &bytes[..size])));
        self.on_written();
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        match self.carries {
            Carries::Fetches { follower, asking: true, .. } => {
                self.stage.lock().followers[follower].calls -= 1;
            }
            Carries::Rows { here } => self.stage.lock().direct.left(here),
            Carries::Fetches { .. } | Carries::Other => {}
        }
        let closing = self.stage.lock().open.on_drop(self.party, self.number);
        for slot in closing {
            // The stage is not locked here, as the network may drop the other end as well.
            let stream = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(stream);
        }
    }
}
