//! Tests of the server over real sockets on loopback.

mod hostile;
mod reference;
mod rows;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use synrepl_core::{
    ByteString,
    stream::{FetchError, LogError, Page, Row, Source, Span, Token},
    wire::Secret,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{Server, ServerLimits};
use crate::{
    fetch::{FetchRequest, FetchSource as _},
    http::{Endpoint, HttpFetch},
    limits::Limits,
    log::{AppendError, AppendFuture, LogEnds, LogStore, ReadFuture},
    transport::SocketConnector,
};

/// The longest time that anything may take here; only a failure waits for it.
const LIMIT: Duration = Duration::from_secs(30);
const SECRET: &str = "hunter2";
const CATCH_UP: &str = "/_synapse/replication/get_repl_stream_updates";

/// Logs in memory that can be made to fail or to wait.
#[derive(Clone, Default)]
struct TestLog(Arc<State>);

#[derive(Default)]
struct State {
    streams: Mutex<BTreeMap<String, Vec<Vec<Row>>>>,
    failure: Mutex<Option<&'static str>>,
    /// The gate that appends wait for, if there is one.
    gate: Mutex<Option<Arc<Notify>>>,
}

impl TestLog {
    /// Replaces the stream's log by `count` batches of one row each.
    fn fill(&self, stream: &str, count: usize) {
        let batches = (1..=count).map(|token| vec![Row::from(&*format!("[\"r{token}\"]"))]);
        self.0.streams.lock().unwrap().insert(stream.to_owned(), batches.collect());
    }

    fn fail(&self, message: &'static str) {
        *self.0.failure.lock().unwrap() = Some(message);
    }

    fn hold(&self) -> Arc<Notify> {
        let gate = Arc::new(Notify::new());
        *self.0.gate.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    fn append_now(&self, stream: &str, rows: Vec<Row>) -> Result<Token, AppendError> {
        let failure = self.0.failure.lock().ok().and_then(|failure| *failure);
        if let Some(message) = failure {
            return Err(AppendError::Store { message: message.to_owned() });
        }
        if rows.is_empty() {
            return Err(AppendError::Empty);
        }
        Ok(self.push(stream, rows))
    }

    fn push(&self, stream: &str, rows: Vec<Row>) -> Token {
        let mut streams = self.0.streams.lock().unwrap();
        let log = streams.entry(stream.to_owned()).or_default();
        log.push(rows);
        Token::new(i64::try_from(log.len()).unwrap())
    }

    fn page(&self, stream: &str, from: Token, upto: Token, rows_max: u32) -> Page {
        let streams = self.0.streams.lock().unwrap();
        let log = streams.get(stream).map_or(&[][..], Vec::as_slice);
        let end = Token::new(i64::try_from(log.len()).unwrap());
        let mut page = Page { updates: Vec::new(), upto: upto.min(end), limited: false };
        for (token, rows) in (1..).map(Token::new).zip(log) {
            if token <= from || token > upto {
                continue;
            }
            if page.updates.len() >= usize::try_from(rows_max).unwrap() {
                page.limited = true;
                page.upto = page.updates.last().unwrap().0;
                break;
            }
            page.updates.extend(rows.iter().map(|row| (token, row.clone())));
        }
        page
    }
}

impl LogStore for TestLog {
    fn streams(&self) -> BTreeMap<String, Token> {
        let streams = self.0.streams.lock().unwrap();
        let end = |log: &Vec<_>| Token::new(i64::try_from(log.len()).unwrap());
        streams.iter().map(|(name, log)| (name.clone(), end(log))).collect()
    }

    fn attach(&self, _ends: LogEnds) {}

    fn append(&self, stream: ByteString, rows: Vec<Row>) -> AppendFuture {
        let gate = self.0.gate.lock().unwrap().clone();
        let log = self.clone();
        Box::pin(async move {
            if let Some(gate) = gate {
                gate.notified().await;
            }
            log.append_now(&stream, rows)
        })
    }

    fn read(&self, stream: ByteString, span: Span, rows_max: u32) -> ReadFuture {
        let Span { from, upto } = span;
        let failure = *self.0.failure.lock().unwrap();
        let result = match failure {
            None => Ok(self.page(&stream, from, upto, rows_max)),
            Some(message) => {
                Err(LogError { stream: stream.to_string(), message: message.to_owned() })
            }
        };
        Box::pin(std::future::ready(result))
    }
}

/// A running server.
struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    async fn open(log: &TestLog) -> Self {
        Self::start(log, None, |_| {}).await
    }

    async fn start(
        log: &TestLog,
        secret: Option<&str>,
        change: impl FnOnce(&mut ServerLimits),
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = Server::new(Arc::new(log.clone())).limits(change);
        if let Some(secret) = secret {
            server = server.secret(Secret::new(secret.to_owned()));
        }
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(listener, async {
            // The sender is dropped with the test.
            let _ = stopped.await;
        }));
        Self { address, stop: Some(stop), task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Returns the whole response to a request on a connection of its own.
    async fn ask(&self, request: &str) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        Answer::read_to_end(&mut stream).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
            .await
    }

