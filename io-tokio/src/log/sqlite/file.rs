//! The file: its format, its tables, and the lock that makes one process its only user. A path
//! enters; an open connection leaves, configured so that a commit is on disk.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use thiserror::Error;

/// The application id `syrl`, which marks the file as a log of this crate.
const APPLICATION_ID: i32 = 0x7379_726c;
/// The version of the tables below. A later version may need others.
const SCHEMA_VERSION: i32 = 1;

/// The tables. A row of `batches` is a batch: its rows are one text, a line each, so they cannot be
/// torn apart, and a batch of many costs as much as one of a single row. `streams` outlives what is
/// deleted.
const SCHEMA: &str = "
    CREATE TABLE streams (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        last_token INTEGER NOT NULL,
        rows_kept INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE batches (
        stream INTEGER NOT NULL,
        token INTEGER NOT NULL,
        row_count INTEGER NOT NULL,
        rows TEXT NOT NULL,
        PRIMARY KEY (stream, token)
    ) STRICT, WITHOUT ROWID;
";

/// The reason why a log cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SqliteOpenError {
    /// A process, maybe this one, has the log open.
    #[error("the log {path} is in use by another process; stop that first", path = path.display())]
    InUse {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file is a database of another program, or no database.
    #[error("{path} is not a log of synrepl but {found}; choose another file", path = path.display())]
    Foreign {
        /// The path of the file.
        path: PathBuf,
        /// The kind of file that was found, in words.
        found: &'static str,
    },
    /// The file was written by a later version.
    #[error(
        "the log {path} has version {found}, this synrepl knows {known}; use a later synrepl",
        path = path.display()
    )]
    Newer {
        /// The path of the file.
        path: PathBuf,
        /// The version of its tables.
        found: i32,
        /// The newest version that this crate knows.
        known: i32,
    },
    /// The file, its folder or its lock cannot be used.
    #[error("the log {path} cannot be opened: {error}", path = path.display())]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        error: io::Error,
    },
    /// SQLite refused to open the file.
    #[error("the log {path} cannot be opened: {message}", path = path.display())]
    Sqlite {
        /// The path of the file.
        path: PathBuf,
        /// The error of SQLite.
        message: String,
    },
    /// No thread can be started.
    #[error("no thread can be started for the log: {error}")]
    Thread {
        /// The error of the system.
        #[source]
        error: io::Error,
    },
    /// A thread of the log panicked: a defect of this crate.
    #[error("a thread of the log panicked, which is a defect of synrepl")]
    Panicked,
}

impl SqliteOpenError {
    /// Makes an error from that of SQLite about this file.
    pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) {
            return Self::Foreign { path: path.to_owned(), found: "not a database at all" };
        }
        Self::Sqlite { path: path.to_owned(), message: error.to_string() }
    }
}

/// Takes the lock that goes with the log, which ends with the process. Returns the absolute path of
/// the log as well: one file has one lock, by whichever link it is opened.
pub(super) fn lock(path: &Path) -> Result<(PathBuf, File), SqliteOpenError> {
    let io = |error| SqliteOpenError::Io { path: path.to_owned(), error };
    let absolute = absolute(path).map_err(io)?;
    let mut name = absolute.clone().into_os_string();
    name.push(".lock");
    let lock =
        OpenOptions::new().write(true).create(true).truncate(false).open(name).map_err(io)?;
    match lock.try_lock() {
        Ok(()) => Ok((absolute, lock)),
        Err(TryLockError::WouldBlock) => Err(SqliteOpenError::InUse { path: absolute }),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

fn absolute(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    Ok(fs::canonicalize(folder.unwrap_or_else(|| Path::new(".")))?.join(name))
}

/// Opens the log for writing, and makes it if there is nothing yet.
pub(super) fn open_writer(
    path: &Path,
    busy_timeout: Duration,
) -> Result<Connection, SqliteOpenError> {
    let sqlite = |error: rusqlite::Error| SqliteOpenError::sqlite(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags, busy_timeout)?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let application = number("application_id").map_err(sqlite)?;
    let version = number("user_version").map_err(sqlite)?;
    let tables: i64 = connection
        .query_one("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sqlite)?;
    let new = (application, version, tables) == (0, 0, 0);
    if !new && application != APPLICATION_ID {
        let found = "a database of another program";
        return Err(SqliteOpenError::Foreign { path: path.to_owned(), found });
    }
    if version > SCHEMA_VERSION {
        let (path, found, known) = (path.to_owned(), version, SCHEMA_VERSION);
        return Err(SqliteOpenError::Newer { path, found, known });
    }
    configure(&connection).map_err(sqlite)?;
    if new {
        create(&connection).map_err(sqlite)?;
    }
    Ok(connection)
}

/// Sets up the connection to write. A token is given out when its rows are on disk, which takes
/// `FULL`: in `NORMAL` a transaction of the write-ahead log may be undone by a power cut.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    // For systems on which a plain `fsync` only reaches the drive's cache (macOS).
    connection.pragma_update(None, "fullfsync", true)?;
    // After a burst the write-ahead log gives its room back.
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))
}

fn create(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

/// Opens the log, which the writer has made, for reading.
pub(super) fn open_reader(
    path: &Path,
    busy_timeout: Duration,
) -> Result<Connection, SqliteOpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    open(path, flags, busy_timeout)
}

fn open(
    path: &Path,
    flags: OpenFlags,
    busy_timeout: Duration,
) -> Result<Connection, SqliteOpenError> {
    let connection = Connection::open_with_flags(path, flags)
        .and_then(|connection| connection.busy_timeout(busy_timeout).map(|()| connection));
    connection.map_err(|error| SqliteOpenError::sqlite(path, &error))
}
