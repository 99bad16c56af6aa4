//! The counters of a node.

use serde::{Deserialize, Serialize};

/// The counters of a node since its start. All values only rise, but for those that end in `_now`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// Well-formed commands received, on all connections.
    pub commands: u64,
    /// Lines or messages received that were not commands.
    pub malformed: u64,
    /// RDATA received of followed sources.
    pub rdata: u64,
    /// POSITION received of followed sources.
    pub positions: u64,
    /// Commands received under our own name: RDATA, POSITION, LOCK_RELEASED, and USER_SYNC at the
    /// presence writer.
    pub echoes: u64,
    /// RDATA and POSITION received of sources that are not followed: the stream is not wanted, or
    /// there are too many sources.
    pub ignored: u64,
    /// Rows delivered as they were received.
    pub rows_live: u64,
    /// Rows delivered from the pages of catch-ups.
    pub rows_caught_up: u64,
    /// Rows delivered because an audit found that they had not been.
    pub rows_audited: u64,
    /// Rows delivered at or below the position, because they were late, or were found under a token
    /// that nothing explained.
    pub rows_from_holes: u64,
    /// Tokens that were passed without a row and that nobody can be asked for, or that were too many.
    pub hole_tokens_left: u64,
    /// Rows not delivered because they were delivered before.
    pub rows_repeated: u64,
    /// Fetches requested, by catch-ups, audits and looks into holes.
    pub fetches: u64,
    /// Fetches that failed or brought an unusable page.
    pub fetches_failed: u64,
    /// Answers to fetches that were no longer wanted.
    pub fetches_stale: u64,
    /// Gaps reported.
    pub gaps: u64,
    /// Resets reported.
    pub resets: u64,
    /// Logs that were found to be other ones than rows were delivered from.
    #[serde(default)]
    pub discontinuities: u64,
    /// Sources that went back with a log that was restored.
    #[serde(default)]
    pub rewinds: u64,
    /// Times that a holding queue overflowed.
    pub overflows: u64,
    /// Connections that we made and that became usable.
    pub connections: u64,
    /// REPLICATEs sent. The subscriptions made on a connection of the oldest dialect count as one.
    pub replicates: u64,
    /// Rows of own streams sent to the bus. Rows that are sent again count again.
    pub rows_published: u64,
    /// Rows of own streams broadcast to peers, each counted once, whatever their number.
    pub rows_broadcast: u64,
    /// Pages of own logs requested.
    pub log_reads: u64,
    /// Pages of own logs that could not be had or were unusable.
    pub log_reads_failed: u64,
    /// Accepted connections that we closed with an ERROR.
    pub peers_cut_off: u64,
    /// Accepted connections now, those that are being closed included.
    pub peers_now: u64,
    /// Sources followed now.
    pub sources_now: u64,
    /// Rows remembered now for the audits of all sources.
    pub audit_rows_now: u64,
    /// Spans of tokens without a row remembered now, of all streams.
    pub hole_spans_now: u64,
    /// Bytes of rows in holding queues now.
    pub held_bytes_now: u64,
}