    async fn post(&self, headers: &str, body: &str) -> Answer {
        let length = body.len();
        self.ask(&format!(
            "POST /rows HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\
             {headers}\r\n{body}"
        ))
        .await
    }

    fn client(&self, secret: &str) -> HttpFetch<SocketConnector> {
        let endpoint = Endpoint::parse(&format!("http://{}", self.address)).unwrap();
        let secret = Secret::new(secret.to_owned());
        let endpoints = [("w".to_owned(), endpoint)].into();
        HttpFetch::new(&SocketConnector, endpoints, Some(&secret), &Limits::default(), 7).unwrap()
    }
}

/// A response as it was received.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    async fn read_to_end(stream: &mut TcpStream) -> Self {
        let mut whole = Vec::new();
        timeout(LIMIT, stream.read_to_end(&mut whole)).await.unwrap().unwrap();
        let whole = String::from_utf8(whole).unwrap();
        let (head, body) = whole.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{whole:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn said(&self) -> (u16, &str) {
        (self.status, &self.body)
    }
}

fn wanted(stream: &str, from: i64, upto: i64) -> FetchRequest {
    let span = Span::new(Token::new(from), Token::new(upto));
    FetchRequest::new(Source::new(stream, "w"), span)
}

#[tokio::test]
async fn our_client_fetches_page_after_page_until_it_has_all() {
    let log = TestLog::default();
    log.fill("a/b ☃", 250);
    let server = Running::start(&log, Some(SECRET), |_| {}).await;
    let client = server.client(SECRET);
    let (mut from, mut pages, mut rows) = (0, Vec::new(), Vec::new());
    loop {
        let page = client.fetch(wanted("a/b ☃", from, 250)).await.unwrap();
        pages.push(page.updates.len());
        from = page.upto.get();
        rows.extend(page.updates.into_iter().map(|(_, row)| row.as_str().to_owned()));
        if !page.limited {
            break;
        }
    }
    assert_eq!(pages, [100, 100, 50]);
    assert_eq!(from, 250);
    let expected: Vec<String> = (1..=250).map(|token| format!("[\"r{token}\"]")).collect();
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn an_answer_never_reaches_above_the_end_of_the_log() {
    let log = TestLog::default();
    log.fill("s", 3);
    let server = Running::open(&log).await;
    let page = server.client(SECRET).fetch(wanted("s", 1, 1_000)).await.unwrap();
    assert_eq!((page.updates.len(), page.upto, page.limited), (2, Token::new(3), false));
}

#[tokio::test]
async fn our_client_is_told_of_a_wrong_secret() {
    let server = Running::start(&TestLog::default(), Some(SECRET), |_| {}).await;
    let error = server.client("hunter3").fetch(wanted("events", 0, 1)).await.unwrap_err();
    let FetchError::Status { status: 500, message, .. } = error else { panic!("{error:?}") };
    assert!(message.contains("the replication secret may be wrong"), "{message}");
}

#[tokio::test]
async fn one_connection_serves_many_calls() {
    let log = TestLog::default();
    log.fill("s", 1);
    let server = Running::start(&log, None, |limits| limits.connections_max = 1).await;
    let client = server.client(SECRET);
    for _ in 0..20 {
        let fetch = client.fetch(wanted("s", 0, 1));
        timeout(LIMIT, fetch).await.expect("a second connection was needed").unwrap();
    }
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_closes_the_rest() {
    let log = TestLog::default();
    let gate = log.hold();
    let mut server = Running::open(&log).await;
    let mut idle = server.connect().await;
    let mut busy = server.connect().await;
    let body = r#"{"stream":"s","rows":[[1]]}"#;
    let request = format!(
        "POST /rows HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    busy.write_all(request.as_bytes()).await.unwrap();
    // The append waits at the gate once it holds the gate, besides the log and this test.
    while Arc::strong_count(&gate) < 3 {
        tokio::task::yield_now().await;
    }
    server.stop.take().unwrap().send(()).unwrap();
    let mut rest = Vec::new();
    assert_eq!(timeout(LIMIT, idle.read_to_end(&mut rest)).await.unwrap().unwrap(), 0);
    gate.notify_one();
    let answer = Answer::read_to_end(&mut busy).await;
    assert_eq!(answer.said(), (200, r#"{"stream":"s","token":1}"#));
    timeout(LIMIT, server.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let log = TestLog::default();
    let _never_opened = log.hold();
    let mut server =
        Running::start(&log, None, |limits| limits.stop_timeout = Duration::from_millis(50)).await;
    let mut busy = server.connect().await;
    busy.write_all(b"POST /rows HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        .await
        .unwrap();
    server.stop.take().unwrap().send(()).unwrap();
    timeout(LIMIT, server.task).await.unwrap().unwrap();
}
