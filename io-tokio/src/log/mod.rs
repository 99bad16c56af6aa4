//! The logs of own streams: where appended rows are kept, and from where they are published and
//! fetched.

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

/// The future of one append.
pub type AppendFuture = Pin<Box<dyn Future<Output = Result<Token, AppendError>> + Send>>;
/// The future of one read.
pub type ReadFuture = Pin<Box<dyn Future<Output = Result<Page, LogError>> + Send>>;

/// The logs of the streams that one instance writes.
///
/// * *Durable.* [`LogStore::append`] gives a token out only when the rows are kept for good. A
///   token is never given out twice, also not after a crash.
/// * *Whole batches.* The rows of one append share one token and are never split.
/// * *Order.* Tokens of one stream rise in the order in which `append` was called; so do those of
///   appends whose futures are dropped, which may or may not happen.
pub trait LogStore: Send + Sync + 'static {
    /// The own streams and the last token of each.
    fn streams(&self) -> BTreeMap<String, Token>;

    /// Tells the store where to say how far its logs have come: after each append, and when
    /// tokens moved without rows of this instance. Called once, before the first append that is
    /// to be published.
    fn attach(&self, ends: LogEnds);

    /// Appends one batch. The order of appends is that of the calls, not of the polls. Resolves
    /// when the batch is durable. A new stream name begins a new log.
    fn append(&self, stream: ByteString, rows: Vec<Row>) -> AppendFuture;

    /// Reads about `rows_max` rows (at least 1 batch if there is one) of `stream` in `span`, in order.
    /// The page's `upto` is what it is complete up to: `span.upto` if it is
    /// not limited, but never above the end of the log. A stream that is not known has no rows.
    fn read(&self, stream: ByteString, span: Span, rows_max: u32) -> ReadFuture;
}

/// A batch was not appended. Nothing of it is kept, unless the variant says that this is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// No row: there is nothing to give a token to.
    #[error("a batch needs at least one row")]
    Empty,
    /// The wire cannot carry this name.
    #[error("stream name {name:?} {problem}")]
    StreamName {
        /// The name, cut short.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A row is not a JSON array on one line.
    #[error("row {index} {problem}")]
    Row {
        /// Its index in the batch, from 0.
        index: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A row is longer than a line of the wire may be.
    #[error("row {index} has {bytes} bytes; the wire carries at most {bytes_max}")]
    RowTooLong {
        /// Its index in the batch, from 0.
        index: usize,
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The batch has more rows than a follower takes together.
    #[error("the batch has {rows} rows; at most {rows_max} share a token")]
    TooManyRows {
        /// How many it has.
        rows: usize,
        /// The limit.
        rows_max: usize,
    },
    /// The batch has more bytes than a follower takes together.
    #[error("the rows of the batch have {bytes} bytes; at most {bytes_max} share a token")]
    TooManyBytes {
        /// How many they have.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The stream would be one too many.
    #[error("the log has {streams_max} streams already and takes no new one")]
    TooManyStreams {
        /// The limit.
        streams_max: usize,
    },
    /// The store failed. Whether it will again is unknown. Nothing is kept, unless the message says
    /// that this is not known.
    #[error("the log cannot be written: {message}")]
    Store {
        /// What it said.
        message: String,
    },
    /// There is no log: [`Builder::log`](crate::Builder::log) was not called.
    #[error("this instance has no log; give it one with Builder::log")]
    NoLog,
    /// The store is closed. If it was not when the batch was handed in, whether that is kept is
    /// unknown.
    #[error("the log is closed")]
    Closed,
}
