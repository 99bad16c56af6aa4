//! `synrepl serve` against hostile clients that send bytes of every kind to its ports: it lives,
//! its memory stays within a bound, clients that behave get every row in time, and the others get
//! an error that names the fault.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails, also outside its own function")]
#![allow(clippy::print_stdout, reason = "what was measured is to be seen")]

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Deserialize;
use serde_json::json;
use synrepl_tests::{
    Source,
    clock::{Deadline, Stopwatch},
    follow::{Follower, Line},
    serve::Writer,
};
use tempfile::TempDir;

const SERVER: &str = "example.com";
const SECRET: &str = "the-right-secret";
const WRONG: &str = "syt_a_wrong_secret";
const OVER_64_BITS: &str =
    "failed to parse line: bad field at byte 17: expected an integer within 64 bits";
/// The longest time of a start.
const START: Duration = Duration::from_secs(15);
/// The longest time until a row has reached a client that behaves. It is for debug builds on a busy
/// machine; alone a row takes milliseconds.
const IN_TIME: Duration = Duration::from_secs(5);
/// The longest time that a hostile client waits for the end of its connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most memory that the process may ever have. It begins with 16 MB in a debug build; 500
/// connections and the largest bodies here take 3 MB more.
const MEMORY_MAX: u64 = 40 << 20;

/// `synrepl serve` with one follower that behaves.
struct Stage {
    writer: Writer,
    follower: Follower,
    addresses: Addresses,
    last: i64,
    _dir: TempDir,
}

#[derive(Deserialize)]
struct Addresses {
    /// The addresses for the newest dialect and for the oldest.
    tcp: [SocketAddr; 2],
    http: SocketAddr,
}

impl Stage {
    fn set() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (secret, addresses, log) = (path("secret"), path("addresses"), path("log"));
        fs::write(&secret, SECRET).unwrap();
        let mut flags = vec!["--log", &log, "--server-name", SERVER, "--http", "127.0.0.1:0"];
        flags.extend(["--tcp", "127.0.0.1:0", "--tcp", "127.0.0.1:0?dialect=1.12"]);
        flags.extend(["--secret-file", &secret, "--addresses-file", &addresses, "--access-log"]);
        let writer = Writer::launch(dir.path(), "serve", &flags).unwrap();
        writer.stderr().wait_for_line(&["listening"], 0, START).unwrap();
        let addresses: Addresses =
            serde_json::from_str(&fs::read_to_string(&addresses).unwrap()).unwrap();
        let tcp = addresses.tcp[0].to_string();
        let instance = format!("synrepl=http://{}", addresses.http);
        let mut flags = vec!["--tcp", &tcp, "--server-name", SERVER, "--instance", &instance];
        flags.extend(["--secret-file", &secret, "--stream", "events", "--start", "beginning"]);
        flags.extend(["--name", "follower1"]);
        let flags: Vec<String> = flags.into_iter().map(str::to_owned).collect();
        let follower = Follower::launch(dir.path(), "follow", "positions.json", &flags).unwrap();
        let mut stage = Self { writer, follower, addresses, last: 0, _dir: dir };
        stage.append();
        stage.wait_for_last(START);
        stage
    }

    fn append(&mut self) {
        let row = json!(["row", self.last]);
        self.last = self.writer.append("events", &[row]).unwrap();
    }

    fn wait_for_last(&self, time: Duration) {
        let wanted = BTreeMap::from([(Source::new("events", "synrepl"), self.last)]);
        self.follower.wait_for_positions(&wanted, time).unwrap();
    }

    /// Checks that rows still reach clients that behave, live and over HTTP, and that the memory is
    /// within its bound.
    fn check(&mut self, after: &str) {
        self.check_within(after, MEMORY_MAX);
    }

    fn check_within(&mut self, after: &str, memory_max: u64) {
        let time = Stopwatch::start();
        for _ in 0..3 {
            self.append();
            self.wait_for_last(IN_TIME);
        }
        let page = self.get(&page_path("0", &self.last.to_string()), SECRET);
        assert!(page.starts_with("HTTP/1.1 200"), "after {after}: {page}");
        assert!(page.contains(&format!("\"upto_token\":{}", self.last)), "after {after}: {page}");
        assert!(time.elapsed() < IN_TIME, "after {after}: {:?}", time.elapsed());
        let memory = self.writer.peak_memory().unwrap();
        assert!(memory < memory_max, "after {after}: {memory} bytes");
    }

    /// Checks at the end that every row came once, in order, and that no secret was printed.
    fn end(mut self) {
        self.check("everything");
        let said = self.writer.stderr().text();
        for secret in [SECRET, WRONG, "syt_"] {
            assert!(!said.contains(secret), "{secret} was said:\n{said}");
        }
        assert!(!said.contains("panicked"), "{said}");
        let mut tokens = Vec::new();
        self.follower
            .wait_until("its lines", IN_TIME, |lines| {
                tokens = lines.iter().filter_map(rows_token).collect();
                true
            })
            .unwrap();
        assert_eq!(tokens, (1..=self.last).collect::<Vec<_>>(), "each row once, in order");
    }

    fn newest(&self) -> Client {
        Client::connect(self.addresses.tcp[0])
    }

    fn oldest(&self) -> Client {
        Client::connect(self.addresses.tcp[1])
    }

    /// Sends these bytes of HTTP, and returns what is answered until the connection is closed.
    fn http(&self, bytes: &[u8]) -> String {
        let mut client = Client::connect(self.addresses.http);
        client.say(bytes);
        client.hear_all()
    }

    fn get(&self, path: &str, secret: &str) -> String {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n\
             Connection: close\r\n\r\n"
        );
        self.http(request.as_bytes())
    }

    fn post(&self, secret: &str, headers: &str, body: &[u8]) -> String {
        let length = body.len();
        let mut request = format!(
            "POST /rows HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n\
             Connection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.http(&request)
    }
}

