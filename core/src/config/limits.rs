//! What a node keeps in memory of what it follows.

use serde::{Deserialize, Serialize};

/// What a node keeps in memory of what it follows. Part of [`Config`](crate::Config), whose table has all defaults.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MemoryLimits {
    /// Sources followed. Default 100,000 (some 25 MB). More are ignored with a warning, and so are
    /// those whose names together have more than 256 bytes for each source that is allowed.
    pub sources_max: u32,
    /// Rows of one batch. Default 10,000. Longer ones are fetched.
    pub batch_rows_max: u32,
    /// Bytes of one batch. Default 8 MiB.
    pub batch_bytes_max: u32,
    /// Rows held per source while it catches up. Default 10,000. More are fetched.
    pub held_rows_max: u32,
    /// Bytes held per source while it catches up. Default 4 MiB.
    pub held_bytes_max: u32,
    /// Bytes held by all sources together. Default 64 MiB.
    pub held_bytes_total_max: u64,
    /// Bytes kept of rows by all sources together otherwise: those of open batches and open bursts,
    /// and those remembered to know repeats. Default 64 MiB. Above it a batch or burst is fetched,
    /// and repeats are no longer known.
    pub kept_bytes_total_max: u64,
    /// Rows remembered per source of a loose stream, to suppress exact repeats. Default 1,024;
    /// repeats were seen at most 29 rows apart.
    pub repeat_window_rows_max: u32,
    /// Bytes remembered per source of a loose stream. Default 256 KiB.
    pub repeat_window_bytes_max: u32,
    /// Rows of an open burst that are remembered. Default 10,000; a longer burst is completed by
    /// a fetch.
    pub burst_rows_max: u32,
    /// Bytes of an open burst that are remembered. Default 4 MiB.
    pub burst_bytes_max: u32,
    /// Tokens remembered per stream whose fetch returns other writers' rows too. Default 65,536.
    pub shared_tokens_max: u32,
    /// Open waits. Default 10,000. More are refused.
    pub waits_max: u32,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            sources_max: 100_000,
            batch_rows_max: 10_000,
            batch_bytes_max: 8 << 20,
            held_rows_max: 10_000,
            held_bytes_max: 4 << 20,
            held_bytes_total_max: 64 << 20,
            kept_bytes_total_max: 64 << 20,
            repeat_window_rows_max: 1_024,
            repeat_window_bytes_max: 256 << 10,
            burst_rows_max: 10_000,
            burst_bytes_max: 4 << 20,
            shared_tokens_max: 65_536,
            waits_max: 10_000,
        }
    }
}
