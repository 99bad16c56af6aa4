//! Tests of the status codes, errors and headers of the catch-up call, against what Synapse 1.163.2
//! gave (`docs/seen.md` "HTTP catch-up").

use super::{CATCH_UP, Running, SECRET, TestLog};

const UNRECOGNIZED: &str = r#"{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}"#;
const INTERNAL: &str = r#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#;
const UNKNOWN_STREAM: &str = r#"{"errcode":"M_UNKNOWN","error":"Unknown stream"}"#;

#[tokio::test]
async fn every_call_gets_the_status_and_the_error_of_the_reference() {
    let log = TestLog::default();
    log.fill("mine", 3);
    let server = Running::open(&log).await;
    let two = r#"{"updates":[[2,["r2"]],[3,["r3"]]],"upto_token":3,"limited":false}"#;
    let none = r#"{"updates":[],"upto_token":1,"limited":false}"#;
    let empty = r#"{"updates":[],"upto_token":0,"limited":false}"#;
    let missing = |name: &str| {
        format!(
            r#"{{"errcode":"M_MISSING_PARAM","error":"Missing required integer query parameter {name}"}}"#
        )
    };
    let invalid = |name: &str| {
        format!(
            r#"{{"errcode":"M_INVALID_PARAM","error":"Query parameter {name} must be an integer"}}"#
        )
    };
    let negative = r#"{"errcode":"M_INVALID_PARAM","error":"Query parameter from_token must be a positive integer"}"#;
    for (rest, status, body) in [
        ("/mine/abc?from_token=1&upto_token=3", 200, two),
        ("/m%69ne/abc?from_token=%2B1&upto_token=3", 200, two),
        ("/mine/abc?from_token=1&upto_token=9223372036854775808", 200, two),
        ("/mine/abc?from_token=1&upto_token=1208925819614629174706176&x=y", 200, two),
        ("/mine/abc?from_token=1&upto_token=1", 200, none),
        ("/mine/abc?from_token=2&upto_token=1", 200, none),
        ("/events/abc?from_token=0&upto_token=5", 200, empty),
        ("/nosuch/abc?from_token=0&upto_token=5", 400, UNKNOWN_STREAM),
        ("/nosuch/abc", 400, UNKNOWN_STREAM),
        ("/mine/abc?upto_token=5", 400, &missing("from_token")),
        ("/mine/abc?from_token=5", 400, &missing("upto_token")),
        ("/mine/abc?from_token=5&to_token=9", 400, &missing("upto_token")),
        ("/mine/abc?from_token=abc&upto_token=5", 400, &invalid("from_token")),
        ("/mine/abc?from_token=1.0&upto_token=5", 400, &invalid("from_token")),
        ("/mine/abc?from_token=1&upto_token=", 400, &invalid("upto_token")),
        ("/mine/abc?from_token=-5&upto_token=5", 400, negative),
        ("/mine?from_token=0&upto_token=5", 404, UNRECOGNIZED),
        ("/mine/?from_token=0&upto_token=5", 404, UNRECOGNIZED),
        ("/mine/abc/?from_token=0&upto_token=5", 404, UNRECOGNIZED),
    ] {
        let answer = server.get(&format!("{CATCH_UP}{rest}")).await;
        assert_eq!(answer.said(), (status, body), "{rest}");
        for header in [
            "content-type: application/json".to_owned(),
            format!("content-length: {}", body.len()),
            "cache-control: no-cache, no-store, must-revalidate".to_owned(),
            "server: synrepl/".to_owned(),
        ] {
            assert!(answer.head.contains(&header), "{rest}: no {header} in {}", answer.head);
        }
    }
}

#[tokio::test]
async fn the_same_transaction_id_is_answered_anew() {
    let log = TestLog::default();
    let server = Running::open(&log).await;
    for end in 1..=3 {
        log.fill("mine", end);
        let answer = server.get(&format!("{CATCH_UP}/mine/same?from_token=0&upto_token=9")).await;
        assert!(answer.body.contains(&format!("\"upto_token\":{end}")), "{answer:?}");
    }
}

#[tokio::test]
async fn a_stream_is_known_from_its_first_row_on() {
    let log = TestLog::default();
    let server = Running::open(&log).await;
    let path = format!("{CATCH_UP}/mine/x?from_token=0&upto_token=9");
    assert_eq!(server.get(&path).await.status, 400);
    log.fill("mine", 1);
    assert_eq!(server.get(&path).await.status, 200);
}

#[tokio::test]
async fn other_methods_are_refused() {
    let server = Running::open(&TestLog::default()).await;
    let path = format!("{CATCH_UP}/events/abc?from_token=0&upto_token=5");
    for (method, path, allow) in [
        ("POST", path.as_str(), "get"),
        ("PUT", path.as_str(), "get"),
        ("GET", "/rows", "post"),
        ("DELETE", "/rows", "post"),
        ("POST", "/health", "get, head"),
    ] {
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = server.ask(&request).await;
        assert_eq!(answer.said(), (405, UNRECOGNIZED), "{method} {path}");
        assert!(answer.head.contains(&format!("allow: {allow}\r\n")), "{}", answer.head);
    }
}

#[tokio::test]
async fn only_who_knows_the_secret_is_answered() {
    let log = TestLog::default();
    log.fill("mine", 1);
    let server = Running::start(&log, Some(SECRET), |_| {}).await;
    for (authorization, status) in [
        ("Authorization: Bearer hunter2\r\n", 200),
        ("", 500),
        ("Authorization: Bearer hunter3\r\n", 500),
        ("Authorization: bearer hunter2\r\n", 500),
        ("Authorization: Basic hunter2\r\n", 500),
        ("Authorization: Bearer hunter2\r\nAuthorization: Bearer hunter2\r\n", 500),
    ] {
        // A client that is refused learns nothing, not even which streams there are.
        for stream in ["mine", "nosuch"] {
            let answer = server
                .ask(&format!(
                    "GET {CATCH_UP}/{stream}/x?from_token=0&upto_token=5 HTTP/1.1\r\nHost: localhost\r\n\
                     Connection: close\r\n{authorization}\r\n"
                ))
                .await;
            if status == 500 {
                assert_eq!(answer.said(), (500, INTERNAL), "{authorization}");
            } else {
                assert_eq!(answer.status, if stream == "mine" { 200 } else { 400 });
            }
        }
    }
}

#[tokio::test]
async fn health_needs_no_secret() {
    let server = Running::start(&TestLog::default(), Some(SECRET), |_| {}).await;
    let answer = server.get("/health").await;
    assert_eq!(answer.said(), (200, "OK"));
    assert!(answer.head.contains("content-type: text/plain\r\n"), "{}", answer.head);
    for path in ["/", "/_synapse/replication", "/_matrix/client/versions"] {
        assert_eq!(server.get(path).await.said(), (404, UNRECOGNIZED), "{path}");
    }
}

#[tokio::test]
async fn a_log_that_fails_is_an_internal_error() {
    let log = TestLog::default();
    log.fill("mine", 1);
    log.fail("the disk is gone");
    let server = Running::open(&log).await;
    let answer = server.get(&format!("{CATCH_UP}/mine/x?from_token=0&upto_token=5")).await;
    assert_eq!(answer.said(), (500, INTERNAL));
}
