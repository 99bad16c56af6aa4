//! A log that counts appends, whether they come from stdin or over HTTP. Batches pass through
//! unchanged, and are counted once the log has answered.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use synrepl::log::{AppendFuture, LogEnds, LogStore, ReadFuture};
use synrepl_core::{
    ByteString,
    stream::{Row, Span, Token},
};

/// The counts of appends so far.
#[derive(Debug, Default)]
pub(super) struct Taken {
    batches: AtomicU64,
    rows: AtomicU64,
    refused: AtomicU64,
    lines_refused: AtomicU64,
    first_refusal: OnceLock<String>,
}

impl Taken {
    /// The number of batches that are in the log.
    pub(super) fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// The number of rows in these batches.
    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Counts what was sent as a batch and is none.
    pub(super) fn on_no_batch(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a line of stdin that was refused, for whatever reason.
    pub(super) fn on_line_refused(&self, line: u64, error: &str) {
        self.lines_refused.fetch_add(1, Ordering::Relaxed);
        self.first_refusal.get_or_init(|| format!("line {line}: {error}"));
    }

    /// The number of lines of stdin that were refused.
    pub(super) fn lines_refused(&self) -> u64 {
        self.lines_refused.load(Ordering::Relaxed)
    }

    /// The first of these, and its error.
    pub(super) fn first_refusal(&self) -> Option<&str> {
        self.first_refusal.get().map(String::as_str)
    }

    /// The number of batches that were none, or that the log refused or failed to take.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// A log whose appends are counted.
pub(super) struct CountedLog<L> {
    log: L,
    taken: Arc<Taken>,
}

impl<L: LogStore> CountedLog<L> {
    /// Counts the appends to `log` in `taken`.
    pub(super) const fn new(log: L, taken: Arc<Taken>) -> Self {
        Self { log, taken }
    }
}

impl<L: LogStore> LogStore for CountedLog<L> {
    fn streams(&self) -> BTreeMap<String, Token> {
        self.log.streams()
    }

    fn attach(&self, ends: LogEnds) {
        self.log.attach(ends);
    }

    fn append(&self, stream: ByteString, rows: Vec<Row>) -> AppendFuture {
        let count = rows.len() as u64;
        let append = self.log.append(stream, rows);
        let taken = Arc::clone(&self.taken);
        Box::pin(async move {
            let result = append.await;
            if result.is_ok() {
                taken.batches.fetch_add(1, Ordering::Relaxed);
                taken.rows.fetch_add(count, Ordering::Relaxed);
            } else {
                taken.refused.fetch_add(1, Ordering::Relaxed);
            }
            result
        })
    }

    fn read(&self, stream: ByteString, span: Span, rows_max: u32) -> ReadFuture {
        self.log.read(stream, span, rows_max)
    }
}
