//! A log in one SQLite file. Batches enter and are on disk before their token leaves; pages leave
//! from threads of their own, so that a long read delays no append.

mod file;
mod reader;
mod sleep;
mod writer;

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    path::Path,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use synrepl_core::{
    ByteString,
    stream::{LogError, Row, Span, Token},
};
use tokio::sync::oneshot;

pub use self::file::SqliteOpenError;
use self::reader::Read;
use super::{
    AppendError, AppendFuture, LogEnds, LogLimits, LogStore, ReadFuture,
    append::Append,
    line::{Line, Server},
    progress::Progress,
};

/// The number of threads that read: one for the publisher, one for a follower that catches up
/// meanwhile.
const READERS: usize = 2;

/// The settings of a [`SqliteLog`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// The limits of what the log takes.
    pub limits: LogLimits,
    /// Most rows of one transaction. Default 8,192: writing them takes some 20 ms. A longer batch
    /// has one of its own.
    pub group_rows_max: usize,
    /// Most bytes of rows of one transaction. Default 4 MiB. A longer batch has one of its own.
    pub group_bytes_max: usize,
    /// Rows kept per stream. Default `None`: all. Else the oldest batches are deleted while more
    /// are kept, the newest never. What is deleted before it was published or fetched is gone, so
    /// keep as many as followers may fall behind by.
    pub keep_rows_max: Option<u64>,
    /// Time to wait for another program that has locked the file, such as a `sqlite3` shell.
    /// Default 5 s.
    pub busy_timeout: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            limits: LogLimits::default(),
            group_rows_max: 8_192,
            group_bytes_max: 4 << 20,
            keep_rows_max: None,
            busy_timeout: Duration::from_secs(5),
        }
    }
}

/// Logs in one SQLite file.
///
/// * *Durable.* An append is answered when its rows are on disk: one transaction and one `fsync`
///   for all appends that came while the one before was written.
/// * *Tokens* are 1, 2, 3, ... per stream, and none is ever given out twice, also not after its
///   rows were deleted.
/// * *One process at a time*: a lock on `FILE.lock` ends with the process, however it ends. Other
///   programs may read the file meanwhile, but not over a network file system.
/// * *Errors.* A transaction that fails (disk full) fails each of its appends; nothing of them is
///   kept, and later ones are tried. Once an `fsync` has failed it is unknown what is on disk: all
///   further appends fail, until the file is opened anew.
/// * *Memory.* Appends that wait stand in line with what their callers hold; an append whose future
///   is dropped is not done, unless it is under way.
///
/// Dropping it finishes the appends in line, closes the file and blocks until then.
pub struct SqliteLog {
    limits: LogLimits,
    progress: Arc<Progress>,
    appends: Arc<Line<Append>>,
    reads: Arc<Line<Read>>,
    threads: Vec<JoinHandle<()>>,
    /// The lock on `FILE.lock`, given back last.
    _lock: File,
}

impl SqliteLog {
    /// Opens the file, or makes it. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`SqliteOpenError`]: it is in use, is something else, is from a later version, or cannot be
    /// opened. Nothing is written into it then.
    pub fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, SqliteOpenError> {
        let (path, lock) = file::lock(path.as_ref())?;
        let (appends, reads) = (Line::new(), Line::new());
        let mut log = Self {
            limits: options.limits.clone(),
            progress: Arc::default(),
            appends: Arc::clone(&appends),
            reads: Arc::clone(&reads),
            threads: Vec::with_capacity(1 + READERS),
            _lock: lock,
        };
        // The writer goes first, as it makes the file.
        log.progress = log.start("synrepl-log-write", {
            let (server, path, options) = (Server::new(appends), path.clone(), options.clone());
            move |ready| writer::run(&server, &path, &options, ready)
        })?;
        for _ in 0..READERS {
            log.start("synrepl-log-read", {
                let (server, path) = (Server::new(Arc::clone(&reads)), path.clone());
                let (progress, busy_timeout) = (Arc::clone(&log.progress), options.busy_timeout);
                move |ready| reader::run(&server, &path, busy_timeout, &progress, ready)
            })?;
        }
        Ok(log)
    }

    /// Returns the number of appends in line that the writer has not begun with.
    #[cfg(test)]
    pub(super) fn appends_in_line(&self) -> usize {
        self.appends.len()
    }

    /// Starts a thread, and waits for what it reports when it is ready.
    fn start<T: Send + 'static>(
        &mut self,
        name: &str,
        body: impl FnOnce(&Ready<T>) -> Result<(), SqliteOpenError> + Send + 'static,
    ) -> Result<T, SqliteOpenError> {
        let (ready, said) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Err(error) = body(&ready) {
                // The call to `open` has its result already, or is gone.
                let _ = ready.try_send(Err(error));
            }
        });
        self.threads.push(thread.map_err(|error| SqliteOpenError::Thread { error })?);
        said.recv().unwrap_or(Err(SqliteOpenError::Panicked))
    }
}

/// The channel on which a thread reports that it is ready, or why it is not.
type Ready<T> = mpsc::SyncSender<Result<T, SqliteOpenError>>;

impl fmt::Debug for SqliteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLog").field("streams", &self.streams()).finish_non_exhaustive()
    }
}

impl Drop for SqliteLog {
    fn drop(&mut self) {
        self.appends.close();
        self.reads.close();
        for thread in self.threads.drain(..) {
            // A thread that has panicked has reported it, and has ended the calls that waited for
            // it.
            let _ = thread.join();
        }
    }
}

impl LogStore for SqliteLog {
    fn streams(&self) -> BTreeMap<String, Token> {
        self.progress.streams()
    }

    fn attach(&self, ends: LogEnds) {
        self.progress.attach(ends);
    }

    fn append(&self, stream: ByteString, rows: Vec<Row>) -> AppendFuture {
        Append::stand(&self.appends, &stream, &rows, &self.limits)
    }

    fn read(&self, stream: ByteString, span: Span, rows_max: u32) -> ReadFuture {
        let Span { from, upto } = span;
        let (reply, answer) = oneshot::channel();
        let place = self.reads.stand(Read { stream: stream.clone(), from, upto, rows_max, reply });
        Box::pin(async move {
            let closed = || LogError {
                stream: stream.to_string(),
                message: AppendError::Closed.to_string(),
            };
            let _place = place.ok_or_else(closed)?;
            answer.await.unwrap_or_else(|_| Err(closed()))
        })
    }
}