fn rows_token(line: &Line) -> Option<i64> {
    if let Line::Rows { token, .. } = line { Some(*token) } else { None }
}

fn page_path(from: &str, upto: &str) -> String {
    format!(
        "/_synapse/replication/get_repl_stream_updates/events/a?from_token={from}&upto_token={upto}"
    )
}

/// A plain connection.
struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Sends these bytes; returns whether the other side still takes them.
    fn say(&mut self, bytes: &[u8]) -> bool {
        match self.0.write_all(bytes) {
            Ok(()) => true,
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "nothing is taken, nor refused");
                false
            }
        }
    }

    /// Reads until these words have come; returns all that was read.
    fn hear(&mut self, words: &str) -> String {
        let (mut said, mut buffer) = (Vec::new(), [0; 4_096]);
        let deadline = Deadline::after(PATIENCE);
        while deadline.left().is_some() {
            let count = self.0.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "closed before {words:?}: {}", String::from_utf8_lossy(&said));
            said.extend_from_slice(&buffer[..count]);
            if String::from_utf8_lossy(&said).contains(words) {
                return String::from_utf8(said).unwrap();
            }
        }
        panic!("never said {words:?}: {}", String::from_utf8_lossy(&said));
    }

    /// Reads until the other side closes; returns all that was read.
    fn hear_all(&mut self) -> String {
        let mut said = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut said) {
            // A reset is a close as well.
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "still open after {PATIENCE:?}");
        }
        String::from_utf8(said).unwrap()
    }
}

/// Checks that the last line is an `ERROR` with this text.
#[track_caller]
fn assert_ended_with(said: &str, error: &str) {
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with(&format!("ERROR {error}")), "{said:?}");
}

