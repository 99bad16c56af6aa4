//! Catch-up over the connection, for peers of the oldest dialect (`protocol.md` 4.2).
//!
//! A peer requests, stream by stream, the rows above a token. It gets them page by page from the
//! log, each with its own token, until it has come as far as the other peers; then a POSITION says
//! so, and it gets what they get (P1, P4).

use bytestring::ByteString;

use super::{
    Publisher,
    reads::{Reader, Reads},
    stream::Reading,
};
use crate::{
    connection::{Connections, PeerReading, Subscription},
    env::Env,
    ids::{ConnectionId, OwnIndex, ReadId},
    stream::{LogError, Page, Row, Span, Token},
    wire::{Command, Position, Rdata},
};

/// The longest name of an unknown stream that is repeated in an answer, in characters.
const NAME_CHARS_MAX: usize = 100;

impl Publisher {
    /// Handles `REPLICATE stream token`, `REPLICATE stream NOW` (no token) or `REPLICATE ALL NOW`.
    pub(crate) fn on_subscribe(
        &mut self,
        conn: ConnectionId,
        name: &ByteString,
        from: Option<Token>,
        conns: &mut Connections,
        env: &mut Env,
    ) {
        let problem = if &**name == "ALL" {
            if from.is_none() {
                for index in 0..self.streams.len() {
                    self.subscribe(conn, OwnIndex::after(index), None, conns, env);
                }
                return;
            }
            "failed to handle replicate: ALL goes with NOW, not with a token".to_owned()
        } else if let Some(index) = self.by_name.get(name).copied() {
            self.subscribe(conn, index, from, conns, env);
            return;
        } else {
            // The name is cut, as the answer must fit a line.
            let name: String = name.chars().take(NAME_CHARS_MAX).collect();
            format!("failed to handle replicate: unknown stream {name:?}")
        };
        conns.peers.refuse(conn, problem, env);
    }

    fn subscribe(
        &mut self,
        conn: ConnectionId,
        index: OwnIndex,
        from: Option<Token>,
        conns: &mut Connections,
        env: &mut Env,
    ) {
        self.skip_without_peers(index, conns);
        match from {
            Some(from) if from < self.streams[index.as_usize()].peers => {
                conns.peers.subscribe(conn, index, Subscription::CatchingUp(from));
                self.queue_peer(conn, conns);
                self.start_reads(conns, env);
            }
            // Also from a token above ours: our log may have started over.
            Some(_) | None => {
                self.go_live(conn, index, conns, env);
                self.start_reads(conns, env);
            }
        }
    }

    /// Ends the catch-up of a peer that has come as far as the others.
    fn go_live(
        &mut self,
        conn: ConnectionId,
        index: OwnIndex,
        conns: &mut Connections,
        env: &mut Env,
    ) {
        let stream = &self.streams[index.as_usize()];
        let command = Command::Position(Position {
            stream: stream.name.clone(),
            instance: self.me.clone(),
            prev: stream.peers,
            token: stream.peers,
            ends_catch_up: true,
        });
        conns.peers.subscribe(conn, index, Subscription::Live);
        conns.peers.send(conn, command, env);
        // The stream may wait for room at peers that are slower than this one.
        self.queue_read(index);
    }

    /// Returns the next stream that the peer is to catch up with and whose log can be read, with
    /// the token that it has come to.
    fn next_catch_up(&self, conn: ConnectionId, conns: &Connections) -> Option<(OwnIndex, Token)> {
        let peer = conns.peers.get(conn)?;
        peer.subscriptions.iter().find_map(|(index, subscription)| match subscription {
            Subscription::CatchingUp(at) if !self.is_failing(*index) => Some((*index, *at)),
            Subscription::CatchingUp(_) | Subscription::Live => None,
        })
    }

    /// Returns whether the log could not be read at the last attempt, and is going to be read again
    /// anyhow.
    fn is_failing(&self, index: OwnIndex) -> bool {
        let stream = &self.streams[index.as_usize()];
        match stream.reading {
            Reading::BackingOff => true,
            Reading::InFlight { .. } => stream.attempt > 0,
            Reading::Idle | Reading::InLine => false,
        }
    }

