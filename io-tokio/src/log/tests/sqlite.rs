//! Tests of what only a log on disk promises.

use std::fs;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(folder: &TempDir) -> SqliteLog {
    SqliteLog::open(folder.path().join("log"), SqliteOptions::default()).unwrap()
}

fn refused(path: &std::path::Path) -> SqliteOpenError {
    SqliteLog::open(path, SqliteOptions::default()).unwrap_err()
}

#[tokio::test]
async fn tokens_go_on_where_they_ended_though_the_rows_are_gone() {
    let folder = folder();
    let log = open(&folder);
    for text in ["[1]", "[2]", "[3]"] {
        append(&log, "s", &[text]).await.unwrap();
    }
    drop(log);
    let file = Connection::open(folder.path().join("log")).unwrap();
    file.execute("DELETE FROM batches", []).unwrap();
    drop(file);
    let log = open(&folder);
    assert_eq!(log.streams(), BTreeMap::from([("s".to_owned(), 3.into())]));
    assert_eq!(append(&log, "s", &["[4]"]).await, Ok(4.into()));
    assert_eq!(read(&log, "s", 0, 9, 9).await, (vec![(4, "[4]".to_owned())], 4, false));
}

#[tokio::test]
async fn a_second_opener_is_told_and_harms_nothing() {
    let folder = folder();
    let log = open(&folder);
    std::os::unix::fs::symlink(folder.path().join("log"), folder.path().join("link")).unwrap();
    for name in ["log", "link", "./log"] {
        let error = refused(&folder.path().join(name));
        assert!(matches!(error, SqliteOpenError::InUse { .. }), "{error}");
        assert!(error.to_string().contains("in use"), "{error}");
    }
    assert_eq!(append(&log, "s", &["[1]"]).await, Ok(1.into()));
    drop(log);
    open(&folder);
}

