//! The whole driver against a real redis-server and an HTTP writer.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests say what they expect"
)]

use std::{
    fs,
    net::TcpListener as StdListener,
    path::PathBuf,
    process::{Child, Command as Process, Stdio},
    time::Duration,
};

use synrepl::{
    Builder, Command, Event, Positions, Replication, Token,
    core::{
        Origin,
        wire::{Frame, RespDecoder, RespLimits, encode_command},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    time::{sleep, timeout},
};

/// A redis-server of this test alone, ended with it.
struct Redis {
    port: u16,
    directory: PathBuf,
    child: Child,
}

impl Redis {
    async fn start(name: &str, options: &[&str]) -> Self {
        let free = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let directory = std::env::temp_dir().join(format!("synrepl-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let child = spawn(free.port(), &directory, options);
        let mut redis = Self { port: free.port(), directory, child };
        redis.until_up().await;
        redis
    }

    async fn restart(&mut self) {
        self.stop();
        self.child = spawn(self.port, &self.directory, &[]);
        self.until_up().await;
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    async fn until_up(&mut self) {
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return;
            }
            assert_eq!(self.child.try_wait().unwrap(), None, "redis-server ended at once");
            sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server did not listen on port {} within 5 s", self.port);
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("redis.sock")
    }

    async fn publisher(&self) -> Publisher {
        Publisher {
            stream: TcpStream::connect(("127.0.0.1", self.port)).await.unwrap(),
            decoder: RespDecoder::new(RespLimits::default()),
            input: bytes::BytesMut::new(),
        }
    }
}

fn spawn(port: u16, directory: &PathBuf, options: &[&str]) -> Child {
    Process::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--port", &port.to_string()])
        .arg("--dir")
        .arg(directory)
        .arg("--unixsocket")
        .arg(directory.join("redis.sock"))
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("this test needs `redis-server` (Debian: apt install redis-server): {error}")
        })
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Another instance of the deployment.
struct Publisher {
    stream: TcpStream,
    decoder: RespDecoder,
    input: bytes::BytesMut,
}

impl Publisher {
    /// Publishes and returns how many heard it.
    async fn publish(&mut self, text: &str) -> i64 {
        let mut output = bytes::BytesMut::new();
        encode_command(&[b"PUBLISH", b"example.com", text.as_bytes()], &mut output);
        self.stream.write_all(&output).await.unwrap();
        match self.reply().await {
            Frame::Integer(count) => count,
            other => panic!("{other:?}"),
        }
    }

    async fn subscribe(&mut self) {
        let mut output = bytes::BytesMut::new();
        encode_command(&[b"SUBSCRIBE", b"example.com"], &mut output);
        self.stream.write_all(&output).await.unwrap();
        self.reply().await;
    }

    async fn hear(&mut self, expected: &str) {
        loop {
            if let Frame::Message { payload, .. } = self.reply().await
                && payload == expected
            {
                return;
            }
        }
    }

    async fn reply(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.input).unwrap() {
                return frame;
            }
            assert_ne!(self.stream.read_buf(&mut self.input).await.unwrap(), 0, "Redis is gone");
        }
    }
}

async fn next(replication: &mut Replication) -> Event {
    timeout(Duration::from_secs(20), replication.next())
        .await
        .expect("no event for 20 s")
        .expect("the driver stopped")
}

async fn until<T>(replication: &mut Replication, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    loop {
        if let Some(found) = wanted(next(replication).await) {
            return found;
        }
    }
}

async fn connected(replication: &mut Replication) -> synrepl::core::ConnectionId {
    until(replication, |event| match event {
        Event::Connected { conn } => Some(conn),
        _ => None,
    })
    .await
}