    /// Queues the peer for a read, if it has something to catch up and no read is on its way.
    pub(super) fn queue_peer(&mut self, conn: ConnectionId, conns: &mut Connections) {
        if self.stopping || self.next_catch_up(conn, conns).is_none() {
            return;
        }
        let Some(peer) = conns.peers.open(conn) else { return };
        match peer.reading {
            PeerReading::Idle | PeerReading::NoRoom => {
                peer.reading = PeerReading::InLine;
                self.reads.enqueue(Reader::Peer(conn));
            }
            PeerReading::InLine | PeerReading::InFlight { .. } => {}
        }
    }

    /// Queues the peers that waited for a log: it can be read again.
    pub(super) fn queue_peers(&mut self, conns: &mut Connections) {
        let waiting: Vec<_> = conns.peers.oldest_dialect().collect();
        for conn in waiting {
            self.queue_peer(conn, conns);
        }
    }

    /// Handles commands that have gone out to this peer, and have made room for more.
    pub(crate) fn on_room_at_peer(
        &mut self,
        conn: ConnectionId,
        conns: &mut Connections,
        env: &mut Env,
    ) {
        self.queue_peer(conn, conns);
        self.retry_waiting(conns, env);
    }

    pub(super) fn read_for_peer(
        &mut self,
        conn: ConnectionId,
        conns: &mut Connections,
        env: &mut Env,
    ) {
        let next = self.next_catch_up(conn, conns);
        let Some(peer) = conns.peers.open(conn) else { return };
        let Some((stream, from)) = next else {
            peer.reading = PeerReading::Idle;
            return;
        };
        if !peer.has_room(&env.config) {
            peer.reading = PeerReading::NoRoom;
            return;
        }
        let own = &self.streams[stream.as_usize()];
        let span = Span::new(from, own.peers);
        let name = own.name.clone();
        let rows_max = Reads::rows_max_for_peers(&env.config);
        let query = self.reads.start(Reader::Peer(conn), name, span, rows_max, env);
        peer.reading = PeerReading::InFlight { query, stream, span };
    }

    /// Handles a page for a peer that may be gone, or may have requested something else meanwhile.
    pub(super) fn on_page_for_peer(
        &mut self,
        conn: ConnectionId,
        query: ReadId,
        result: Result<Page, LogError>,
        conns: &mut Connections,
        env: &mut Env,
    ) {
        let Some(peer) = conns.peers.open(conn) else { return };
        let PeerReading::InFlight { query: awaited, stream: index, span } = peer.reading else {
            return;
        };
        if awaited != query {
            return;
        }
        peer.reading = PeerReading::Idle;
        let wanted = peer.subscriptions.get(&index) == Some(&Subscription::CatchingUp(span.from));
        match self.checked(index, result, span, conns) {
            Ok(page) if wanted => {
                for batch in page.batches_above(span.from) {
                    if !self.batch_to_peer(conn, index, batch, conns, env) {
                        return;
                    }
                }
                if page.complete < self.streams[index.as_usize()].peers {
                    conns.peers.subscribe(conn, index, Subscription::CatchingUp(page.complete));
                } else {
                    self.go_live(conn, index, conns, env);
                }
            }
            Ok(_) => {}
            Err(_) if self.stopping => {}
            Err(error) => self.on_log_failed(index, error, env),
        }
        self.queue_peer(conn, conns);
    }

    /// Sends a batch to one peer, each row with the token. A batch with a row that no line can
    /// carry is left out as a whole, as it is for live peers (P1). Returns false if the peer was cut
    /// off.
    fn batch_to_peer(
        &self,
        conn: ConnectionId,
        index: OwnIndex,
        batch: &[(Token, Row)],
        conns: &mut Connections,
        env: &mut Env,
    ) -> bool {
        let row_bytes_max = env.config.publish.row_bytes_max;
        if let Some((token, _)) = batch.last()
            && batch.iter().any(|(_, row)| self.is_too_long(index, row, row_bytes_max))
        {
            self.warn_row_too_long(index, *token, env);
            return true;
        }
        self.warn_if_batch_too_long(index, batch, env);
        batch.iter().all(|(token, row)| {
            let rdata = Command::Rdata(Rdata {
                stream: self.streams[index.as_usize()].name.clone(),
                instance: self.me.clone(),
                token: Some(*token),
                row: row.clone(),
            });
            conns.peers.send(conn, rdata, env)
        })
    }
}
