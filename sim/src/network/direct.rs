//! Direct TCP at the server's end: what leaves for each peer is recorded, judged and damaged line
//! by line, and never more is on its way than a socket holds.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use synrepl::transport::Listener;
use synrepl_core::{
    ByteString, ConnectionId,
    wire::{Command, Decoder, Dialect, Replicate, encode},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpListener;

use super::{
    fault::damage,
    links::Link,
    redis::{Party, party_of, source_of},
    stage::{Contents, Stage, now},
};
use crate::{
    marks::Mark,
    oracle::{PeerOracle, Promise, Violation},
    trace::{MessageKind, What},
};

/// The writer that takes connections: the main process.
pub(super) const SERVER: usize = 0;

/// The bytes that the two sockets of a connection hold between them: some ten lines, so that the
/// server notices a slow peer.
const WINDOW: usize = 512;

/// The commands that a peer may leave untaken. They are so few that slow peers are cut off.
pub(super) const PEER_PENDING_MAX: u32 = 16;

/// The connections of direct TCP, by the address of the follower's end.
#[derive(Debug, Default)]
pub(super) struct Direct {
    ways: BTreeMap<SocketAddr, Way>,
    /// Connections that were accepted and that the server's core does not know of yet, by dialect.
    accepted: BTreeMap<Dialect, VecDeque<SocketAddr>>,
    peers: BTreeMap<ConnectionId, SocketAddr>,
}

#[derive(Debug)]
struct Way {
    follower: usize,
    dialect: Dialect,
    /// Bytes that were written for the follower and that it has not read.
    unread: usize,
    /// The task that drives the server's end.
    server: Option<Waker>,
    cut: bool,
    /// The follower has dropped its end.
    left: bool,
    /// The number of lines that the core has handed over, and of those that the socket has taken.
    handed: u64,
    taken: u64,
    oracle: PeerOracle,
}

impl Way {
    fn wake(&mut self) {
        if let Some(server) = self.server.take() {
            server.wake();
        }
    }
}

impl Direct {
    /// Counts the bytes that the follower at this address has read.
    pub(super) fn took(&mut self, address: SocketAddr, count: usize) {
        if let Some(way) = self.ways.get_mut(&address) {
            way.unread = way.unread.saturating_sub(count);
            way.wake();
        }
    }

    /// Notes that a follower has dropped its end of a connection.
    pub(super) fn left(&mut self, address: SocketAddr) {
        if let Some(way) = self.ways.get_mut(&address) {
            way.left = true;
            way.wake();
        }
    }

    /// Cuts all connections of a follower.
    pub(super) fn cut(&mut self, follower: usize) {
        for way in self.ways.values_mut().filter(|way| way.follower == follower) {
            way.cut = true;
            way.wake();
        }
    }

    /// Forgets the connections of the server's life before, as it starts.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    /// Notes the id that the server's core knows the oldest accepted connection by.
    pub(super) fn on_accepted(&mut self, conn: ConnectionId, dialect: Dialect) {
        if let Some(address) = self.accepted.get_mut(&dialect).and_then(VecDeque::pop_front) {
            self.peers.insert(conn, address);
        }
    }

    /// Counts a command that the server's core has handed over for a peer. Returns the number of
    /// lines that the peer has not taken, and the peer's number as a follower.
    pub(super) fn on_handed(
        &mut self,
        conn: ConnectionId,
        command: &Command,
    ) -> Option<(u64, usize)> {
        let way = self.ways.get_mut(self.peers.get(&conn)?)?;
        encode(command, way.dialect, &mut BytesMut::new()).ok()?;
        way.handed += 1;
        Some((way.handed.saturating_sub(way.taken), way.follower))
    }

    /// Forgets the id of a connection that ended.
    pub(super) fn on_disconnected(&mut self, conn: ConnectionId) {
        self.peers.remove(&conn);
    }
}

impl Contents {
    /// Checks P5: a peer is cut off at its limit. The ERROR that says so
    /// comes on top, with one more line at most.
    pub(super) fn check_untaken(&mut self, conn: ConnectionId, command: &Command) {
        let Some((untaken, follower)) = self.direct.on_handed(conn, command) else { return };
        if untaken > u64::from(PEER_PENDING_MAX) + 2 {
            let at = now();
            let what = format!("f{follower} has not taken {untaken} commands");
            let instance = crate::Scenario::writer_name(SERVER);
            let promise = Promise::CutsOff;
            self.break_promise(at, SERVER, Violation { promise, at, instance, source: None, what });
        }
    }

    /// Judges a whole line that leaves for a follower. Returns the line as it is sent on, and
    /// whether the connection ends behind it.
    fn on_line(&mut self, address: SocketAddr, line: &[u8]) -> (Bytes, bool) {
        let whole = Bytes::copy_from_slice(line);
        let Some(way) = self.direct.ways.get_mut(&address) else { return (whole, true) };
        way.taken += 1;
        let (follower, names) = (way.follower, way.dialect.names_instances());
        let at = now();
        let source = source_of(&whole);
        let mut verdict = Ok(());
        if let Ok(command) = Decoder::new().decode(&whole) {
            if let Some(log) = source
                .as_ref()
                .and_then(|source| self.logs.iter().find(|log| log.source == *source))
            {
                verdict = way.oracle.judge(at, &command, log);
            }
            if matches!(&command, Command::Error(text) if text.contains("keep up")) {
                self.marks.hit(Mark::DirectCutOff);
            }
        }
        if let Err(violation) = verdict {
            self.break_promise(at, SERVER, violation);
        }
        let lane = self.follower_lane(follower);
        let sent = if names { damage(self, follower, &whole, source.as_ref()) } else { whole };
        let message = self.next_message();
        let text = String::from_utf8_lossy(&sent).into_owned();
        let part = &mut self.followers[follower];
        part.under_way.push_back((message, ByteString::from(text.as_str())));
        let cut = part.count_to_cut();
        let kind = MessageKind::Command;
        let to = lane;
        self.note(at, SERVER, source.as_ref(), || What::Sent { message, to, kind, text });
        if cut {
            let text = "the connection is cut".to_owned();
            self.note(at, lane, None, || What::Fault { text });
        }
        (sent, cut)
    }

    /// Takes note of a whole line of a follower. Returns false if the line is lost, and the
    /// connection with it.
    fn on_said(&mut self, address: SocketAddr, line: Bytes) -> bool {
        let Some(way) = self.direct.ways.get_mut(&address) else { return true };
        let Ok(Command::Replicate(what)) = Decoder::new().decode(&line) else { return true };
        let follower = way.follower;
        if let Replicate::Stream { stream, .. } = &what {
            way.oracle.on_subscribed(stream);
        }
        self.check_silence(now(), follower, &line);
        let lose = &mut self.followers[follower].lose_replicates;
        let loses = *lose > 0;
        *lose = lose.saturating_sub(1);
        if loses {
            self.marks.hit(Mark::ReplicateLost);
            let text = "a REPLICATE gets lost with its connection".to_owned();
            self.note(now(), SERVER, None, || What::Fault { text });
        }
        !loses
    }
}

/// Takes the connections of followers that speak one dialect.
pub(super) struct DirectListener {
    pub(super) listener: TcpListener,
    pub(super) stage: Stage,
    pub(super) dialect: Dialect,
}

impl Listener for DirectListener {
    type Stream = Tap;

    async fn accept(&mut self) -> io::Result<(Tap, String)> {
        loop {
            self.stage.wait_to_accept(SERVER).await;
            let (stream, address) = self.listener.accept().await?;
            let host = turmoil::reverse_lookup(address.ip()).unwrap_or_default();
            let Some(Party::Follower(follower)) = party_of(&host) else { continue };
            let mut stage = self.stage.lock();
            if !stage.takes(Party::Follower(follower)) {
                drop(stage);
                continue;
            }
            stage.marks.hit(Mark::Accepted);
            let way = Way {
                follower,
                dialect: self.dialect,
                unread: 0,
                server: None,
                cut: false,
                left: false,
                handed: 0,
                taken: 0,
                oracle: PeerOracle::default(),
            };
            stage.direct.ways.insert(address, way);
            stage.direct.accepted.entry(self.dialect).or_default().push_back(address);
            drop(stage);
            let link = Link::accepted(stream, self.stage.clone(), Party::Writer(SERVER));
            let (said, line, out) = Default::default();
            let tap = Tap { link, stage: self.stage.clone(), address, said, line, out };
            return Ok((tap, host));
        }
    }
}

/// The server's end of one connection.
#[derive(Debug)]
pub(super) struct Tap {
    link: Link,
    stage: Stage,
    /// The address of the follower's end.
    address: SocketAddr,
    /// The part of the follower's next line that has come.
    said: BytesMut,
    /// The part of the server's next line that was written.
    line: BytesMut,
    /// Whole lines of the server that are not on their way yet.
    out: BytesMut,
}

impl Tap {
    /// Fails if the connection was cut; otherwise registers the task to be woken when it is.
    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        let mut stage = self.stage.lock();
        let Some(way) = stage.direct.ways.get_mut(&self.address) else { return Ok(()) };
        way.server = Some(cx.waker().clone());
        if way.cut { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }

    /// Returns the number of bytes that the sockets can still take.
    fn room(&self) -> usize {
        let mut stage = self.stage.lock();
        let Some(way) = stage.direct.ways.get(&self.address) else { return WINDOW };
        let room = if way.left { WINDOW } else { WINDOW.saturating_sub(way.unread) };
        if room == 0 {
            stage.marks.hit(Mark::DirectFull);
        }
        room
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        while !self.out.is_empty() {
            let room = self.room().min(self.out.len());
            if room == 0 {
                return Poll::Pending;
            }
            let count = ready!(Pin::new(&mut self.link).poll_write(cx, &self.out[..room]))?;
            self.out.advance(count);
            if let Some(way) = self.stage.lock().direct.ways.get_mut(&self.address) {
                way.unread += count;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes bytes of the server. Only whole lines go on.
    fn take(&mut self, bytes: &[u8]) {
        self.line.extend_from_slice(bytes);
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line = self.line.split_to(end + 1);
            let mut stage = self.stage.lock();
            let (sent, cut) = stage.on_line(self.address, &line[..end]);
            self.out.extend_from_slice(&sent);
            self.out.extend_from_slice(b"\n");
            if cut && let Some(way) = stage.direct.ways.get_mut(&self.address) {
                way.cut = true;
            }
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.link).poll_read(cx, buffer))?;
        let said = &buffer.filled()[before..];
        self.said.extend_from_slice(said);
        while let Some(end) = self.said.iter().position(|byte| *byte == b'\n') {
            let mut line = self.said.split_to(end + 1).freeze();
            line.truncate(end);
            if !self.stage.lock().on_said(self.address, line) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_out(cx))?;
        // Only a part is taken, as a system does whose buffer is nearly full.
        let count = bytes.len().min(WINDOW);
        self.take(&bytes[..count]);
        if let Poll::Ready(Err(error)) = self.poll_out(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.link).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.link).poll_shutdown(cx)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let mut stage = self.stage.lock();
        stage.marks.hit(Mark::PeerClosed);
        stage.direct.ways.remove(&self.address);
    }
}