#[test]
fn a_file_of_something_else_is_refused_and_left_as_it_is() {
    let folder = folder();
    let text = folder.path().join("text");
    fs::write(
        &text,
        "not a database, and longer than the hundred bytes that a header of SQLite has, \
        so that it is taken for one",
    )
    .unwrap();
    let database = folder.path().join("other.db");
    Connection::open(&database).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let marked = folder.path().join("marked.db");
    Connection::open(&marked).unwrap().pragma_update(None, "application_id", 17).unwrap();
    for path in [text, database, marked] {
        let before = fs::read(&path).unwrap();
        let error = refused(&path);
        assert!(matches!(error, SqliteOpenError::Foreign { .. }), "{error}");
        assert!(error.to_string().contains("choose another file"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_log_of_a_later_version_is_refused_and_left_as_it_is() {
    let folder = folder();
    drop(open(&folder));
    let path = folder.path().join("log");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let before = fs::read(&path).unwrap();
    let error = refused(&path);
    assert!(matches!(error, SqliteOpenError::Newer { found: 2, known: 1, .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_path_that_cannot_be_opened_is_said() {
    let folder = folder();
    for path in [folder.path().to_owned(), folder.path().join("no/such/log"), "/".into(), "".into()]
    {
        let error = refused(&path);
        assert!(
            matches!(error, SqliteOpenError::Io { .. } | SqliteOpenError::Sqlite { .. }),
            "{path:?}: {error}"
        );
    }
}

#[tokio::test]
async fn an_empty_file_becomes_a_log() {
    let folder = folder();
    fs::write(folder.path().join("log"), "").unwrap();
    assert_eq!(append(&open(&folder), "s", &["[1]"]).await, Ok(1.into()));
}

#[tokio::test]
async fn what_is_in_line_is_appended_before_the_log_is_closed() {
    let folder = folder();
    let log = open(&folder);
    let appends: Vec<_> = (0..500).map(|_| append(&log, "s", &["[1]"])).collect();
    drop(log);
    for (token, append) in (1..).zip(appends) {
        assert_eq!(append.await, Ok(Token::new(token)));
    }
    assert_eq!(open(&folder).streams()["s"], 500.into());
}

#[tokio::test]
async fn a_read_after_the_end_is_an_error() {
    let folder = folder();
    let log = open(&folder);
    append(&log, "s", &["[1]"]).await.unwrap();
    // The readers have read these, or were closed before.
    let reads: Vec<_> =
        (0..200).map(|_| log.read("s".into(), Span::new(Token::START, 1.into()), 10)).collect();
    drop(log);
    for read in reads {
        match read.await {
            Ok(page) => assert_eq!(page.updates.len(), 1),
            Err(error) => assert!(error.to_string().contains("closed"), "{error}"),
        }
    }
}

#[tokio::test]
async fn the_oldest_batches_are_deleted_and_the_newest_is_kept() {
    let folder = folder();
    let options = SqliteOptions { keep_rows_max: Some(4), ..SqliteOptions::default() };
    let log = SqliteLog::open(folder.path().join("log"), options.clone()).unwrap();
    for text in ["[1]", "[2]", "[3]", "[4]"] {
        append(&log, "s", &[text]).await.unwrap();
    }
    append(&log, "t", &["[1]"]).await.unwrap();
    let tokens = async |log: &SqliteLog| -> Vec<i64> {
        read(log, "s", 0, 99, 99).await.0.into_iter().map(|(token, _)| token).collect()
    };
    assert_eq!(tokens(&log).await, [1, 2, 3, 4]);
    append(&log, "s", &["[5]", "[6]"]).await.unwrap();
    assert_eq!(tokens(&log).await, [3, 4, 5, 5]);
    drop(log);
    let log = SqliteLog::open(folder.path().join("log"), options).unwrap();
    append(&log, "s", &["[1]", "[2]", "[3]", "[4]", "[5]", "[6]"]).await.unwrap();
    assert_eq!(tokens(&log).await, [6; 6]);
    assert_eq!(append(&log, "s", &["[7]"]).await, Ok(7.into()));
    assert_eq!(tokens(&log).await, [7]);
    assert_eq!(read(&log, "t", 0, 9, 9).await.0.len(), 1);
}

#[tokio::test]
async fn a_log_that_is_to_keep_less_than_it_did_shrinks_in_steps() {
    let folder = folder();
    let log = open(&folder);
    let appends: Vec<_> = (0..1_000).map(|_| append(&log, "s", &["[1]"])).collect();
    for append in appends {
        append.await.unwrap();
    }
    drop(log);
    let options = SqliteOptions { keep_rows_max: Some(10), ..SqliteOptions::default() };
    let log = SqliteLog::open(folder.path().join("log"), options).unwrap();
    let mut kept = 1_000;
    while kept > 10 {
        // Twice what was added, and a hundred more, is deleted.
        kept = (kept + 1_usize).saturating_sub(102).max(10);
        append(&log, "s", &["[1]"]).await.unwrap();
        assert_eq!(read(&log, "s", 0, i64::MAX, 9_999).await.0.len(), kept);
    }
    append(&log, "s", &["[1]"]).await.unwrap();
    assert_eq!(read(&log, "s", 0, i64::MAX, 9_999).await.0.len(), 10);
}

#[tokio::test]
async fn an_append_that_nobody_waits_for_leaves_the_line() {
    let folder = folder();
    let log = open(&folder);
    append(&log, "s", &["[0]"]).await.unwrap();
    let blocker = Connection::open(folder.path().join("log")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The writer begins with this append and cannot end it; the others stand in line.
    let first = append(&log, "s", &["[1]"]);
    while log.appends_in_line() > 0 {
        std::thread::yield_now();
    }
    let dropped = append(&log, "s", &["[2]"]);
    let third = append(&log, "s", &["[3]"]);
    drop(dropped);
    drop(first);
    assert_eq!(log.appends_in_line(), 1);
    blocker.execute_batch("COMMIT").unwrap();
    let token = third.await.unwrap();
    assert_eq!(token, 3.into());
    let (updates, ..) = read(&log, "s", 1, 9, 9).await;
    assert_eq!(updates, [(2, "[1]".to_owned()), (3, "[3]".to_owned())]);
}
