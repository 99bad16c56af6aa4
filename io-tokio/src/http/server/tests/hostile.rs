//! Tests that slow and hostile clients cost only themselves.

use std::{io, sync::Arc, time::Duration};

use synrepl_core::stream::Row;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{CATCH_UP, LIMIT, Running, Server, TestLog};
use crate::transport::Listener;

const SOON: Duration = Duration::from_millis(100);
const BATCH: &str = r#"{"stream":"s","rows":[["a"],["b"]]}"#;

/// Waits until the server closes the connection; returns what it sent until then.
async fn closed(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // A reset is a close as well.
    let _ = timeout(LIMIT, stream.read_to_end(&mut said)).await.expect("still open");
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let server = Running::open(&TestLog::default()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
    let mut sent = 0;
    // This fails once the server has closed.
    while stream.write_all(&[b'x'; 1_024]).await.is_ok() {
        sent += 1_024;
        assert!(sent < 64 << 20, "it takes everything");
    }
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test]
async fn a_head_that_is_too_long_is_told_so() {
    let server = Running::open(&TestLog::default()).await;
    for head in [
        format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(17 << 10)),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(17 << 10)),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(200)),
    ] {
        let mut stream = server.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let said = closed(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 431") || said.starts_with("HTTP/1.1 414"), "{said:?}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let server = Running::open(&TestLog::default()).await;
    for bytes in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..], b"PING 1\nNAME x\n\n"]
    {
        let mut stream = server.connect().await;
        stream.write_all(bytes).await.unwrap();
        assert!(closed(&mut stream).await.starts_with("HTTP/1.1 400"));
    }
}

/// Takes one connection, which is a pipe.
struct Pipe(Option<DuplexStream>);

