//! The thread that writes. All appends in line enter one transaction; their tokens leave once it is
//! on disk (P1).

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::Path,
    sync::Arc,
};

use rusqlite::{Connection, Statement, Transaction, TransactionBehavior, ffi};
use synrepl_core::{ByteString, stream::Token};

use super::{Ready, SqliteOpenError, SqliteOptions, file, sleep::take};
use crate::log::{
    AppendError,
    append::{Append, fits_group},
    batch::{Batch, next_token},
    line::Server,
    progress::Progress,
};

/// Appends until the log is closed and the line is empty. Reports on `ready` once the file is open.
///
/// # Errors
/// [`SqliteOpenError`] if the file cannot be opened.
pub(super) fn run(
    server: &Server<Append>,
    path: &Path,
    options: &SqliteOptions,
    ready: &Ready<Arc<Progress>>,
) -> Result<(), SqliteOpenError> {
    let sqlite = |error: rusqlite::Error| SqliteOpenError::sqlite(path, &error);
    let connection = file::open_writer(path, options.busy_timeout)?;
    let streams = known_streams(&connection).map_err(sqlite)?;
    let last = streams.iter().map(|(name, stream)| (name.clone(), stream.last)).collect();
    let progress = Arc::new(Progress::new(last));
    let mut writer = Writer {
        connection: &connection,
        statements: Statements::new(&connection).map_err(sqlite)?,
        options,
        streams,
        broken: None,
    };
    let _ = ready.send(Ok(Arc::clone(&progress)));
    while let Some(group) =
        take(server, fits_group(options.group_rows_max, options.group_bytes_max))
    {
        writer.append(group, &progress);
    }
    Ok(())
}

/// The state of one stream, as committed.
#[derive(Clone, Copy)]
struct Stream {
    id: i64,
    last: Token,
    rows_kept: u64,
}

fn known_streams(connection: &Connection) -> rusqlite::Result<BTreeMap<ByteString, Stream>> {
    connection
        .prepare("SELECT name, id, last_token, rows_kept FROM streams")?
        .query_map([], |row| {
            let name = ByteString::from(row.get_ref(0)?.as_str()?);
            let (id, last, rows_kept) = (row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?);
            Ok((name, Stream { id, last: Token::new(last), rows_kept: rows_kept.unsigned_abs() }))
        })?
        .collect()
}

struct Statements<'c> {
    new_stream: Statement<'c>,
    set_stream: Statement<'c>,
    insert: Statement<'c>,
    oldest: Statement<'c>,
    delete: Statement<'c>,
}

impl<'c> Statements<'c> {
    fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            new_stream: connection
                .prepare("INSERT INTO streams (name, last_token, rows_kept) VALUES (?1, 0, 0)")?,
            set_stream: connection
                .prepare("UPDATE streams SET last_token = ?2, rows_kept = ?3 WHERE id = ?1")?,
            insert: connection.prepare(
                "INSERT INTO batches (stream, token, row_count, rows) VALUES (?1, ?2, ?3, ?4)",
            )?,
            oldest: connection.prepare(
                "SELECT token, row_count FROM batches WHERE stream = ?1 AND token < ?2
                 ORDER BY token",
            )?,
            delete: connection.prepare("DELETE FROM batches WHERE stream = ?1 AND token <= ?2")?,
        })
    }
}

struct Writer<'c> {
    connection: &'c Connection,
    statements: Statements<'c>,
    options: &'c SqliteOptions,
    streams: BTreeMap<ByteString, Stream>,
    /// The reason why nothing can be appended any more.
    broken: Option<String>,
}

/// The result of writing a group of appends.
#[derive(Default)]
struct Written {
    answers: Vec<Result<Token, AppendError>>,
    /// The streams that were appended to, as they stand after the group.
    streams: BTreeMap<ByteString, Stream>,
    /// The number of these streams that are new.
    made: usize,
}

