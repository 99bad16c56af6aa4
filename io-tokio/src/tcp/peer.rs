//! The task of one accepted connection, so that no peer ever delays another (P5). Lines of the peer
//! leave to the driver as inputs; chunks from its outbox go out on the socket.

use std::{
    future::{Future as _, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use synrepl_core::{ConnectionId, Input};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::{Sleep, sleep},
};
use tokio_util::sync::PollSender;

use super::{
    outbox::{Outbox, Reports},
    peers::PeerInput,
    socket::{Failure, Line, LineSocket},
};
use crate::transport::CLOSE_TIMEOUT;

/// The room that a read is offered, in bytes. Peers send little: a line now and then.
const READ_BYTES: usize = 4 << 10;

/// The ends of the driver's queues that a peer's task uses.
pub(super) struct PeerChannels {
    pub(super) conn: ConnectionId,
    pub(super) outbox: Arc<Outbox>,
    pub(super) inputs: mpsc::Sender<PeerInput>,
    pub(super) reports: Reports,
}

/// Moves lines between the peer and the driver until either closes; returns the reason of the end,
/// for people.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    seat: PeerChannels,
) -> String {
    let mut peer = Peer {
        conn: seat.conn,
        socket: LineSocket::new(stream, READ_BYTES),
        next: None,
        inputs: PollSender::new(seat.inputs),
        reports: seat.reports,
        outbox: Ending(seat.outbox),
        closing: None,
    };
    poll_fn(|cx| peer.poll(cx)).await
}

struct Peer<S> {
    conn: ConnectionId,
    socket: LineSocket<S>,
    /// The line for which the driver has no place yet.
    next: Option<PeerInput>,
    inputs: PollSender<PeerInput>,
    reports: Reports,
    outbox: Ending,
    /// Set once a close was requested: the time that what was sent has to go out.
    closing: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        let close = self.outbox.0.take(cx, |chunk| self.socket.push(chunk));
        let written = self.socket.poll_write(cx);
        let sent = self.socket.take_sent();
        if sent > 0 {
            self.reports.add(self.conn, sent);
        }
        if close {
            let deadline = self.closing.get_or_insert_with(|| Box::pin(sleep(CLOSE_TIMEOUT)));
            let late = deadline.as_mut().poll(cx);
            if late.is_ready() && written.is_pending() {
                return Poll::Ready("closed on request, with commands that it did not take".into());
            }
            return match (self.socket.poll_close(cx), late) {
                (Poll::Pending, Poll::Pending) => Poll::Pending,
                (_, _) => Poll::Ready("closed on request".to_owned()),
            };
        }
        self.poll_read(cx)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        loop {
            if self.next.is_none() {
                self.next = self.next_input();
            }
            if self.next.is_none() {
                if let Err(failure) = ready!(self.socket.poll_read(cx)) {
                    return Poll::Ready(failure);
                }
                continue;
            }
            let place = ready!(self.inputs.poll_reserve(cx));
            let (Ok(()), Some(input)) = (place, self.next.take()) else {
                return Poll::Ready("replication has stopped".to_owned());
            };
            // This cannot fail with a place reserved; if the driver is gone, the next reservation
            // fails.
            let _ = self.inputs.send_item(input);
        }
    }

    fn next_input(&mut self) -> Option<PeerInput> {
        let conn = self.conn;
        let input = match self.socket.next_line()? {
            Line::Command(command) => Input::Received { conn, command },
            Line::Malformed(error) => Input::Malformed { conn, error },
            Line::TooLong => Input::LineTooLong { conn },
        };
        Some(PeerInput { input, bytes_read: self.socket.take_bytes_read() })
    }
}

/// Ends the outbox when the task ends, however it ends, so that what waits in it is freed.
struct Ending(Arc<Outbox>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}
