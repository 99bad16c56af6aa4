//! The threads that read pages. Reads enter from the line; a page of durable, whole batches leaves
//! for each.

use std::{path::Path, sync::Arc, time::Duration};

use rusqlite::{Connection, Statement};
use synrepl_core::{
    ByteString,
    stream::{LogError, Page, Token},
};
use tokio::sync::oneshot;

use super::{Ready, SqliteOpenError, file, sleep::take};
use crate::log::{line::Server, page::PageBuilder, progress::Progress};

/// A page to read, and the way to the caller that waits for it.
pub(super) struct Read {
    pub(super) stream: ByteString,
    pub(super) from: Token,
    pub(super) upto: Token,
    pub(super) rows_max: u32,
    pub(super) reply: oneshot::Sender<Result<Page, LogError>>,
}

/// Reads pages until the log is closed. Reports on `ready` once the file is open.
///
/// # Errors
/// [`SqliteOpenError`] if the file cannot be opened.
pub(super) fn run(
    server: &Server<Read>,
    path: &Path,
    busy_timeout: Duration,
    progress: &Arc<Progress>,
    ready: &Ready<()>,
) -> Result<(), SqliteOpenError> {
    let connection = file::open_reader(path, busy_timeout)?;
    let mut reader = Reader::new(&connection, progress)
        .map_err(|error| SqliteOpenError::sqlite(path, &error))?;
    let _ = ready.send(Ok(()));
    while let Some(reads) = take(server, |_| false) {
        for read in reads {
            let page = reader.read(&read).map_err(|error| LogError {
                stream: read.stream.to_string(),
                message: error.to_string(),
            });
            // A caller that no longer waits needs no page.
            let _ = read.reply.send(page);
        }
    }
    Ok(())
}

struct Reader<'c> {
    batches: Statement<'c>,
    progress: &'c Progress,
}

impl<'c> Reader<'c> {
    fn new(connection: &'c Connection, progress: &'c Progress) -> rusqlite::Result<Self> {
        let batches = connection.prepare(
            "SELECT token, row_count, rows FROM batches
             WHERE stream = (SELECT id FROM streams WHERE name = ?1)
                 AND token > ?2 AND token <= ?3
             ORDER BY token",
        )?;
        Ok(Self { batches, progress })
    }

    fn read(&mut self, read: &Read) -> rusqlite::Result<Page> {
        let &Read { ref stream, from, upto, rows_max, .. } = read;
        // What is known to be durable can be read; what comes meanwhile is left for a later page.
        let bound = upto.min(self.progress.last(stream));
        let mut page = PageBuilder::new(from, rows_max);
        let mut batches = self.batches.query((&**stream, from.get(), bound.get()))?;
        while let Some(batch) = batches.next()? {
            let (token, rows, text) = (batch.get(0)?, batch.get(1)?, batch.get_ref(2)?.as_str()?);
            if !page.has_room_for(rows, text.len()) {
                return Ok(page.limited());
            }
            page.push(Token::new(token), &ByteString::from(text));
        }
        Ok(page.complete(bound))
    }
}
