//! Tests of what only a log that several writers share promises, on a real server.

mod proxy;
pub(super) mod server;

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio_postgres::{Client, NoTls};

use self::proxy::{Cut, MARK};
use super::*;

/// Returns options with a schema of its own, and with frequent reads of others' tokens.
pub(super) fn options() -> PostgresOptions {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    PostgresOptions {
        schema: format!("log_{}", NEXT.fetch_add(1, Ordering::SeqCst)),
        poll_every: Duration::from_millis(20),
        ..PostgresOptions::default()
    }
}

async fn open(instance: &str, options: &PostgresOptions) -> PostgresLog {
    PostgresLog::open(&server::address(), instance, options.clone()).await.unwrap()
}

/// Connects a client of its own, in the schema.
async fn client(options: &PostgresOptions) -> Client {
    let (client, connection) = tokio_postgres::connect(&server::address(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("SET search_path = {}", options.schema)).await.unwrap();
    client
}

async fn tokens(log: &PostgresLog, upto: i64) -> Vec<i64> {
    read(log, "s", 0, upto, 10_000).await.0.into_iter().map(|(token, _)| token).collect()
}

#[tokio::test]
async fn two_writers_share_a_sequence_and_each_is_told_how_far_it_is_complete() {
    const EACH: usize = 300;
    let options = options();
    let logs = [open("a", &options).await, open("b", &options).await];
    let mut writing = Vec::new();
    for log in &logs {
        let ends = LogEnds::default();
        log.attach(ends.clone());
        writing.push(async move {
            let (mut given, mut promised) = (Vec::new(), Vec::new());
            for number in 0..EACH {
                given.push(append(log, "s", &[&format!("[{number}]")]).await.unwrap().get());
                for (_, end) in news(&ends) {
                    promised.push((end.get(), tokens(log, end.get()).await));
                }
                // The other gets a turn to take some tokens, too.
                tokio::task::yield_now().await;
            }
            // In the end both are notified of the last token, whichever of them took it.
            let mut end = promised.last().unwrap().0;
            while end < 2 * EACH as i64 {
                end = poll_fn(|cx| ends.poll_next(cx)).await.1.get();
                promised.push((end, tokens(log, end).await));
            }
            (given, promised)
        });
    }
    let second = writing.pop().unwrap();
    let (first, second) = tokio::join!(writing.pop().unwrap(), second);
    let mut all = BTreeSet::new();
    for (log, (given, promised)) in logs.iter().zip([&first, &second]) {
        assert!(given.is_sorted());
        assert_eq!(tokens(log, i64::MAX).await, *given);
        all.extend(given.iter().copied());
        for (end, seen) in promised {
            let below: Vec<_> = given.iter().copied().filter(|token| token <= end).collect();
            assert_eq!(*seen, below, "what was complete up to {end} has not changed since");
        }
    }
    assert!(all.into_iter().eq(1..=2 * EACH as i64));
    let highest_of_others = first.0.iter().zip(first.0.iter().skip(1)).any(|(a, b)| b - a > 1);
    assert!(highest_of_others, "they did not write at the same time");
}

#[tokio::test]
async fn tokens_of_others_are_told_though_nothing_is_appended() {
    let options = options();
    let (idle, busy) = (open("idle", &options).await, open("busy", &options).await);
    assert_eq!(append(&idle, "s", &["[1]"]).await, Ok(1.into()));
    let ends = LogEnds::default();
    idle.attach(ends.clone());
    assert_eq!(news(&ends), [("s".into(), 1.into())]);
    assert_eq!(append(&busy, "s", &["[2]"]).await, Ok(2.into()));

    assert_eq!(append(&busy, "other", &["[2]"]).await, Ok(1.into()));
    assert_eq!(poll_fn(|cx| ends.poll_next(cx)).await, ("s".into(), 2.into()));
    assert_eq!(read(&idle, "s", 0, 9, 9).await, (vec![(1, "[1]".to_owned())], 2, false));
    assert_eq!(idle.streams(), BTreeMap::from([("s".to_owned(), 2.into())]));
    assert_eq!(busy.streams().len(), 2);
}

#[tokio::test]
async fn the_logs_go_on_where_they_ended() {
    let options = options();
    let log = open("a", &options).await;
    append(&log, "s", &["[1]"]).await.unwrap();
    append(&open("b", &options).await, "s", &["[2]"]).await.unwrap();
    drop(log);
    let log = open("a", &options).await;
    assert_eq!(log.streams(), BTreeMap::from([("s".to_owned(), 2.into())]));
    assert_eq!(append(&log, "s", &["[3]"]).await, Ok(3.into()));
    assert_eq!(tokens(&log, 9).await, [1, 3]);
}

#[tokio::test]
async fn a_second_writer_of_the_same_name_is_told_and_harms_nothing() {
    let options = options();
    let log = open("a", &options).await;
    let error = PostgresLog::open(&server::address(), "a", options.clone()).await.unwrap_err();
    assert!(matches!(error, PostgresOpenError::InUse { .. }), "{error}");
    assert_eq!(append(&log, "s", &["[1]"]).await, Ok(1.into()));
    drop(log);
    assert_eq!(append(&open("a", &options).await, "s", &["[2]"]).await, Ok(2.into()));
}

async fn cut(cut: Cut) {
    let options = options();
    let log = PostgresLog::open(&proxy::start(cut).await, "a", options.clone()).await.unwrap();
    append(&log, "s", &["[1]"]).await.unwrap();
    let marked = append(&log, "s", &[&format!("[\"{MARK}\"]"), "[2]"]);
    assert_eq!(marked.await, Ok(2.into()), "{cut:?}");
    assert_eq!(append(&log, "s", &["[3]"]).await, Ok(3.into()), "{cut:?}");
    assert_eq!(tokens(&log, 9).await, [1, 2, 2, 3], "{cut:?}");
}

#[tokio::test]
async fn an_append_whose_statement_was_lost_is_sent_again() {
    cut(Cut::Statement).await;
}

#[tokio::test]
async fn an_append_whose_answer_was_lost_is_found_and_not_sent_again() {
    cut(Cut::Answer).await;
}

#[tokio::test]
async fn an_append_that_the_server_still_works_on_is_ended_before_it_is_looked_for() {
    let options = options();
    let log =
        PostgresLog::open(&proxy::start(Cut::Unheard).await, "a", options.clone()).await.unwrap();
    append(&log, "s", &["[1]"]).await.unwrap();
    let (blocker, watcher) = (client(&options).await, client(&options).await);
    blocker.batch_execute("BEGIN; SELECT FROM streams FOR UPDATE").await.unwrap();
    let holder = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
        AND (classid::bigint << 32 | objid::bigint) = hashtextextended($1, 0)";
    let key = format!("synrepl writer {} a", options.schema);
    let cut_off: i32 = blocker.query_one(holder, &[&key]).await.unwrap().get(0);
    let marked = append(&log, "s", &[&format!("[\"{MARK}\"]")]);
    // A session that waits holds another lock on the table, which is that of this test alone.
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
        AND pid != $1 AND pid IN (SELECT pid FROM pg_locks WHERE relation = 'streams'::regclass)";
    let back = async {
        // The watcher is no part of `blocker`'s transaction, inside which this view would never
        // change.
        while watcher.query_one(waiting, &[&cut_off]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), back).await.expect("the writer comes back");
    blocker.batch_execute("COMMIT").await.unwrap();
    assert_eq!(marked.await, Ok(2.into()));
    assert_eq!(tokens(&log, 9).await, [1, 2]);
}

#[tokio::test]
async fn appends_go_on_though_sessions_are_ended_all_the_time() {
    let options = options();
    let log = open("a", &options).await;
    let executioner = client(&options).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1
            AND (classid::bigint << 32 | objid::bigint) = hashtextextended($1, 0)";
    let key = format!("synrepl writer {} a", options.schema);
    let (mut ended, mut under_way) = (0, std::collections::VecDeque::new());
    for number in 0..200 {
        under_way.push_back(append(&log, "s", &[&format!("[{number}]"), "[]"]));
        if number % 10 == 5 {
            ended += executioner.execute(end, &[&key]).await.unwrap();
        }
        if under_way.len() > 5 {
            under_way.pop_front().unwrap().await.unwrap();
        }
    }
    for append in under_way {
        append.await.unwrap();
    }
    assert!(ended >= 10, "{ended} sessions were ended");
    let (updates, ..) = read(&log, "s", 0, i64::MAX, 10_000).await;
    let expected: Vec<_> = (0..200)
        .flat_map(|number| [(number + 1, format!("[{number}]")), (number + 1, "[]".to_owned())])
        .collect();
    assert_eq!(updates, expected);
}

#[tokio::test]
async fn pages_are_read_again_after_their_session_was_lost() {
    let options = options();
    // The sessions of the other tests are to be left alone.
    let address = format!("{} application_name={}", server::address(), options.schema);
    let log = PostgresLog::open(&address, "a", options.clone()).await.unwrap();
    append(&log, "s", &["[1]"]).await.unwrap();
    assert_eq!(tokens(&log, 9).await, [1]);
    let executioner = client(&options).await;
    let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE application_name = $1 AND query LIKE '%lead(token)%'";
    assert_eq!(executioner.execute(end, &[&options.schema]).await.unwrap(), 1);
    // The first read may still find the old session.
    let first = log.read("s".into(), Span::new(Token::START, 9.into()), 9).await;
    assert!(first.is_ok() || first.unwrap_err().to_string().contains("cannot be read"));
    assert_eq!(tokens(&log, 9).await, [1]);
}

#[tokio::test]
async fn what_the_server_refuses_fails_whole_and_takes_no_token() {
    let options = options();
    let log = open("a", &options).await;
    append(&log, "s", &["[1]"]).await.unwrap();
    let admin = client(&options).await;
    admin.batch_execute("ALTER TABLE batches ADD CHECK (row_count < 3)").await.unwrap();
    let error = append(&log, "s", &["[1]", "[2]", "[\"syt_secret\"]"]).await.unwrap_err();
    assert!(
        matches!(&error, AppendError::Store { message } if message.contains("23514")),
        "{error}"
    );
    assert!(!error.to_string().contains("syt_secret"), "{error}");
    assert_eq!(append(&log, "s", &["[2]"]).await, Ok(2.into()));
    assert_eq!(tokens(&log, 9).await, [1, 2]);
}

#[tokio::test]
async fn a_sequence_that_went_back_gives_out_no_token_twice() {
    let options = options();
    let log = open("a", &options).await;
    for text in ["[1]", "[2]"] {
        append(&log, "s", &[text]).await.unwrap();
    }
    let admin = client(&options).await;
    admin.batch_execute("DELETE FROM batches; UPDATE streams SET last_token = 1").await.unwrap();
    let error = append(&log, "s", &["[3]"]).await.unwrap_err();
    assert!(error.to_string().contains("old backup"), "{error}");
    assert_eq!(tokens(&log, 9).await, [0; 0]);
}

#[tokio::test]
async fn what_cannot_be_opened_is_said_without_the_password() {
    let server = server::address();
    let open = async |address: &str, instance: &str, schema: &str| {
        let options = PostgresOptions { schema: schema.to_owned(), ..options() };
        PostgresLog::open(address, instance, options).await.unwrap_err()
    };
    for (address, instance, schema, expected) in [
        ("hunter2", "a", "s", "not a connection string"),
        ("user=a password=hunter2", "a", "s", "no host"),
        ("postgres://u:hunter2@127.0.0.1:1/db", "a", "s", "cannot be opened"),
        ("host=127.0.0.1 password=hunter2 port=x", "a", "s", "not a connection string"),
        (&server, "", "s", "the instance has no name"),
        (&server, "a b", "s", "the instance has no name"),
        (&server, "a", "1s", "not a name to use"),
        (&server, "a", "s; drop", "not a name to use"),
        (&server, "a", "", "not a name to use"),
        ("host=/nowhere user=a", "a", "s", "cannot be opened"),
    ] {
        let error = open(address, instance, schema).await;
        let said = format!("{error} {error:?}");
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn tables_of_a_later_version_are_refused() {
    let options = options();
    drop(open("a", &options).await);
    client(&options).await.batch_execute("UPDATE version SET version = 2").await.unwrap();
    let error = PostgresLog::open(&server::address(), "b", options).await.unwrap_err();
    assert_eq!(error, PostgresOpenError::Newer { found: 2, known: 1 });
}

#[tokio::test]
async fn what_is_in_line_is_appended_before_the_log_is_closed() {
    let options = options();
    let log = open("a", &options).await;
    let appends: Vec<_> = (0..100).map(|_| append(&log, "s", &["[1]"])).collect();
    drop(log);
    for (token, append) in (1..).zip(appends) {
        assert_eq!(append.await, Ok(Token::new(token)));
    }
}