#[test]
fn lines_of_any_bytes_cost_their_own_connection_and_are_told_why() {
    let mut stage = Stage::set();
    for (line, error) in [
        (&b"\x00\x01\x02\xff\xfe\n"[..], "failed to parse line: not UTF-8 at byte 3: "),
        (b"\xff\n", "failed to parse line: not UTF-8 at byte 0: "),
        (b"PING \xc3\x28\n", "failed to parse line: not UTF-8 at byte 5: "),
        (b"NAME\x00x\n", "failed to parse line: unknown command at byte 0: "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", "failed to parse line: not UTF-8"),
        (b"GET / HTTP/1.1\r\n\r\n", "failed to parse line: unknown command at byte 0: "),
        (b"RDATA events synrepl 7 [1]\n", "invalid command: RDATA"),
        (b"RDATA events synrepl batch [1]\n", "invalid command: RDATA"),
        (b"RDATA events synrepl 7 [\n", "failed to parse line: bad JSON at byte 24: "),
        (b"POSITION events synrepl 7 9\n", "invalid command: POSITION"),
        (b"SERVER example.com\n", "invalid command: SERVER"),
        (b"USER_IP syt_a_wrong_secret\n", "failed to parse line: bad field at byte 26: "),
        (b"FEDERATION_ACK a 9223372036854775808\n", OVER_64_BITS),
    ] {
        let mut client = stage.newest();
        client.hear("PING ");
        client.say(line);
        let said = client.hear_all();
        assert_ended_with(&said, error);
        assert!(!said.contains("syt_"), "{said}");
    }
    stage.check("lines of any bytes");
    for token in ["9223372036854775808", "1208925819614629174706176", "-9223372036854775809"] {
        let mut client = stage.oldest();
        client.say(format!("REPLICATE events {token}\n").as_bytes());
        assert_ended_with(&client.hear_all(), OVER_64_BITS);
        let page = stage.get(&page_path(token, token), SECRET);
        let expected = if token.starts_with('-') { "400" } else { "200" };
        assert!(page.starts_with(&format!("HTTP/1.1 {expected}")), "{page}");
    }
    for (line, error) in [
        ("REPLICATE nobody 1\n", "failed to handle replicate: unknown stream \"nobody\""),
        ("REPLICATE ALL 5\n", "failed to handle replicate: ALL goes with NOW"),
        ("REPLICATE\n", "invalid command: REPLICATE"),
        ("XYZZY 1\n", "invalid command: XYZZY"),
    ] {
        let mut client = stage.oldest();
        client.say(line.as_bytes());
        assert_ended_with(&client.hear_all(), error);
    }
    // The lowest token of 64 bits is no fault.
    let mut client = stage.oldest();
    client.say(b"REPLICATE events -9223372036854775808\n");
    client.hear("POSITION events ");
    stage.end();
}

#[test]
fn lines_that_do_not_end_cost_a_buffer_at_most() {
    let mut stage = Stage::set();
    let mut client = stage.newest();
    client.hear("PING ");
    client.say(&[b'x'; 20_000]);
    assert_ended_with(&client.hear_all(), "Line length exceeded");
    // The client sends an endless line, and reads no answer.
    let mut client = stage.newest();
    let time = Stopwatch::start();
    while client.say(&[b'x'; 64 << 10]) {
        assert!(time.elapsed() < PATIENCE, "it takes everything");
    }
    stage.check("an endless line");
    let mut drips: Vec<Client> = (0..20).map(|_| stage.newest()).collect();
    for byte in b"REPLICATE" {
        drips.iter_mut().for_each(|client| assert!(client.say(&[*byte])));
        stage.append();
    }
    stage.wait_for_last(IN_TIME);
    for client in &mut drips {
        client.say(b"\n");
        client.hear("POSITION events synrepl ");
    }
    for half in ["REPLI", "PING 1", "NAME \u{e9}", ""] {
        for _ in 0..25 {
            let mut client = stage.newest();
            client.say(half.as_bytes());
            client.0.shutdown(Shutdown::Write).unwrap();
            client.hear_all();
        }
    }
    stage.check("half lines");
    // The client sends many commands, all of them right, and reads none of the answers.
    let mut client = stage.newest();
    let (mut sent, asked) = (0, b"REPLICATE\n".repeat(6_553));
    while sent < 2 << 20 && client.say(&asked) {
        sent += asked.len();
    }
    stage.check("a flood of questions");
    stage.end();
}

#[test]
fn five_hundred_connections_that_say_nothing_delay_nobody() {
    let mut stage = Stage::set();
    let silent: Vec<Client> =
        (0..500).map(|nth| if nth % 2 == 0 { stage.newest() } else { stage.oldest() }).collect();
    stage.check("500 silent connections");
    drop(silent);
    stage.check("500 connections that went away");
    stage.end();
}

#[test]
fn as_many_half_open_connections_as_are_let_in_cost_their_own_place() {
    // The limit is raised before the writer starts, which inherits it.
    let sockets = sockets_allowed();
    let mut stage = Stage::set();
    let before = stage.writer.peak_memory().unwrap();
    let mut half_open: Vec<Client> = Vec::new();
    for nth in 0..sockets {
        let (address, half): (_, &[u8]) = match nth % 4 {
            0 => (stage.addresses.tcp[0], b"REPLI"),
            1 => (stage.addresses.tcp[1], b"NAME \xc3"),
            // Above its limit the endpoint accepts no connection, nor one of this test, until a
            // head is late.
            2 if nth < 800 => (stage.addresses.http, b"GET /health HT"),
            _ => (stage.addresses.tcp[0], b""),
        };
        // With 1,000 peers and 64 that are being refused, no more are accepted: the others wait in
        // the system's queues, and a client that finds these full gets no answer at all.
        let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(2)) else {
            break;
        };
        // Some connections are above the limit, and refused already.
        let _ = (&stream).write(half);
        half_open.push(Client(stream));
    }
    stage.check("half-open connections");
    let peak = stage.writer.peak_memory().unwrap();
    let held = stage.writer.open_files().unwrap();
    println!(
        "{} half-open connections, {held} of them held: {} KiB, then {} KiB",
        half_open.len(),
        before >> 10,
        peak >> 10
    );
    if sockets >= 2_000 {
        // All places are held, and no more. The clients' heads may be late by now, and their
        // connections closed.
        assert!((1_064..1_500).contains(&held), "1,000 peers and 64, 200 clients, and a few files");
        let said = stage.writer.stderr().text();
        assert!(said.contains("as many connections as are allowed"), "{said}");
    }
    drop(half_open);
    stage.end();
}

