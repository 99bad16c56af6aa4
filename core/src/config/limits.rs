//! Limits of memory (promise F9).

use serde::{Deserialize, Serialize};

/// Limits of the memory that a node takes for what it follows (promise F9). A group of
/// [`Config`](crate::Config), whose table has all defaults.
///
/// Limits in bytes count all that rows take: their text, and what the list or set takes in which
/// they are kept, which is 40 to 90 bytes a row and some 300 for each source that keeps one. At most
/// twice the limit is held, whatever the shape of the rows; `docs/memory.md` has the figures.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MemoryLimits {
    /// The most sources that are followed. Default 100,000 (some 25 MB). More are ignored with a
    /// warning, and so are those whose names together exceed 256 bytes for each allowed source.
    pub sources_max: u32,
    /// The most rows of one batch. Default 10,000. Longer batches are fetched.
    pub batch_rows_max: u32,
    /// The most bytes of one batch. Default 8 MiB. Longer batches are fetched.
    pub batch_bytes_max: u32,
    /// The most rows held per source while it is not live. Default 10,000. More are fetched. An
    /// announcement counts as a row, unless it goes on where the last one ended.
    pub held_rows_max: u32,
    /// The most bytes held per source while it is not live. Default 4 MiB. More are fetched.
    pub held_bytes_max: u32,
    /// The most bytes held by all sources together. Default 64 MiB.
    pub held_bytes_total_max: u64,
    /// The most bytes of other rows kept by all sources together: those of open batches and open
    /// bursts, and those remembered to recognise repeats. Default 64 MiB. Above it a batch or burst
    /// is fetched, and repeats are not recognised.
    pub kept_bytes_total_max: u64,
    /// The most rows remembered per source of a loose stream, to suppress exact repeats. Default
    /// 1,024; repeats were seen at most 29 rows apart.
    pub repeat_window_rows_max: u32,
    /// The most bytes remembered per source of a loose stream. Default 256 KiB.
    pub repeat_window_bytes_max: u32,
    /// The most rows of an open burst that are remembered. Default 10,000; a longer burst is
    /// completed by a fetch.
    pub burst_rows_max: u32,
    /// The most bytes of an open burst that are remembered. Default 4 MiB.
    pub burst_bytes_max: u32,
    /// The most tokens remembered per stream whose fetch also returns rows of other writers.
    /// Default 65,536: as far as two writers may lie apart.
    pub shared_tokens_max: u32,
    /// The most bytes remembered per such stream of tokens of which a page had only a part of the
    /// rows. Default 1 MiB: some 10,000 rows, and a page has 100. Above it the rest of the lowest
    /// token is left to the gap that was reported.
    pub shared_parts_bytes_max: u32,
    /// The most open waits. Default 10,000. More are refused.
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
            shared_parts_bytes_max: 1 << 20,
            waits_max: 10_000,
        }
    }
}
