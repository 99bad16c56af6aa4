//! Tests of `POST /rows`.

use std::sync::Arc;

use tokio::{io::AsyncWriteExt as _, time::timeout};

use super::{Answer, CATCH_UP, Running, SECRET, TestLog, wanted};
use crate::fetch::FetchSource as _;

const BATCH: &str = r#"{"stream":"s","rows":[["a"],["b"]]}"#;

#[tokio::test]
async fn a_batch_is_answered_with_its_token_and_can_be_fetched() {
    let server = Running::open(&TestLog::default()).await;
    for token in 1..=2 {
        let answer = server.post("", BATCH).await;
        assert_eq!(answer.said(), (200, &*format!(r#"{{"stream":"s","token":{token}}}"#)));
    }
    let page = server.client(SECRET).fetch(wanted("s", 0, 9)).await.unwrap();
    let rows: Vec<_> =
        page.updates.iter().map(|(token, row)| (token.get(), row.as_str())).collect();
    assert_eq!(rows, [(1, r#"["a"]"#), (1, r#"["b"]"#), (2, r#"["a"]"#), (2, r#"["b"]"#)]);
}

#[tokio::test]
async fn an_answer_waits_until_the_batch_is_durable() {
    let log = TestLog::default();
    let gate = log.hold();
    let server = Running::open(&log).await;
    let mut post = std::pin::pin!(server.post("", BATCH));
    while Arc::strong_count(&gate) < 3 {
        assert!(timeout(std::time::Duration::ZERO, &mut post).await.is_err());
        tokio::task::yield_now().await;
    }
    assert!(timeout(std::time::Duration::ZERO, &mut post).await.is_err());
    gate.notify_one();
    assert_eq!(post.await.status, 200);
}

#[tokio::test]
async fn what_is_no_batch_is_refused_and_nothing_is_kept() {
    let log = TestLog::default();
    let server = Running::open(&log).await;
    for (body, expected) in [
        ("", "not of the form"),
        ("x", "not of the form"),
        (r#"{"stream":"s","rows":[["a"]"#, "not of the form"),
        (r#"{"stream":"s","rows":[["a"]]}{"stream":"s","rows":[["a"]]}"#, "trailing characters"),
        (r#"{"stream":"s","row":[["a"]]}"#, "unknown field `row`"),
        (r#"{"stream":"s","rows":[]}"#, "at least one row"),
    ] {
        let answer = server.post("", body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.body.starts_with(r#"{"error":""#), "{answer:?}");
        assert!(answer.body.contains(expected), "{answer:?}");
    }
    assert!(log.0.streams.lock().unwrap().is_empty());
}

#[tokio::test]
async fn rows_are_taken_only_from_who_knows_the_secret() {
    let log = TestLog::default();
    let server = Running::start(&log, Some(SECRET), |_| {}).await;
    for headers in ["", "Authorization: Bearer hunter3\r\n"] {
        let answer = server.post(headers, BATCH).await;
        assert_eq!(answer.status, 401, "{headers}");
        assert!(answer.body.contains("Bearer SECRET"), "{answer:?}");
    }
    assert!(log.0.streams.lock().unwrap().is_empty());
    assert_eq!(server.post("Authorization: Bearer hunter2\r\n", BATCH).await.status, 200);
}

#[tokio::test]
async fn rows_are_not_taken_from_a_page_in_a_browser() {
    let log = TestLog::default();
    let server = Running::open(&log).await;
    for origin in ["https://evil.example", "null"] {
        let answer = server.post(&format!("Origin: {origin}\r\n"), BATCH).await;
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    assert!(log.0.streams.lock().unwrap().is_empty());
}

#[tokio::test]
async fn without_a_secret_nobody_calls_by_a_name_that_a_site_can_have() {
    let log = TestLog::default();
    log.fill("s", 1);
    let call = format!("GET {CATCH_UP}/s/x?from_token=0&upto_token=1 HTTP/1.1\r\n");
    let evil = "Connection: close\r\nHost: evil.example\r\n";
    let server = Running::open(&log).await;
    let refused = server.ask(&format!("{call}{evil}\r\n")).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.body.contains("M_FORBIDDEN") && refused.body.contains("evil.example"));
    let length = BATCH.len();
    let post = format!("POST /rows HTTP/1.1\r\n{evil}Content-Length: {length}\r\n\r\n{BATCH}");
    let refused = server.ask(&post).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let health = server.ask(&format!("GET /health HTTP/1.1\r\n{evil}\r\n")).await;
    assert_eq!(health.status, 200, "it gives nothing away");

    let server = Running::start(&log, Some(SECRET), |_| {}).await;
    let known = server.ask(&format!("{call}{evil}Authorization: Bearer hunter2\r\n\r\n")).await;
    assert_eq!(known.status, 200, "no page has the secret: {known:?}");
}

#[tokio::test]
async fn a_log_that_fails_is_said_with_when_to_try_again() {
    let log = TestLog::default();
    log.fail("the disk is full");
    let server = Running::open(&log).await;
    let answer = server.post("", BATCH).await;
    let told = r#"{"error":"the log cannot be written: the disk is full"}"#;
    assert_eq!(answer.said(), (503, told));
    assert!(answer.head.contains("retry-after: 1\r\n"), "{}", answer.head);
}

#[tokio::test]
async fn a_body_may_come_in_chunks_and_after_a_question() {
    let server = Running::open(&TestLog::default()).await;
    let mut stream = server.connect().await;
    stream
        .write_all(
            b"POST /rows HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\n\
              Transfer-Encoding: chunked\r\n\r\n",
        )
        .await
        .unwrap();
    for part in [&BATCH[..9], &BATCH[9..]] {
        let chunk = format!("{:x}\r\n{part}\r\n", part.len());
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let answer = Answer::read_to_end(&mut stream).await;
    assert_eq!(answer.status, 100);
    assert!(answer.body.ends_with(r#"{"stream":"s","token":1}"#), "{answer:?}");
}
