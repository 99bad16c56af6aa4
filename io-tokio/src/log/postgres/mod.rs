//! A log in PostgreSQL, for several writers on one sequence of tokens. Batches enter and are
//! committed before their token leaves; pages leave on a session of their own.

mod pages;
mod session;
mod tables;
mod writer;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use synrepl_core::{
    ByteString,
    stream::{LogError, Row, Span, Token},
};
use thiserror::Error;

use self::{pages::Pages, session::Database, writer::Writer};
use super::{
    AppendFuture, LogEnds, LogLimits, LogStore, ReadFuture,
    append::Append,
    line::{Line, Server},
    progress::Progress,
};

/// The settings of a [`PostgresLog`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// The limits of what the log takes.
    pub limits: LogLimits,
    /// The schema in which the tables are, made if it is not there. Default `synrepl`. Small
    /// letters, digits and `_`.
    pub schema: String,
    /// Time between two reads of the tokens that the other writers took from the sequences. Default
    /// 1 s.
    pub poll_every: Duration,
    /// Time to connect, and to wait for an answer. Default 30 s. Then the connection is given up
    /// and made anew.
    pub answer_timeout: Duration,
    /// Most rows of one transaction. Default 8,192. A longer batch has one of its own.
    pub group_rows_max: usize,
    /// Most bytes of rows of one transaction. Default 4 MiB. A longer batch has one of its own.
    pub group_bytes_max: usize,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            limits: LogLimits::default(),
            schema: "synrepl".to_owned(),
            poll_every: Duration::from_secs(1),
            answer_timeout: Duration::from_secs(30),
            group_rows_max: 8_192,
            group_bytes_max: 4 << 20,
        }
    }
}

/// The reason why a log cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PostgresOpenError {
    /// The connection string cannot be read. It is not shown, for it may hold a password.
    #[error(
        "not a connection string of PostgreSQL ({problem}); \
         write `host=... user=... dbname=...` or `postgres://user@host/database`"
    )]
    Address {
        /// The fault of the connection string.
        problem: String,
    },
    /// The name of the schema cannot be used.
    #[error(
        "schema {schema:?} is not a name to use; take small letters, digits and `_`, at most 63, \
         not beginning with a digit"
    )]
    Schema {
        /// The name of the schema, as given.
        schema: String,
    },
    /// The name of the instance cannot be used.
    #[error("the instance has no name, or one with a space or control character")]
    Instance,
    /// Another process writes under this name.
    #[error(
        "instance {instance:?} writes to schema {schema:?} in another process; \
         stop that first, or take another name"
    )]
    InUse {
        /// The name of the instance.
        instance: String,
        /// The name of the schema.
        schema: String,
    },
    /// The tables were made by a later version.
    #[error("the log has version {found}, this synrepl knows {known}; use a later synrepl")]
    Newer {
        /// The version of the tables.
        found: i32,
        /// The newest version that this crate knows.
        known: i32,
    },
    /// The server cannot be reached, or refused a statement.
    #[error("the log in PostgreSQL cannot be opened: {message}")]
    Server {
        /// The error of the connection or of the server.
        message: String,
    },
}

/// The logs of one instance in a PostgreSQL database that several instances share, so that several
/// write one stream with tokens from one sequence, as Synapse's do.
///
/// * *Durable.* An append is answered when its transaction is committed; `synchronous_commit` is
///   raised to `on` where it is lower.
/// * *Tokens* of one stream are given out to all writers by one row of a table, which an append
///   moves on in the statement that inserts its rows. It stays locked until the commit, so tokens
///   become visible in their order, over all writers; none is given out twice, and none is lost to
///   a transaction that failed. (A `SEQUENCE` promises neither: its numbers become visible in any
///   order, and after a crash of the server it may repeat some that were not committed.)
/// * *Tokens of others.* All that others have committed is read every
///   [`PostgresOptions::poll_every`] and reported as the end of the logs of this instance. That is
///   true: a session that sees a token sees what was committed before it, and what this instance
///   appends later waits for the lock on that row and gets a higher one. So no row of this instance
///   will ever appear at or below it.
/// * *One process for each instance and schema*: a lock of the session, which ends with it.
///   Therefore not through a pooler that gives transactions to different sessions.
/// * *Lost connections* are made anew, for as long as it takes; appends wait. One that was under
///   way is looked up by its id before it is sent again: the new session has the lock only once the
///   old one is over, so what is not there by then never will be.
///
/// Connects without TLS: over a Unix socket, or on a network that is trusted. Dropping it lets the
/// appends in line finish if the server can be reached.
pub struct PostgresLog {
    limits: LogLimits,
    progress: Arc<Progress>,
    appends: Arc<Line<Append>>,
    pages: Arc<Pages>,
}

impl PostgresLog {
    /// Opens the logs of `instance` and makes the tables if there are none. `address` is a
    /// connection string of libpq or a URL.
    ///
    /// Spawns tasks on the tokio runtime that it is called on.
    ///
    /// # Errors
    /// [`PostgresOpenError`]: the address or a name cannot be used, the server cannot be reached,
    /// another process writes under this name, or the tables are of a later version.
    ///
    /// # Cancel safety
    /// The future may be dropped; the tables may then have been made.
    pub async fn open(
        address: &str,
        instance: &str,
        options: PostgresOptions,
    ) -> Result<Self, PostgresOpenError> {
        let database = Arc::new(Database::new(address, instance, &options)?);
        let (writer, progress) = Writer::open(Arc::clone(&database), &options).await?;
        let appends = Line::new();
        tokio::spawn(writer.run(Server::new(Arc::clone(&appends))));
        let pages = Arc::new(Pages::new(database));
        Ok(Self { limits: options.limits, progress, appends, pages })
    }
}

impl fmt::Debug for PostgresLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLog").field("streams", &self.streams()).finish_non_exhaustive()
    }
}

impl Drop for PostgresLog {
    fn drop(&mut self) {
        self.appends.close();
    }
}

impl LogStore for PostgresLog {
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
        let bound = upto.min(self.progress.last(&stream));
        let pages = Arc::clone(&self.pages);
        Box::pin(async move {
            let page = pages.read(&stream, from, bound, rows_max).await;
            page.map_err(|message| LogError { stream: stream.to_string(), message })
        })
    }
}
