//! The logs of own streams: where appended rows are kept, and from where they are published and
//! fetched. Batches enter and are durable before their token leaves; pages of whole batches leave,
//! in the order of their tokens. What followers miss can be fetched for as long as a log keeps it
//! (P1, F2).
//!
//! [`MemoryLog`] is for streams whose rows mean nothing after a restart, and for tests; `SqliteLog`
//! (feature `sqlite`) is one file; `PostgresLog` (feature `postgres`) lets several writers share
//! one sequence of tokens. Another store implements [`LogStore`].

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod append;
mod batch;
mod ends;
mod json;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod line;
mod memory;
mod page;
#[cfg(feature = "postgres")]
mod postgres;
mod progress;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, future::Future, pin::Pin};

use synrepl_core::{
    ByteString,
    stream::{LogError, Page, Row, Span, Token},
};
use thiserror::Error;

#[cfg(feature = "postgres")]
pub use self::postgres::{PostgresLog, PostgresOpenError, PostgresOptions};
#[cfg(feature = "sqlite")]
pub use self::sqlite::{SqliteLog, SqliteOpenError, SqliteOptions};
pub use self::{
    batch::{LogLimits, STREAM_NAME_BYTES_MAX},
    ends::LogEnds,
    json::{JsonBatch, JsonBatchError},
    memory::{MemoryLog, MemoryOptions},
};

/// The future of one append, as returned by [`LogStore::append`].
pub type AppendFuture = Pin<Box<dyn Future<Output = Result<Token, AppendError>> + Send>>;
/// The future of one read, as returned by [`LogStore::read`].
pub type ReadFuture = Pin<Box<dyn Future<Output = Result<Page, LogError>> + Send>>;

/// A store with the logs of the streams that one instance writes.
///
/// * *Durable.* [`LogStore::append`] gives a token out only when the rows are kept for good. A
///   token is never given out twice, also not after a crash.
/// * *Whole batches.* The rows of one append share one token and are never split.
/// * *Order.* Tokens of one stream rise in the order in which `append` was called; so do those of
///   appends whose futures are dropped, which may or may not happen.
pub trait LogStore: Send + Sync + 'static {
    /// Returns the own streams, each with the last token of its log.
    fn streams(&self) -> BTreeMap<String, Token>;

    /// Gives the store the place to report how far its logs have come: after each append, and when
    /// tokens moved without rows of this instance. Called once, before the first append that is to
    /// be published.
    fn attach(&self, ends: LogEnds);

    /// Appends one batch and resolves to its token once the batch is durable. The order of appends
    /// is that of the calls, not of the polls. A new stream name begins a new log.
    fn append(&self, stream: ByteString, rows: Vec<Row>) -> AppendFuture;

    /// Reads about `rows_max` rows (at least 1 batch if there is one) of `stream` in `span`, in the
    /// order of their tokens. The page's `upto` is the token up to which it is complete:
    /// `span.upto` if it is not limited, but never above the end of the log. A stream that is not
    /// known has no rows.
    fn read(&self, stream: ByteString, span: Span, rows_max: u32) -> ReadFuture;
}

/// The reason why a batch was not appended. Nothing of it is kept, unless the variant states that
/// this is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The batch has no row, so there is nothing to give a token to.
    #[error("a batch needs at least one row")]
    Empty,
    /// The name of the stream cannot be carried by the wire.
    #[error("stream name {name:?} {problem}")]
    StreamName {
        /// The first 32 characters of the name.
        name: String,
        /// The fault of the name.
        problem: &'static str,
    },
    /// A row is not a JSON array on one line.
    #[error("row {index} {problem}")]
    Row {
        /// The index of the row in the batch, counted from 0.
        index: usize,
        /// The fault of the row. It quotes nothing of it.
        problem: String,
    },
    /// A row is longer than a line of the wire may be.
    #[error("row {index} has {bytes} bytes; the wire carries at most {bytes_max}")]
    RowTooLong {
        /// The index of the row in the batch, counted from 0.
        index: usize,
        /// The length of the row in bytes.
        bytes: usize,
        /// The limit, [`LogLimits::row_bytes_max`].
        bytes_max: usize,
    },
    /// The batch has more rows than a follower takes together.
    #[error("the batch has {rows} rows; at most {rows_max} share a token")]
    TooManyRows {
        /// The number of rows in the batch.
        rows: usize,
        /// The limit, [`LogLimits::batch_rows_max`].
        rows_max: usize,
    },
    /// The batch has more bytes than a follower takes together.
    #[error("the rows of the batch have {bytes} bytes; at most {bytes_max} share a token")]
    TooManyBytes {
        /// The length of all rows together, in bytes.
        bytes: usize,
        /// The limit, [`LogLimits::batch_bytes_max`].
        bytes_max: usize,
    },
    /// The batch would begin a new stream, and the log has as many as it may.
    #[error("the log has {streams_max} streams already and takes no new one")]
    TooManyStreams {
        /// The limit, [`LogLimits::streams_max`].
        streams_max: usize,
    },
    /// The store failed; whether it will fail again is unknown. Nothing is kept, unless the message
    /// states that this is not known.
    #[error("the log cannot be written: {message}")]
    Store {
        /// The error of the store.
        message: String,
    },
    /// This instance has no log: [`Builder::log`](crate::Builder::log) was not called.
    #[error("this instance has no log; give it one with Builder::log")]
    NoLog,
    /// The store is closed. If it was open when the batch was handed in, whether the batch is kept
    /// is unknown.
    #[error("the log is closed")]
    Closed,
}
