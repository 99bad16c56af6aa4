//! Reads of own logs: the readers that are queued for one, and the reads that are under way, which
//! are limited (F9).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytestring::ByteString;

use crate::{
    action::Action,
    config::Config,
    connection::bytes_of_row_max,
    env::Env,
    ids::{ConnectionId, OwnIndex, ReadId},
    stream::Span,
};

/// The number of pages under way at once, over all streams. Enough to hide the time that one takes;
/// a few, because each may bring [`log_rows_max`](crate::PublishConfig::log_rows_max) rows.
const IN_FLIGHT_MAX: u32 = 4;

/// The part of the publisher that a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reader {
    /// The outlets of a stream.
    Outlets(OwnIndex),
    /// A peer of the oldest dialect that catches up.
    Peer(ConnectionId),
}

/// The queue for reads, and the reads under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Reads {
    line: VecDeque<Reader>,
    in_flight: BTreeMap<ReadId, Reader>,
    /// The streams that were passed over because an outlet could take no more.
    no_room: BTreeSet<OwnIndex>,
}

impl Reads {
    /// Queues a reader. One that is queued already must not be queued again.
    pub(super) fn enqueue(&mut self, reader: Reader) {
        self.line.push_back(reader);
    }

    /// Takes the reader that is queued first, if a page may be requested now.
    pub(super) fn next(&mut self) -> Option<Reader> {
        if self.in_flight.len() >= IN_FLIGHT_MAX as usize {
            return None;
        }
        self.line.pop_front()
    }

    pub(super) fn wait_for_room(&mut self, stream: OwnIndex) {
        self.no_room.insert(stream);
    }

    /// Takes all streams that wait for room.
    pub(super) fn take_waiting_for_room(&mut self) -> BTreeSet<OwnIndex> {
        std::mem::take(&mut self.no_room)
    }

    /// Requests rows of the log of `stream`; returns the id of the read.
    pub(super) fn start(
        &mut self,
        reader: Reader,
        stream: ByteString,
        span: Span,
        rows_max: u32,
        env: &mut Env,
    ) -> ReadId {
        let query = env.queries.issue_read();
        self.in_flight.insert(query, reader);
        env.stats.log_reads += 1;
        env.act(Action::ReadLog { query, stream, span, rows_max });
        query
    }

    /// Takes the read that was answered; returns the reader that the answer is for, if the read is
    /// under way.
    pub(super) fn finish(&mut self, query: ReadId) -> Option<Reader> {
        self.in_flight.remove(&query)
    }

    /// Returns the number of rows to request at once on behalf of peers: with all reads under way,
    /// a peer that had room before still has room for all of them, in commands and in bytes.
    pub(super) fn rows_max_for_peers(config: &Config) -> u32 {
        let commands = config.publish.peer_pending_max / 2 / IN_FLIGHT_MAX;
        let bytes = config.publish.peer_pending_bytes_max / 2 / IN_FLIGHT_MAX;
        let rows = u64::from(bytes) / bytes_of_row_max(config);
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        config.publish.log_rows_max.min(commands).min(rows).max(1)
    }
}