async fn disconnected(replication: &mut Replication) -> String {
    until(replication, |event| match event {
        Event::Disconnected { reason, .. } => Some(reason),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_restart_of_redis_is_a_disconnect_and_a_new_connection() {
    let mut redis = Redis::start("restart", &[]).await;
    let mut replication = Builder::redis(&redis.url(), "example.com").unwrap().spawn().unwrap();
    let first = connected(&mut replication).await;
    redis.stop();
    let reason = disconnected(&mut replication).await;
    assert!(reason.contains("closed") || reason.contains("broke"), "{reason}");
    let reason = disconnected(&mut replication).await;
    assert!(reason.starts_with(&format!("Redis at 127.0.0.1:{}: cannot", redis.port)), "{reason}");
    redis.restart().await;
    assert!(connected(&mut replication).await > first);
    let mut publisher = redis.publisher().await;
    assert_eq!(publisher.publish("REMOTE_SERVER_UP remote").await, 1);
    let heard = until(&mut replication, |event| match event {
        Event::Command { command: Command::RemoteServerUp(server) } => Some(server),
        _ => None,
    })
    .await;
    assert_eq!(heard, "remote");
}

#[tokio::test]
async fn a_wrong_password_is_said_and_the_right_one_lets_in() {
    let redis = Redis::start("password", &["--requirepass", "s3cret"]).await;
    for (login, expected) in
        [("", "NOAUTH"), (":hunter2@", "WRONGPASS"), ("nobody:s3cret@", "WRONGPASS")]
    {
        let url = format!("redis://{login}127.0.0.1:{}", redis.port);
        let mut replication = Builder::redis(&url, "example.com").unwrap().spawn().unwrap();
        let reason = disconnected(&mut replication).await;
        assert!(reason.contains(expected), "{reason}");
        assert!(!reason.contains("hunter2") && !reason.contains("s3cret"), "{reason}");
    }
    for login in [":s3cret@", "default:s3cret@"] {
        let url = format!("redis://{login}127.0.0.1:{}", redis.port);
        let mut replication = Builder::redis(&url, "example.com").unwrap().spawn().unwrap();
        connected(&mut replication).await;
    }
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let redis = Redis::start("unix", &[]).await;
    for _ in 0..500 {
        if UnixStream::connect(redis.socket()).await.is_ok() {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    let url = format!("unix://{}", redis.socket().display());
    let mut replication = Builder::redis(&url, "example.com").unwrap().spawn().unwrap();
    connected(&mut replication).await;
}

#[tokio::test]
async fn a_subscriber_that_redis_cuts_off_is_told_where_to_look() {
    let redis = Redis::start("cut", &["--client-output-buffer-limit", "pubsub 64kb 32kb 1"]).await;
    let mut replication = Builder::redis(&redis.url(), "example.com")
        .unwrap()
        .limits(|limits| limits.events_queued_max = 1)
        .spawn()
        .unwrap();
    connected(&mut replication).await;
    let mut publisher = redis.publisher().await;
    // The application reads nothing, so neither does the driver, until Redis cuts it off.
    let big = format!("REMOTE_SERVER_UP {}", "x".repeat(100_000));
    for sent in 0.. {
        assert!(sent < 10_000, "Redis never cut the subscriber off");
        if publisher.publish(&big).await == 0 {
            break;
        }
    }
    let reason = disconnected(&mut replication).await;
    assert!(reason.contains("client-output-buffer-limit") || reason.contains("broke"), "{reason}");
}

/// A writer's replication listener: answers each request with the rows in its window.
async fn serve(listener: TcpListener, rows: Vec<i64>, page_rows: usize) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let rows = rows.clone();
        tokio::spawn(async move {
            let mut head = Vec::new();
            while let Ok(byte) = stream.read_u8().await {
                head.push(byte);
                if !head.ends_with(b"\r\n\r\n") {
                    continue;
                }
                let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
                let (status, body) = answer(&text, &rows, page_rows);
                let answer =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
    }
}

fn answer(head: &str, rows: &[i64], page_rows: usize) -> (u16, String) {
    if !head.contains("\r\nauthorization: Bearer s3cret\r\n") {
        return (500, r#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#.to_owned());
    }
    let number = |name: &str| -> i64 {
        let value = head.split_once(name).unwrap().1;
        value.split(['&', ' ']).next().unwrap().parse().unwrap()
    };
    let (from, upto) = (number("from_token="), number("upto_token="));
    let all: Vec<i64> = rows.iter().copied().filter(|row| from < *row && *row <= upto).collect();
    let page = &all[..all.len().min(page_rows)];
    let limited = page.len() < all.len();
    let end = if limited { page[page.len() - 1] } else { upto };
    let updates: Vec<String> = page.iter().map(|row| format!("[{row},[\"r{row}\"]]")).collect();
    let updates = updates.join(",");
    (200, format!(r#"{{"updates":[{updates}],"upto_token":{end},"limited":{limited}}}"#))
}

#[tokio::test]
async fn rows_come_once_and_in_order_through_redis_and_http() {
    let redis = Redis::start("end-to-end", &[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // The writer's log. None of it is heard live; its pages are shorter than what is asked for.
    tokio::spawn(serve(listener, (1..=60).collect(), 7));
    let mut saved = Positions::new();
    saved.set("events", "p1", Token::new(20));
    let build = |secret: &str| {
        Builder::redis(&redis.url(), "example.com")
            .unwrap()
            .instance("follower")
            .secret(synrepl::Secret::new(secret.to_owned()))
            .fetch_from("p1", &url)
            .unwrap()
            .positions(saved.clone())
    };

    let mut publisher = redis.publisher().await;
    let mut listening = redis.publisher().await;
    listening.subscribe().await;
    let mut replication = build("s3cret").spawn().unwrap();
    listening.hear("REPLICATE ").await;
    publisher.publish("POSITION events p1 40 40").await;
    publisher.publish("POSITION events p1 60 60").await;
    publisher.publish("RDATA events p1 batch [\"a\"]").await;
    publisher.publish("RDATA events p1 61 [\"b\"]").await;

    let mut tokens = Vec::new();
    while tokens.last() != Some(&61) {
        if let Event::Rows { token, rows, origin, .. } = next(&mut replication).await {
            if token.get() <= 60 {
                assert_eq!(origin, Origin::CatchUp, "{token}");
                assert_eq!(rows[0].as_str(), format!("[\"r{token}\"]"));
            } else {
                assert_eq!((origin, rows.len()), (Origin::Live, 2));
            }
            tokens.push(token.get());
        }
    }
    assert_eq!(tokens, (21..=61).collect::<Vec<_>>());
    let handle = replication.handle();
    let reached = handle.wait_for("events", "p1", Token::new(61), Duration::from_secs(9)).await;
    assert_eq!(reached, Ok(Token::new(61)));
    assert_eq!(replication.shutdown().await.get("events", "p1"), Some(Token::new(61)));

    let mut replication = build("wrong").spawn().unwrap();
    listening.hear("REPLICATE ").await;
    publisher.publish("POSITION events p1 40 40").await;
    let failure = until(&mut replication, |event| match event {
        Event::Warning(synrepl::core::Warning::FetchFailed { error, .. }) => Some(error),
        _ => None,
    })
    .await;
    assert!(failure.to_string().contains("the replication secret may be wrong"), "{failure}");
}