/// The number of sockets that this process may open for a test that wants many, with the limit
/// raised as far as it goes.
fn sockets_allowed() -> u64 {
    let now = getrlimit(Resource::Nofile);
    // If the limit cannot be raised, the present one holds.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // Other tests of this file need sockets, too.
    allowed.saturating_sub(1_000).clamp(100, 20_000)
}

#[test]
fn requests_of_any_kind_cost_their_own_client_and_are_told_why() {
    let mut stage = Stage::set();
    let chunked = "POST /rows HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer the-right-secret\r\n\
                   Transfer-Encoding: chunked\r\n\r\n";
    for (request, status) in [
        (b"\x00\xff\xfe\r\n\r\n".to_vec(), "400"),
        (b"PING 1\nNAME x\n\n".to_vec(), "400"),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000)).into_bytes(), "4"),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200)).into_bytes(), "431"),
        (format!("{chunked}fffffffffffffffff\r\n").into_bytes(), "400"),
        (format!("{chunked}zz\r\n").into_bytes(), "400"),
    ] {
        let said = stage.http(&request);
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {said}");
    }
    stage.check("what is hardly HTTP");
    for (path, status) in [
        (page_path("%00", "1"), "400"),
        (page_path("1e3", "1"), "400"),
        (page_path("%FF", "1"), "400"),
        (page_path("9223372036854775807", "0"), "200"),
        (page_path("0", "1208925819614629174706176"), "200"),
        ("/rows".to_owned(), "405"),
        ("/..%2f..%2fetc/passwd".to_owned(), "404"),
    ] {
        let said = stage.get(&path, SECRET);
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {said}");
    }
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\x56\x2a\x2e";
    let said = stage.post(SECRET, "Content-Encoding: gzip\r\n", gzip);
    assert!(said.starts_with("HTTP/1.1 400"), "{said}");
    assert!(said.contains("not UTF-8 at byte 1"), "{said}");
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let body = |row: &str| format!(r#"{{"stream":"deep","rows":[{row}]}}"#).into_bytes();
    let said = stage.post(SECRET, "", &body(&nested(1_000_000)));
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("2000000 bytes"), "{said}");
    let said = stage.post(SECRET, "", &body(&nested(7_000)));
    assert!(said.starts_with("HTTP/1.1 200"), "a row like any other: {said}");
    let said = stage.post(SECRET, "", "[".repeat(1_000_000).as_bytes());
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("not of the form"), "{said}");
    stage.check("bodies of any kind");
    let said = stage.post(WRONG, "", &body("[1]"));
    assert!(said.starts_with("HTTP/1.1 401"), "{said}");
    let said = stage.get(&page_path("0", "1"), WRONG);
    assert!(said.starts_with("HTTP/1.1 500") && said.contains("M_UNKNOWN"), "{said}");
    stage.end();
}

#[test]
fn requests_that_do_not_end_delay_nobody() {
    let mut stage = Stage::set();
    (0..20).for_each(|_| stage.append());
    let mut many = String::new();
    for upto in 1..=20 {
        let close = if upto == 20 { "Connection: close\r\n" } else { "" };
        many += &format!(
            "GET {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {SECRET}\r\n{close}\r\n",
            page_path("0", &upto.to_string()),
        );
    }
    let said = stage.http(many.as_bytes());
    let places: Vec<_> =
        (1..=20).map(|upto| said.find(&format!("\"upto_token\":{upto},")).unwrap()).collect();
    assert!(places.is_sorted(), "in order: {said}");
    let mut endless = Client::connect(stage.addresses.http);
    endless.say(b"GET /health HTTP/1.1\r\n");
    let mut sent = 0_usize;
    while endless.say(&b"X: y\r\n".repeat(1_000)) {
        sent += 6_000;
        assert!(sent < 64 << 20, "it takes everything");
    }
    stage.check("endless headers");
    let unfinished: Vec<Client> = (0..150)
        .map(|nth| {
            let mut client = Client::connect(stage.addresses.http);
            client.say(match nth % 3 {
                0 => b"GET /health HTTP/1.1\r\nHost:".as_slice(),
                1 => {
                    b"POST /rows HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer the-right-secret\r\n\
                      Content-Length: 8000000\r\n\r\n{"
                }
                _ => b"",
            });
            client
        })
        .collect();
    stage.check("150 requests without an end");
    drop(unfinished);
    stage.check("150 requests that broke off");
    stage.end();
}
