//! The outlet to the peers that connected to us.

use super::{Context, Publisher, bus::position, page::LogPage, stream::OwnIndex};
use crate::{
    connection::To,
    event::{Event, Warning},
    ids::ConnectionId,
    stream::{Row, Token},
    wire::{Command, LINE_BYTES_MAX, Rdata},
};

/// Words, spaces and the token of an RDATA line, at most.
const RDATA_BYTES_MAX: usize = 32;

impl Publisher {
    /// Where nobody listens, nothing is to be sent.
    pub(super) fn settle_peers(&mut self, index: OwnIndex, ctx: &Context<'_>) {
        let stream = &mut self.streams[index.as_usize()];
        if stream.peers < stream.end && !ctx.peers.anyone_takes(index) {
            stream.peers = stream.end;
        }
    }

    /// Whether a row of this stream is too long for a line of direct TCP.
    pub(super) fn is_too_long(&self, index: OwnIndex, row: &Row, row_bytes_max: u32) -> bool {
        row.len() > row_bytes_max as usize || self.line_bytes(index, row) > LINE_BYTES_MAX
    }

    /// How long a row is as a line, at most.
    fn line_bytes(&self, index: OwnIndex, row: &Row) -> usize {
        row.len() + self.streams[index.as_usize()].name.len() + self.me.len() + RDATA_BYTES_MAX
    }

    /// Sends what the page holds above what was sent.
    pub(super) fn page_to_peers(&mut self, index: OwnIndex, page: &LogPage, ctx: &mut Context<'_>) {
        self.settle_peers(index, ctx);
        let mut at = self.streams[index.as_usize()].peers;
        let takes = self.stopping || ctx.peers.has_room(index, ctx.turn.config);
        if !takes || !page.continues(at) {
            return;
        }
        let row_bytes_max = ctx.turn.config.row_bytes_max;
        for batch in page.batches_above(at) {
            let Some((token, _)) = batch.last() else { continue };
            at = *token;
            if batch.iter().any(|(_, row)| self.is_too_long(index, row, row_bytes_max)) {
                self.too_long(index, at, ctx);
                let stream = &self.streams[index.as_usize()];
                // Whoever stands below it must fetch it.
                let command = position(stream, &self.me, at, at);
                ctx.peers.broadcast(To::Named, command, &mut ctx.turn);
                continue;
            }
            self.look_at_length(index, batch, ctx);
            for (nth, (token, row)) in batch.iter().enumerate() {
                let command = Command::Rdata(Rdata {
                    stream: self.streams[index.as_usize()].name.clone(),
                    instance: self.me.clone(),
                    token: (nth + 1 == batch.len()).then_some(*token),
                    row: row.clone(),
                });
                ctx.peers.broadcast(To::Subscribers(index), command, &mut ctx.turn);
            }
            ctx.turn.shared.stats.rows_broadcast += batch.len() as u64;
        }
        let stream = &mut self.streams[index.as_usize()];
        stream.peers = page.complete;
        if at < page.complete {
            // The page is complete up to there, so no row lies between (P2).
            let command = position(stream, &self.me, at, page.complete);
            ctx.peers.broadcast(To::Named, command, &mut ctx.turn);
        }
    }

    /// Says of a batch that no peer can leave untaken that it cuts off each that gets it.
    fn look_at_length(&self, index: OwnIndex, batch: &[(Token, Row)], ctx: &mut Context<'_>) {
        let config = ctx.turn.config;
        let bytes: u64 = batch.iter().map(|(_, row)| self.line_bytes(index, row) as u64).sum();
        let is_long = batch.len() > config.peer_pending_max as usize
            || (batch.len() > 1 && bytes > u64::from(config.peer_pending_bytes_max));
        if let Some((token, _)) = batch.last()
            && is_long
            && ctx.peers.anyone_takes(index)
        {
            let stream = self.streams[index.as_usize()].name.clone();
            let rows = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            let token = *token;
            ctx.turn.notify(Event::Warning(Warning::BatchTooLong { stream, token, rows }));
        }
    }

    pub(super) fn too_long(&self, index: OwnIndex, token: Token, ctx: &mut Context<'_>) {
        let stream = self.streams[index.as_usize()].name.clone();
        ctx.turn.notify(Event::Warning(Warning::RowTooLong { stream, token }));
    }

    /// A stream is new.
    pub(super) fn announce_to_all_peers(&self, index: OwnIndex, ctx: &mut Context<'_>) {
        let stream = &self.streams[index.as_usize()];
        let command = position(stream, &self.me, stream.peers, stream.peers);
        ctx.peers.broadcast(To::Named, command, &mut ctx.turn);
    }

    /// A peer asks where all own streams stand. Rows that are still to be sent come behind the
    /// answer (P4).
    pub(crate) fn announce_to_peer(&self, conn: ConnectionId, ctx: &mut Context<'_>) {
        for stream in &self.streams {
            let command = position(stream, &self.me, stream.peers, stream.peers);
            if !ctx.peers.send(conn, command, &mut ctx.turn) {
                return;
            }
        }
    }
}
