//! Counters.

use serde::{Deserialize, Serialize};

/// What the node has counted since its start. All values only rise, but for those named `now`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// Commands received, well-formed.
    pub commands: u64,
    /// Lines or messages that were not commands.
    pub malformed: u64,
    /// RDATA received of followed sources.
    pub rdata: u64,
    /// POSITION received of followed sources.
    pub positions: u64,
    /// RDATA, POSITION and LOCK_RELEASED under our own name.
    pub echoes: u64,
    /// RDATA and POSITION of streams that are not followed.
    pub ignored: u64,
    /// Rows delivered as they came.
    pub rows_live: u64,
    /// Rows delivered from a fetch.
    pub rows_caught_up: u64,
    /// Rows delivered because an audit found that they were not.
    pub rows_audited: u64,
    /// Rows not delivered because they were delivered before.
    pub rows_repeated: u64,
    /// Fetches asked for.
    pub fetches: u64,
    /// Fetches that failed or brought an unusable page.
    pub fetches_failed: u64,
    /// Answers that were no longer wanted.
    pub fetches_stale: u64,
    /// Gaps reported.
    pub gaps: u64,
    /// Resets reported.
    pub resets: u64,
    /// Times that a holding queue overflowed.
    pub overflows: u64,
    /// Connections that became usable.
    pub connections: u64,
    /// REPLICATEs sent.
    pub replicates: u64,
    /// Rows of own streams sent to the bus. Rows that are sent again count again.
    pub rows_published: u64,
    /// Rows of own streams broadcast to peers, however many.
    pub rows_broadcast: u64,
    /// Pages of own logs asked for.
    pub log_reads: u64,
    /// Pages of own logs that could not be had or were unusable.
    pub log_reads_failed: u64,
    /// Accepted connections that we closed with an ERROR.
    pub peers_cut_off: u64,
    /// Accepted connections now.
    pub peers_now: u64,
    /// Sources known now.
    pub sources_now: u64,
    /// Rows remembered now for the audit, of all sources.
    pub audit_rows_now: u64,
    /// Bytes in holding queues now.
    pub held_bytes_now: u64,
}
