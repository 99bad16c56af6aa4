//! The outlet to the peers that connected to us.
//!
//! What enters: pages of own logs, and REPLICATE of a peer. What leaves: RDATA and POSITION, in the
//! order of the log (P1), each once for all peers.

use super::{Publisher, bus::position, page::LogPage};
use crate::{
    connection::{Connections, To},
    env::Env,
    event::{Event, Warning},
    ids::{ConnectionId, OwnIndex},
    stream::{Row, Token},
    wire::{Command, LINE_BYTES_MAX, Rdata},
};

/// The length of the words, spaces and token of an RDATA line, at most.
const RDATA_BYTES_MAX: usize = 32;

impl Publisher {
    /// Passes over rows that no peer takes: nothing is to be sent.
    pub(super) fn skip_without_peers(&mut self, index: OwnIndex, conns: &Connections) {
        let stream = &mut self.streams[index.as_usize()];
        if stream.peers < stream.end && !conns.peers.has_subscriber(index) {
            stream.peers = stream.end;
        }
    }

    /// Returns whether a row of this stream is too long for a line of direct TCP.
    pub(super) fn is_too_long(&self, index: OwnIndex, row: &Row, row_bytes_max: u32) -> bool {
        row.len() > row_bytes_max as usize || self.line_bytes(index, row) > LINE_BYTES_MAX
    }

    /// Returns the length of a row as a line, at most, in bytes.
    fn line_bytes(&self, index: OwnIndex, row: &Row) -> usize {
        row.len() + self.streams[index.as_usize()].name.len() + self.me.len() + RDATA_BYTES_MAX
    }

    /// Sends the rows of the page that were not sent yet.
    pub(super) fn page_to_peers(
        &mut self,
        index: OwnIndex,
        page: &LogPage,
        conns: &mut Connections,
        env: &mut Env,
    ) {
        self.skip_without_peers(index, conns);
        let mut at = self.streams[index.as_usize()].peers;
        let takes = self.stopping || conns.peers.has_room(index, &env.config);
        if !takes || !page.continues(at) {
            return;
        }
        let row_bytes_max = env.config.publish.row_bytes_max;
        for batch in page.batches_above(at) {
            let Some((token, _)) = batch.last() else { continue };
            at = *token;
            if batch.iter().any(|(_, row)| self.is_too_long(index, row, row_bytes_max)) {
                self.warn_row_too_long(index, at, env);
                let stream = &self.streams[index.as_usize()];
                // A peer that stands below that token has to fetch it.
                let command = position(stream, &self.me, at, at);
                conns.peers.broadcast(To::Named, command, env);
                continue;
            }
            if conns.peers.has_subscriber(index) {
                self.warn_if_batch_too_long(index, batch, env);
            }
            for (nth, (token, row)) in batch.iter().enumerate() {
                let command = Command::Rdata(Rdata {
                    stream: self.streams[index.as_usize()].name.clone(),
                    instance: self.me.clone(),
                    token: (nth + 1 == batch.len()).then_some(*token),
                    row: row.clone(),
                });
                conns.peers.broadcast(To::Subscribers(index), command, env);
            }
            env.stats.rows_broadcast += batch.len() as u64;
        }
        let stream = &mut self.streams[index.as_usize()];
        stream.peers = page.complete;
        if at < page.complete {
            // The page is complete up to there, so no row lies between (P2).
            let command = position(stream, &self.me, at, page.complete);
            conns.peers.broadcast(To::Named, command, env);
        }
    }

    /// Warns of a batch that is larger than what a peer may leave untaken, and so cuts off each
    /// peer that gets it.
    pub(super) fn warn_if_batch_too_long(
        &self,
        index: OwnIndex,
        batch: &[(Token, Row)],
        env: &mut Env,
    ) {
        let config = &env.config;
        let bytes: u64 = batch.iter().map(|(_, row)| self.line_bytes(index, row) as u64).sum();
        let is_long = batch.len() > config.publish.peer_pending_max as usize
            || (batch.len() > 1 && bytes > u64::from(config.publish.peer_pending_bytes_max));
        if let Some((token, _)) = batch.last()
            && is_long
        {
            let stream = self.streams[index.as_usize()].name.clone();
            let rows = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            let token = *token;
            env.notify(Event::Warning(Warning::BatchTooLong { stream, token, rows }));
        }
    }

    pub(super) fn warn_row_too_long(&self, index: OwnIndex, token: Token, env: &mut Env) {
        let stream = self.streams[index.as_usize()].name.clone();
        env.notify(Event::Warning(Warning::RowTooLong { stream, token }));
    }

    /// Announces a stream that is new.
    pub(super) fn announce_to_all_peers(
        &self,
        index: OwnIndex,
        conns: &mut Connections,
        env: &mut Env,
    ) {
        let stream = &self.streams[index.as_usize()];
        let command = position(stream, &self.me, stream.peers, stream.peers);
        conns.peers.broadcast(To::Named, command, env);
    }

    /// Answers a REPLICATE of a peer: announces all own streams. Rows that are still to be sent
    /// come behind the answer (P4).
    pub(crate) fn announce_to_peer(
        &self,
        conn: ConnectionId,
        conns: &mut Connections,
        env: &mut Env,
    ) {
        for stream in &self.streams {
            let command = position(stream, &self.me, stream.peers, stream.peers);
            if !conns.peers.send(conn, command, env) {
                return;
            }
        }
    }
}