impl Listener for Pipe {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, String)> {
        match self.0.take() {
            Some(stream) => Ok((stream, "a pipe".to_owned())),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_and_a_body_that_do_not_come_have_half_a_minute() {
    for (begun, answer) in [
        ("", ""),
        ("GET /health HTTP/1.1\r\nHost", ""),
        ("POST /rows HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{", "HTTP/1.1 408"),
    ] {
        let (mut client, stream) = duplex(1 << 10);
        let server = Server::new(Arc::new(TestLog::default()));
        let serving = tokio::spawn(server.run(Pipe(Some(stream)), std::future::pending()));
        client.write_all(begun.as_bytes()).await.unwrap();
        let start = Instant::now();
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 30, "{begun:?}");
        assert!(said.starts_with(answer), "{said}");
        serving.abort();
    }
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off() {
    let server =
        Running::start(&TestLog::default(), None, |limits| limits.head_timeout = SOON).await;
    let (mut reader, mut writer) = server.connect().await.into_split();
    let start = Instant::now();
    let drip = async {
        loop {
            // This fails once the server has closed.
            let _ = writer.write_all(b"G").await;
            // Time is what is tested here: bytes that arrive again and again must not keep the
            // connection.
            tokio::time::sleep(SOON / 10).await;
        }
    };
    let mut said = Vec::new();
    tokio::select! {
        ended = timeout(LIMIT, reader.read_to_end(&mut said)) => { let _ = ended.expect("open"); }
        () = drip => {}
    }
    assert!(start.elapsed() >= SOON);
}

#[tokio::test]
async fn a_body_that_drips_is_told_so() {
    let server =
        Running::start(&TestLog::default(), None, |limits| limits.body_timeout = SOON).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /rows HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        .await
        .unwrap();
    assert!(closed(&mut stream).await.starts_with("HTTP/1.1 408"));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let log = TestLog::default();
    let server = Running::start(&log, None, |limits| limits.body_bytes_max = BATCH.len()).await;
    assert_eq!(server.post("", BATCH).await.status, 200);
    let announced = "POST /rows HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n";
    let mut stream = server.connect().await;
    stream.write_all(announced.as_bytes()).await.unwrap();
    let said = closed(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 413") && said.contains("longer than 35 bytes"), "{said}");
    let chunked = "POST /rows HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut stream = server.connect().await;
    let chunk = format!("{chunked}24\r\n{BATCH} \r\n");
    stream.write_all(chunk.as_bytes()).await.unwrap();
    assert!(closed(&mut stream).await.starts_with("HTTP/1.1 413"));
    assert_eq!(log.0.streams.lock().unwrap()["s"].len(), 1);
}

#[tokio::test]
async fn bodies_together_have_a_limit_that_slow_ones_do_not_reserve() {
    let log = TestLog::default();
    let gate = log.hold();
    let room = BATCH.len() * 2;
    let server = Running::start(&log, None, |limits| limits.bodies_bytes_max = room).await;
    // A slow client that announces all of the room takes but a byte of it.
    let mut slow = server.connect().await;
    let head = format!("POST /rows HTTP/1.1\r\nHost: localhost\r\nContent-Length: {room}\r\n\r\n");
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut first = std::pin::pin!(server.post("", BATCH));
    while Arc::strong_count(&gate) < 3 {
        assert!(timeout(Duration::from_millis(1), &mut first).await.is_err());
    }
    let mut second = std::pin::pin!(server.post("", BATCH));
    while Arc::strong_count(&gate) < 4 {
        assert!(timeout(Duration::from_millis(1), &mut second).await.is_err());
    }
    let third = server.post("", BATCH).await;
    assert_eq!(third.status, 503);
    assert!(third.body.contains("try again"), "{third:?}");
    gate.notify_waiters();
    assert_eq!((first.await.status, second.await.status), (200, 200));
    gate.notify_one();
    assert_eq!(server.post("", BATCH).await.status, 200, "room is given back");
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let log = TestLog::default();
    let row = Row::from(&*format!("[\"{}\"]", "x".repeat(15_000)));
    log.append_now("s", vec![row; 4_000]).unwrap();
    let server = Running::start(&log, None, |limits| {
        limits.answer_timeout = SOON;
        limits.connections_max = 1;
    })
    .await;
    let mut stalled = server.connect().await;
    let path = format!("{CATCH_UP}/s/x?from_token=0&upto_token=1");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stalled.write_all(request.as_bytes()).await.unwrap();
    // There may be only one connection: this one is served once the other is closed.
    assert_eq!(timeout(LIMIT, server.get("/health")).await.unwrap().status, 200);
}

#[tokio::test]
async fn idle_connections_up_to_the_limit_cost_no_time() {
    let log = TestLog::default();
    log.fill("s", 100);
    let server = Running::start(&log, None, |limits| limits.connections_max = 301).await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(server.connect().await);
    }
    let path = format!("{CATCH_UP}/s/x?from_token=0&upto_token=100");
    assert_eq!(timeout(LIMIT, server.get(&path)).await.unwrap().status, 200);
    drop(idle);
}

#[tokio::test]
async fn above_the_limit_connections_wait_their_turn() {
    let server = Running::start(&TestLog::default(), None, |limits| {
        limits.connections_max = 2;
        limits.head_timeout = SOON;
    })
    .await;
    let (_one, _two) = (server.connect().await, server.connect().await);
    let start = Instant::now();
    assert_eq!(timeout(LIMIT, server.get("/health")).await.unwrap().status, 200);
    assert!(start.elapsed() >= SOON / 2, "idle ones were not waited for");
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_order() {
    let log = TestLog::default();
    log.fill("s", 3);
    let server = Running::open(&log).await;
    let mut stream = server.connect().await;
    let mut requests = String::new();
    for upto in 1..=3 {
        let close = if upto == 3 { "Connection: close\r\n" } else { "" };
        requests += &format!(
            "GET {CATCH_UP}/s/x?from_token=0&upto_token={upto} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n"
        );
    }
    stream.write_all(requests.as_bytes()).await.unwrap();
    let all = closed(&mut stream).await;
    let places: Vec<usize> =
        (1..=3).map(|upto| all.find(&format!("\"upto_token\":{upto}")).unwrap()).collect();
    assert!(places.is_sorted(), "{all}");
}