impl Writer<'_> {
    /// Appends a group and answers each of its appends.
    fn append(&mut self, group: Vec<Append>, progress: &Progress) {
        let written = match &self.broken {
            None => self.write(&group).map_err(|error| self.failed(&error)),
            Some(message) => Err(AppendError::Store { message: message.clone() }),
        };
        let answers = match written {
            Ok(Written { answers, streams, .. }) => {
                for (name, stream) in streams {
                    progress.reached(&name, stream.last);
                    self.streams.insert(name, stream);
                }
                answers
            }
            Err(error) => vec![Err(error); group.len()],
        };
        for (append, answer) in group.into_iter().zip(answers) {
            append.answer(answer);
        }
    }

    fn failed(&mut self, error: &rusqlite::Error) -> AppendError {
        let mut message = error.to_string();
        if is_sync_failure(error) {
            message.push_str("; what is on disk is unknown until the log is opened anew");
            self.broken = Some(message.clone());
        }
        tracing::error!(message, "the log cannot be written");
        AppendError::Store { message }
    }

    /// Writes a group in one transaction, which is on disk when this returns. If it fails, nothing
    /// has changed.
    fn write(&mut self, group: &[Append]) -> rusqlite::Result<Written> {
        let transaction =
            Transaction::new_unchecked(self.connection, TransactionBehavior::Immediate)?;
        let mut written = Written::default();
        let mut rows_added = BTreeMap::<i64, u64>::new();
        for Append { batch, .. } in group {
            let answer = self.insert(batch, &mut written, &mut rows_added)?;
            written.answers.push(answer);
        }
        for stream in written.streams.values_mut() {
            let added = rows_added.get(&stream.id).copied().unwrap_or(0);
            self.prune(stream, added)?;
            let kept = i64::try_from(stream.rows_kept).unwrap_or(i64::MAX);
            self.statements.set_stream.execute((stream.id, stream.last.get(), kept))?;
        }
        transaction.commit()?;
        Ok(written)
    }

    /// Puts a batch at the end of its stream, which is made if it is new.
    fn insert(
        &mut self,
        batch: &Batch,
        written: &mut Written,
        rows_added: &mut BTreeMap<i64, u64>,
    ) -> rusqlite::Result<Result<Token, AppendError>> {
        let stream = match written.streams.entry(batch.stream.clone()) {
            Entry::Occupied(stream) => stream.into_mut(),
            Entry::Vacant(place) => {
                let stream = if let Some(stream) = self.streams.get(&batch.stream) {
                    *stream
                } else {
                    let streams_max = self.options.limits.streams_max;
                    if self.streams.len() + written.made >= streams_max {
                        return Ok(Err(AppendError::TooManyStreams { streams_max }));
                    }
                    written.made += 1;
                    let id = self.statements.new_stream.insert([&*batch.stream])?;
                    Stream { id, last: Token::START, rows_kept: 0 }
                };
                place.insert(stream)
            }
        };
        let token = match next_token(stream.last) {
            Ok(token) => token,
            Err(error) => return Ok(Err(error)),
        };
        let values = (stream.id, token.get(), batch.rows, batch.text.as_str());
        self.statements.insert.execute(values)?;
        stream.last = token;
        stream.rows_kept += u64::from(batch.rows);
        *rows_added.entry(stream.id).or_default() += u64::from(batch.rows);
        Ok(Ok(token))
    }

    /// Deletes the oldest batches beyond what is kept: at most some more than twice what was just
    /// added, so that no transaction takes long, and a stream that holds too many rows still
    /// shrinks.
    fn prune(&mut self, stream: &mut Stream, added: u64) -> rusqlite::Result<()> {
        let Some(keep) = self.options.keep_rows_max else { return Ok(()) };
        let most = added * 2 + 100;
        let (mut rows, mut upto) = (0, None);
        if stream.rows_kept > keep {
            let mut oldest = self.statements.oldest.query((stream.id, stream.last.get()))?;
            while stream.rows_kept - rows > keep
                && rows < most
                && let Some(batch) = oldest.next()?
            {
                upto = Some(batch.get::<_, i64>(0)?);
                rows += u64::from(batch.get::<_, u32>(1)?);
            }
        }
        if let Some(upto) = upto {
            self.statements.delete.execute((stream.id, upto))?;
            stream.rows_kept -= rows;
        }
        Ok(())
    }
}

/// Returns whether an `fsync` failed: the system may then have discarded what it could not write,
/// and it reports that only once.
fn is_sync_failure(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        matches!(error.extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failed_sync_breaks_the_log_for_good() {
        let error = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        assert!(is_sync_failure(&error(ffi::SQLITE_IOERR_FSYNC)));
        assert!(is_sync_failure(&error(ffi::SQLITE_IOERR_DIR_FSYNC)));
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_BUSY] {
            assert!(!is_sync_failure(&error(code)));
        }
    }
}
