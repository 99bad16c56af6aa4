//! Tests of the client against a scripted server on loopback.

mod again;

use std::time::Duration;

use synrepl_core::{
    stream::{FetchError, Page, Source, Span, Token},
    wire::Secret,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{Endpoint, HttpFetch};
use crate::{
    fetch::{FetchRequest, FetchSource as _},
    limits::Limits,
    transport::SocketConnector,
};

const PAGE: &str = r#"{"updates":[[3,["a"]]],"upto_token":4,"limited":false}"#;

/// A server that answers one request at a time, as the test scripts it.
struct Server {
    listener: TcpListener,
    url: String,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    fn client(&self, change: impl FnOnce(&mut Limits)) -> HttpFetch<SocketConnector> {
        let mut limits = Limits::default();
        change(&mut limits);
        let endpoints = [("p1".to_owned(), Endpoint::parse(&self.url).unwrap())].into();
        let secret = Secret::new("hunter2".to_owned());
        HttpFetch::new(&SocketConnector, endpoints, Some(&secret), &limits, 7).unwrap()
    }
}

fn events() -> FetchRequest {
    FetchRequest::new(Source::new("events", "p1"), Span::new(Token::new(2), Token::new(4)))
}

/// Reads the head of a request.
async fn request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

/// Makes one call to which the server answers `answer`, then closes.
async fn call(answer: &str, change: impl FnOnce(&mut Limits)) -> Result<Page, FetchError> {
    let server = Server::start().await;
    let client = server.client(change);
    let serve = async {
        let mut stream = server.accept().await;
        request(&mut stream).await;
        // The client may refuse the response before it has all of it.
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
        stream
    };
    let (result, _stream) = tokio::join!(client.fetch(events()), serve);
    result
}

#[tokio::test]
async fn a_page_is_asked_for_as_synapse_wants_it() {
    let server = Server::start().await;
    let client = server.client(|_| {});
    let serve = async {
        let mut stream = server.accept().await;
        let head = request(&mut stream).await;
        stream.write_all(ok(PAGE).as_bytes()).await.unwrap();
        head
    };
    let source = Source::new("odd stream/\u{e9}", "p1");
    let wanted = FetchRequest::new(source, Span::new(Token::new(2), Token::new(4)));
    let (result, head) = tokio::join!(client.fetch(wanted), serve);
    let page = result.unwrap();
    assert_eq!(page.updates, [(Token::new(3), r#"["a"]"#.into())]);
    assert_eq!((page.upto, page.limited), (Token::new(4), false));
    assert!(
        path(&head)
            .starts_with("/_synapse/replication/get_repl_stream_updates/odd%20stream%2F%C3%A9/"),
        "{head}"
    );
    assert!(path(&head).ends_with("?from_token=2&upto_token=4"), "{head}");
    let host = server.url.strip_prefix("http://").unwrap();
    for line in
        [&format!("host: {host}"), "authorization: Bearer hunter2", "accept-encoding: identity"]
    {
        assert!(head.lines().any(|found| found == line), "{line} in {head}");
    }
}

#[tokio::test]
async fn calls_share_a_connection_and_never_a_transaction_id() {
    let server = Server::start().await;
    let client = server.client(|_| {});
    let serve = async {
        let mut stream = server.accept().await;
        let mut paths = Vec::new();
        for _ in 0..3 {
            paths.push(path(&request(&mut stream).await).to_owned());
            stream.write_all(ok(PAGE).as_bytes()).await.unwrap();
        }
        paths
    };
    let calls = async {
        for _ in 0..3 {
            client.fetch(events()).await.unwrap();
        }
    };
    let (mut paths, ()) = tokio::join!(serve, calls);
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 3);
}

#[tokio::test]
async fn a_dead_idle_connection_is_replaced_within_the_call_with_the_same_id() {
    let server = Server::start().await;
    let client = server.client(|_| {});
    let serve = async {
        let mut first = server.accept().await;
        request(&mut first).await;
        first.write_all(ok(PAGE).as_bytes()).await.unwrap();
        // The server takes the next request, then closes without an answer.
        let unanswered = request(&mut first).await;
        drop(first);
        let mut second = server.accept().await;
        let again = request(&mut second).await;
        second.write_all(ok(PAGE).as_bytes()).await.unwrap();
        (unanswered, again)
    };
    let calls = async {
        client.fetch(events()).await.unwrap();
        client.fetch(events()).await.unwrap();
    };
    let ((unanswered, again), ()) = tokio::join!(serve, calls);
    assert_eq!(path(&unanswered), path(&again));
}

#[tokio::test]
async fn a_fresh_connection_that_dies_is_not_tried_again() {
    let server = Server::start().await;
    let client = server.client(|_| {});
    let serve = async {
        let mut stream = server.accept().await;
        request(&mut stream).await;
    };
    let (result, ()) = tokio::join!(client.fetch(events()), serve);
    let FetchError::Unreachable { endpoint, message } = result.unwrap_err() else { panic!() };
    assert_eq!(endpoint, server.url);
    assert!(message.contains("closed"), "{message}");
}

#[tokio::test]
async fn every_status_says_what_it_may_mean() {
    for (status, body, expected) in [
        (500, r#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#, "secret may be wrong"),
        (404, r#"{"errcode":"M_UNRECOGNIZED"}"#, "M_UNRECOGNIZED; no replication resource"),
        (400, r#"{"errcode":"M_UNKNOWN","error":"Unknown stream"}"#, "M_UNKNOWN: Unknown stream"),
        (401, "", "proxy"),
        (403, "<html>", "<html>; refused before Synapse"),
        (502, "", "not Synapse"),
        (204, "", "no text"),
    ] {
        let answer =
            format!("HTTP/1.1 {status} Some\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        // No body may follow a 204.
        let answer = answer.replace("Content-Length: 0\r\n", "");
        let error = call(&answer, |_| {}).await.unwrap_err();
        let FetchError::Status { status: found, message, .. } = &error else { panic!("{error}") };
        assert_eq!(*found, status);
        assert!(message.contains(expected), "{message}");
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[tokio::test]
async fn an_answer_above_the_limit_is_refused_announced_or_not() {
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{PAGE}\r\n0\r\n\r\n",
        PAGE.len()
    );
    for answer in [ok(PAGE), chunked.clone()] {
        let error = call(&answer, |limits| limits.fetch_body_bytes_max = PAGE.len() - 1).await;
        let limit_bytes = PAGE.len() as u64 - 1;
        assert_eq!(error, Err(FetchError::TooLarge { limit_bytes }));
    }
    assert!(call(&chunked, |limits| limits.fetch_body_bytes_max = PAGE.len()).await.is_ok());
}

#[tokio::test]
async fn a_compressed_answer_is_refused() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx";
    let error = call(answer, |_| {}).await.unwrap_err();
    assert!(matches!(error, FetchError::Malformed { .. }));
    assert!(error.to_string().contains("compressed (gzip)"), "{error}");
}

#[tokio::test]
async fn what_is_no_page_or_no_http_is_malformed() {
    for answer in [ok("[]"), ok("<html>"), ok(""), "+PONG\r\n".to_owned()] {
        let error = call(&answer, |_| {}).await.unwrap_err();
        assert!(matches!(error, FetchError::Malformed { .. }), "{answer:?} gave {error}");
    }
}

#[tokio::test]
async fn a_page_that_tells_the_secret_back_is_not_quoted() {
    for limited in ["hunter2", r"\u0068unter2"] {
        let page = format!(r#"{{"updates":[],"upto_token":4,"limited":"{limited}"}}"#);
        let error = call(&ok(&page), |_| {}).await.unwrap_err();
        assert!(matches!(error, FetchError::Malformed { .. }), "{error}");
        assert!(error.to_string().ends_with("it holds our own secret)"), "{error}");
    }
}

#[tokio::test]
async fn a_body_cut_short_is_not_a_page() {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{PAGE}", PAGE.len() + 1);
    let error = call(&answer, |_| {}).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_the_whole_time() {
    let server = Server::start().await;
    let client = server.client(|limits| limits.fetch_timeout = Duration::from_millis(50));
    let serve = async {
        let mut stream = server.accept().await;
        request(&mut stream).await;
        stream
    };
    let (result, _stream) = tokio::join!(client.fetch(events()), serve);
    let expected = FetchError::TimedOut { endpoint: server.url.clone(), after_ms: 50 };
    assert_eq!(result, Err(expected));
}

#[tokio::test]
async fn nobody_listening_is_said_with_the_address() {
    let server = Server::start().await;
    let client = server.client(|_| {});
    let url = server.url.clone();
    drop(server);
    let FetchError::Unreachable { endpoint, message } = client.fetch(events()).await.unwrap_err()
    else {
        panic!()
    };
    assert_eq!(endpoint, url);
    assert!(message.to_lowercase().contains("refused"), "{message}");
}

#[tokio::test]
async fn an_instance_without_an_address_has_no_endpoint() {
    let server = Server::start().await;
    let client = server.client(|_| {});
    let wanted =
        FetchRequest::new(Source::new("events", "p2"), Span::new(Token::new(2), Token::new(4)));
    let expected = FetchError::NoEndpoint { instance: "p2".to_owned() };
    assert_eq!(client.fetch(wanted).await, Err(expected));
}

#[tokio::test]
async fn at_most_the_allowed_idle_connections_are_kept() {
    let server = Server::start().await;
    let client = server.client(|limits| limits.http_idle_max = 1);
    let serve = async {
        let (mut first, mut second) = (server.accept().await, server.accept().await);
        request(&mut first).await;
        request(&mut second).await;
        first.write_all(ok(PAGE).as_bytes()).await.unwrap();
        second.write_all(ok(PAGE).as_bytes()).await.unwrap();
        // The connection that is not kept is closed at once; the other stays open.
        let kept = tokio::select! {
            Err(_) = first.read_u8() => second,
            Err(_) = second.read_u8() => first,
        };
        kept.try_read(&mut [0]).map_err(|error| error.kind())
    };
    let calls = async { tokio::join!(client.fetch(events()), client.fetch(events())) };
    let (kept, (first, second)) = tokio::join!(serve, calls);
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(kept, Err(std::io::ErrorKind::WouldBlock));
}

#[test]
fn a_secret_that_no_header_can_carry_is_refused() {
    let secret = Secret::new("a\nb".to_owned());
    let made = HttpFetch::new(
        &SocketConnector,
        std::collections::BTreeMap::new(),
        Some(&secret),
        &Limits::default(),
        7,
    );
    assert!(matches!(made.err(), Some(crate::BuildError::Secret)));
}
