//! The tables, and the lock that makes a session the only one that writes for its instance. A
//! session enters; it leaves with its tables, and with the lock or not.

use std::time::Duration;

use super::{
    PostgresOpenError,
    session::{Database, Failure, Session},
};

/// The version of the tables below. A later version may need others.
const VERSION: i32 = 1;

/// The tables. A row of `batches` is a batch, as in SQLite. `writers` names the streams of each
/// instance.
const TABLES: &str = "
    CREATE TABLE version (version int NOT NULL);
    INSERT INTO version VALUES (1);
    CREATE TABLE streams (
        name text COLLATE \"C\" PRIMARY KEY,
        last_token bigint NOT NULL
    );
    CREATE TABLE writers (
        instance text COLLATE \"C\" NOT NULL,
        stream text COLLATE \"C\" NOT NULL REFERENCES streams,
        PRIMARY KEY (instance, stream)
    );
    CREATE TABLE batches (
        stream text COLLATE \"C\" NOT NULL,
        instance text COLLATE \"C\" NOT NULL,
        token bigint NOT NULL,
        row_count int NOT NULL,
        rows text NOT NULL,
        append_id bigint NOT NULL,
        PRIMARY KEY (stream, instance, token)
    );
";

/// The number of attempts at a lock that another session has, and the time between two.
const LOCK_ATTEMPTS: u32 = 40;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Makes the tables if there are none, and checks their version.
pub(super) async fn prepare(
    session: &Session,
    database: &Database,
) -> Result<(), PostgresOpenError> {
    let schema = &database.schema;
    // Another session that makes them at the same moment waits, and then finds them.
    let make = format!(
        "BEGIN;
         SELECT pg_advisory_xact_lock(hashtextextended('synrepl tables of {schema}', 0));
         CREATE SCHEMA IF NOT EXISTS {schema};
         DO $$ BEGIN
             IF to_regclass('{schema}.version') IS NULL THEN {TABLES} END IF;
         END $$;
         COMMIT"
    );
    let found = async {
        let table = format!("{schema}.version");
        // A user that may only use the tables needs no right to make them.
        if !session.value::<bool>("SELECT to_regclass($1) IS NOT NULL", &[&table]).await? {
            session.script(&make).await?;
        }
        session.value("SELECT version FROM version", &[]).await
    };
    match found.await {
        Ok(VERSION) => Ok(()),
        Ok(found) => Err(PostgresOpenError::Newer { found, known: VERSION }),
        Err(failure) => Err(PostgresOpenError::Server { message: failure.message() }),
    }
}

/// Makes this session the only writer of its instance; false if another one is. `mine` is the
/// server's process of a session that was lost: if the server has not noticed yet, it is requested
/// to end that session.
pub(super) async fn lock(
    session: &Session,
    database: &Database,
    mine: Option<i32>,
) -> Result<bool, Failure> {
    let key = format!("synrepl writer {} {}", database.schema, database.instance);
    for _ in 0..LOCK_ATTEMPTS {
        let lock = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";
        if session.value(lock, &[&key]).await? {
            return Ok(true);
        }
        if let Some(mine) = mine {
            let end = "SELECT pg_terminate_backend(pid) FROM pg_locks
                WHERE locktype = 'advisory' AND pid = $2 AND objsubid = 1
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND (classid::bigint << 32 | objid::bigint) = hashtextextended($1, 0)";
            session.execute(end, &[&key, &mine]).await?;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Ok(false)
}

/// Returns the id of the server's process behind this session.
pub(super) async fn process(session: &Session) -> Result<i32, Failure> {
    session.value("SELECT pg_backend_pid()", &[]).await
}
