//! A log in memory, for streams whose rows mean nothing after a restart. Batches enter, pages of
//! whole batches leave; the oldest batches make room for new ones.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
};

use synrepl_core::{
    ByteString,
    stream::{Page, Row, Span, Token},
};

use super::{
    AppendError, AppendFuture, LogEnds, LogLimits, LogStore, ReadFuture,
    batch::{Batch, next_token},
    page::PageBuilder,
    progress::Progress,
};

/// The settings of a [`MemoryLog`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryOptions {
    /// The limits of what the log takes.
    pub limits: LogLimits,
    /// Rows kept per stream. Default 10,000. Of more, the oldest batches are dropped, the newest
    /// never.
    pub keep_rows_max: u64,
    /// Bytes of rows kept per stream. Default 16 MiB. Of more, the same.
    pub keep_bytes_max: u64,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self { limits: LogLimits::default(), keep_rows_max: 10_000, keep_bytes_max: 16 << 20 }
    }
}

/// Logs in memory, which begin anew, at [`Token::START`], with each process: like those of
/// Synapse's writers of `typing` and `federation`, and with their meaning. Followers take a restart
/// of such a stream for a reset only if it is one that is known to reset (`docs/protocol.md` 7.1);
/// on others they believe that they have all rows already. So this is for those streams, and for
/// tests.
///
/// What has been dropped to keep the limits can no longer be read, also by a follower that misses
/// it. Appends and reads are done when their call returns; *durable* means kept while the process
/// lives.
pub struct MemoryLog {
    options: MemoryOptions,
    streams: Mutex<BTreeMap<ByteString, Stream>>,
    progress: Progress,
}

#[derive(Default)]
struct Stream {
    last: Token,
    /// In the order of their tokens, which rise.
    batches: VecDeque<Kept>,
    rows: u64,
    bytes: u64,
}

struct Kept {
    token: Token,
    rows: u32,
    text: ByteString,
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLog")
            .field("streams", &self.progress.streams())
            .finish_non_exhaustive()
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new(MemoryOptions::default())
    }
}

impl MemoryLog {
    /// Makes logs without a stream.
    pub fn new(options: MemoryOptions) -> Self {
        Self { options, streams: Mutex::default(), progress: Progress::default() }
    }

    fn append_now(&self, stream: &str, rows: &[Row]) -> Result<Token, AppendError> {
        let Batch { stream, rows, text } = Batch::check(stream, rows, &self.options.limits)?;
        let mut streams = self.streams();
        if streams.len() >= self.options.limits.streams_max && !streams.contains_key(&stream) {
            return Err(AppendError::TooManyStreams {
                streams_max: self.options.limits.streams_max,
            });
        }
        let log = streams.entry(stream.clone()).or_default();
        let token = next_token(log.last)?;
        log.last = token;
        log.push(Kept { token, rows, text: ByteString::from(text) });
        log.prune(&self.options);
        // Still under the lock, so that ends rise in the order of the appends.
        self.progress.reached(&stream, token);
        Ok(token)
    }

    fn read_now(&self, stream: &str, from: Token, upto: Token, rows_max: u32) -> Page {
        let streams = self.streams();
        let mut page = PageBuilder::new(from, rows_max);
        let Some(log) = streams.get(stream) else {
            return page.complete(upto.min(Token::START));
        };
        let bound = upto.min(log.last);
        let first = log.batches.partition_point(|kept| kept.token <= from);
        for kept in log.batches.range(first..).take_while(|kept| kept.token <= bound) {
            if !page.has_room_for(kept.rows, kept.text.len()) {
                return page.limited();
            }
            page.push(kept.token, &kept.text);
        }
        page.complete(bound)
    }

    /// Locks the streams. No code panics while it holds the lock, so they are never torn.
    fn streams(&self) -> MutexGuard<'_, BTreeMap<ByteString, Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    fn push(&mut self, kept: Kept) {
        self.rows += u64::from(kept.rows);
        self.bytes += kept.text.len() as u64;
        self.batches.push_back(kept);
    }

    fn prune(&mut self, options: &MemoryOptions) {
        while (self.rows > options.keep_rows_max || self.bytes > options.keep_bytes_max)
            && self.batches.len() > 1
            && let Some(oldest) = self.batches.pop_front()
        {
            self.rows -= u64::from(oldest.rows);
            self.bytes -= oldest.text.len() as u64;
        }
    }
}

impl LogStore for MemoryLog {
    fn streams(&self) -> BTreeMap<String, Token> {
        self.progress.streams()
    }

    fn attach(&self, ends: LogEnds) {
        self.progress.attach(ends);
    }

    fn append(&self, stream: ByteString, rows: Vec<Row>) -> AppendFuture {
        Box::pin(ready(self.append_now(&stream, &rows)))
    }

    fn read(&self, stream: ByteString, span: Span, rows_max: u32) -> ReadFuture {
        let Span { from, upto } = span;
        Box::pin(ready(Ok(self.read_now(&stream, from, upto, rows_max))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(keep_rows_max: u64, keep_bytes_max: u64) -> MemoryLog {
        MemoryLog::new(MemoryOptions { keep_rows_max, keep_bytes_max, ..MemoryOptions::default() })
    }

    fn append(log: &MemoryLog, rows: &[&str]) -> Token {
        let rows: Vec<_> = rows.iter().map(|row| Row::from(*row)).collect();
        log.append_now("typing", &rows).unwrap()
    }

    fn kept(log: &MemoryLog) -> Vec<i64> {
        let page = log.read_now("typing", Token::START, Token::new(i64::MAX), 1_000);
        assert!(!page.limited);
        page.updates.iter().map(|(token, _)| token.get()).collect()
    }

    #[test]
    fn the_oldest_batches_make_room_and_their_tokens_do_not_come_back() {
        let log = log(3, u64::MAX);
        append(&log, &["[1]", "[2]"]);
        append(&log, &["[3]"]);
        assert_eq!(kept(&log), [1, 1, 2]);
        append(&log, &["[4]"]);
        assert_eq!(kept(&log), [2, 3]);
        assert_eq!(append(&log, &["[5]"]), 4.into());
    }

    #[test]
    fn bytes_are_limited_too_and_the_newest_batch_stays() {
        let log = log(100, 6);
        append(&log, &["[1]"]);
        append(&log, &["[2]"]);
        assert_eq!(kept(&log), [1, 2]);
        append(&log, &["[3]", "[4]", "[5]"]);
        assert_eq!(kept(&log), [3, 3, 3]);
    }
}
