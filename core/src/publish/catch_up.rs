//! Catch-up over the connection, for peers of the oldest dialect (`protocol.md` 4.2).
//!
//! A peer asks stream by stream for the rows above a token. It gets them page by page from the
//! log, each with its own number, until it has come as far as the other peers; then a POSITION
//! says so, and it gets what they get.

use bytestring::ByteString;

use super::{
    Context, Publisher,
    reads::{Reader, Reads},
    stream::{OwnIndex, Reading},
};
use crate::{
    connection::{PeerReading, Subscription},
    ids::{ConnectionId, QueryId},
    stream::{LogError, Page, Token},
    wire::{Command, Position, Rdata},
};

/// Longest name of an unknown stream that is repeated in an answer, in characters.
const NAME_CHARS_MAX: usize = 100;

impl Publisher {
    /// `REPLICATE stream token`, `REPLICATE stream NOW` (no token) or `REPLICATE ALL NOW`.
    pub(crate) fn on_subscribe(
        &mut self,
        conn: ConnectionId,
        name: &ByteString,
        from: Option<Token>,
        ctx: &mut Context<'_>,
    ) {
        let problem = if &**name == "ALL" {
            if from.is_none() {
                for index in 0..self.streams.len() {
                    self.subscribe(conn, OwnIndex::after(index), None, ctx);
                }
                return;
            }
            "failed to handle replicate: ALL goes with NOW, not with a token".to_owned()
        } else if let Some(index) = self.by_name.get(name).copied() {
            self.subscribe(conn, index, from, ctx);
            return;
        } else {
            // Cut short: the answer must fit a line.
            let name: String = name.chars().take(NAME_CHARS_MAX).collect();
            format!("failed to handle replicate: unknown stream {name:?}")
        };
        ctx.peers.refuse(conn, problem, &mut ctx.turn);
    }

    fn subscribe(
        &mut self,
        conn: ConnectionId,
        index: OwnIndex,
        from: Option<Token>,
        ctx: &mut Context<'_>,
    ) {
        self.settle_peers(index, ctx);
        match from {
            Some(from) if from < self.streams[index.as_usize()].peers => {
                ctx.peers.subscribe(conn, index, Subscription::CatchingUp(from));
                self.want_for_peer(conn, ctx);
                self.pump(ctx);
            }
            // From a token of the future, too: our log may have started over.
            Some(_) | None => self.go_live(conn, index, ctx),
        }
    }

    /// The peer has come as far as the others.
    fn go_live(&self, conn: ConnectionId, index: OwnIndex, ctx: &mut Context<'_>) {
        let stream = &self.streams[index.as_usize()];
        let command = Command::Position(Position {
            stream: stream.name.clone(),
            instance: self.me.clone(),
            prev: stream.peers,
            token: stream.peers,
            ends_catch_up: true,
        });
        ctx.peers.subscribe(conn, index, Subscription::Live);
        ctx.peers.send(conn, command, &mut ctx.turn);
    }

    /// The next stream that the peer has asked for and whose log can be read.
    fn next_catch_up(&self, conn: ConnectionId, ctx: &Context<'_>) -> Option<(OwnIndex, Token)> {
        let peer = ctx.peers.get(conn)?;
        peer.subscriptions.iter().find_map(|(index, subscription)| match subscription {
            Subscription::CatchingUp(at) if !self.is_failing(*index) => Some((*index, *at)),
            Subscription::CatchingUp(_) | Subscription::Live => None,
        })
    }

    /// Whether the log could not be read lately, and somebody else tries again.
    fn is_failing(&self, index: OwnIndex) -> bool {
        let stream = &self.streams[index.as_usize()];
        match stream.reading {
            Reading::BackingOff => true,
            Reading::InFlight { .. } => stream.attempt > 0,
            Reading::Idle | Reading::InLine => false,
        }
    }

    /// The peer may have something to catch up: gets in line, unless a read is on its way.
    pub(super) fn want_for_peer(&mut self, conn: ConnectionId, ctx: &mut Context<'_>) {
        if self.stopping || self.next_catch_up(conn, ctx).is_none() {
            return;
        }
        let Some(peer) = ctx.peers.open(conn) else { return };
        match peer.reading {
            PeerReading::Idle | PeerReading::NoRoom => {
                peer.reading = PeerReading::InLine;
                self.reads.get_in_line(Reader::Peer(conn));
            }
            PeerReading::InLine | PeerReading::InFlight { .. } => {}
        }
    }

    /// A log can be read again.
    pub(super) fn want_for_peers(&mut self, ctx: &mut Context<'_>) {
        let waiting: Vec<_> = ctx.peers.oldest_dialect().collect();
        for conn in waiting {
            self.want_for_peer(conn, ctx);
        }
    }

    /// Commands have gone out to this peer, and there is room for more.
    pub(crate) fn on_room_at_peer(&mut self, conn: ConnectionId, ctx: &mut Context<'_>) {
        self.want_for_peer(conn, ctx);
        self.look_for_room(ctx);
    }

    pub(super) fn read_for_peer(&mut self, conn: ConnectionId, ctx: &mut Context<'_>) {
        let next = self.next_catch_up(conn, ctx);
        let Some(peer) = ctx.peers.open(conn) else { return };
        let Some((stream, from)) = next else {
            peer.reading = PeerReading::Idle;
            return;
        };
        if !peer.has_room(ctx.turn.config) {
            peer.reading = PeerReading::NoRoom;
            return;
        }
        let own = &self.streams[stream.as_usize()];
        let upto = own.peers;
        let range = (own.name.clone(), from, upto);
        let rows_max = Reads::rows_max_for_peers(ctx.turn.config);
        let query = self.reads.start(Reader::Peer(conn), range, rows_max, ctx.turn.shared);
        peer.reading = PeerReading::InFlight { query, stream, from, upto };
    }

    /// A page for a peer that may be gone, or may have asked for something else meanwhile.
    pub(super) fn on_page_for_peer(
        &mut self,
        conn: ConnectionId,
        query: QueryId,
        result: Result<Page, LogError>,
        ctx: &mut Context<'_>,
    ) {
        let Some(peer) = ctx.peers.open(conn) else { return };
        let PeerReading::InFlight { query: awaited, stream: index, from, upto } = peer.reading
        else {
            return;
        };
        if awaited != query {
            return;
        }
        peer.reading = PeerReading::Idle;
        let wanted = peer.subscriptions.get(&index) == Some(&Subscription::CatchingUp(from));
        match self.checked(index, result, from, upto, ctx) {
            Ok(page) if wanted => {
                for (token, row) in page.batches_above(from).flatten() {
                    if self.is_too_long(index, row, ctx.turn.config.row_bytes_max) {
                        self.too_long(index, *token, ctx);
                        continue;
                    }
                    let rdata = Command::Rdata(Rdata {
                        stream: self.streams[index.as_usize()].name.clone(),
                        instance: self.me.clone(),
                        token: Some(*token),
                        row: row.clone(),
                    });
                    if !ctx.peers.send(conn, rdata, &mut ctx.turn) {
                        return;
                    }
                }
                if page.complete < self.streams[index.as_usize()].peers {
                    ctx.peers.subscribe(conn, index, Subscription::CatchingUp(page.complete));
                } else {
                    self.go_live(conn, index, ctx);
                }
            }
            Ok(_) => {}
            Err(_) if self.stopping => {}
            Err(error) => self.on_log_failed(index, error, ctx),
        }
        self.want_for_peer(conn, ctx);
    }
}
