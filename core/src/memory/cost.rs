//! What is kept of a row costs more than its text: the entry of the list or set that it stands in,
//! and that list's spare room. What the limits in bytes count is all of it (F9).
//!
//! Each figure lies between half and the whole of what a queue takes at most, as a list that doubles
//! is at least half full, and a node of a tree at least five elevenths. `core/tests/slow/memory.rs`
//! compares them with what the allocator counts, and `docs/memory.md` has the table.

/// The bytes that one kind of queue costs beside the texts in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Once, for the queue of one source, from its first entry on.
    pub(crate) queue: usize,
    /// For each entry.
    pub(crate) entry: usize,
}

impl Cost {
    /// An open batch: a list of rows.
    pub(crate) const BATCH: Self = Self { queue: 128, entry: 48 };
    /// An open burst: a set of tokens and texts.
    pub(crate) const BURST: Self = Self { queue: 288, entry: 40 };
    /// The rows remembered of a loose stream: a queue, and a table of their numbers.
    pub(crate) const REPEATS: Self = Self { queue: 224, entry: 56 };
    /// What is held while a source is not live: a queue of batches and announcements.
    pub(crate) const HOLDING: Self = Self { queue: 256, entry: 72 };
    /// An answer of the oldest dialect: a map of tokens and texts to places.
    pub(crate) const ANSWER: Self = Self { queue: 384, entry: 56 };
    /// Each row of a batch that is held with others: its place in the list of the batch.
    pub(crate) const ROW_OF_BATCH: usize = 32;

    /// Returns the bytes of a queue with this many entries, beside their texts.
    pub(crate) const fn of(self, entries: usize) -> usize {
        if entries == 0 { 0 } else { self.queue + entries * self.entry }
    }
}
