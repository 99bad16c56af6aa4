//! The built examples, run as a reader would run them, against a real redis-server and a writer's
//! HTTP listener played by the test.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where it fails, also outside its own function"
)]

mod servers;

use std::{
    fs,
    path::Path,
    process::{ExitStatus, Stdio},
};

use servers::{LIMIT, client::Client, writer::Log};
use synrepl::{Row, typed};
use synrepl_tests::redis::RedisServer;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// A running example, which is killed when dropped.
struct Example {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Self {
        // The tests are built into `deps`, the examples into `examples` beside it.
        let tests = std::env::current_exe().unwrap();
        let program = tests.ancestors().nth(2).unwrap().join("examples").join(name);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.rs"));
        let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
        assert!(
            changed(&program) >= changed(&source),
            "{} is not up to date; `cargo build --examples` makes it so, as does `cargo test` \
             without --test",
            program.display()
        );
        let mut child = Command::new(&program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{}: {error}; `cargo build --examples` builds it", program.display())
            });
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line of stdout.
    async fn line(&mut self) -> String {
        let line = timeout(LIMIT, self.lines.next_line()).await.expect("no line in time");
        line.unwrap().expect("it ended")
    }

    /// Reads until a line is `wanted`, and returns those before.
    async fn until(&mut self, wanted: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let line = self.line().await;
            if line == wanted {
                return before;
            }
            before.push(line);
            assert!(before.len() < 1_000, "no line is {wanted:?}: {before:#?}");
        }
    }

    /// Sends SIGINT, as Ctrl-C does, and returns the status and the rest of the lines.
    async fn interrupt(mut self) -> (ExitStatus, Vec<String>) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &id]).status().await.unwrap().success());
        let ended = async {
            let mut rest = Vec::new();
            while let Some(line) = self.lines.next_line().await.unwrap() {
                rest.push(line);
            }
            (self.child.wait().await.unwrap(), rest)
        };
        timeout(LIMIT, ended).await.expect("it does not end")
    }

    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

#[tokio::test]
async fn print_events_prints_rows_live_and_caught_up_until_ctrl_c() {
    let redis = RedisServer::start(&[]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    fs::write(&secret, "s3cret\n").unwrap();
    let instance = format!("p1={}", Log::new(1..=9, 100).with_secret("s3cret").listen().await);
    let mut listening = Client::listening(&redis).await;
    let secret = secret.to_str().unwrap();
    let mut example =
        Example::start("print_events", &[&redis.url(), "example.com", secret, &instance]);
    listening.hear("REPLICATE ").await;
    let mut client = Client::of(&redis).await;
    client.publish("POSITION events p1 6 6").await;
    let live = r#"["state-all",["!room:example.com"]]"#;
    client.publish(&format!("RDATA events p1 batch {live}")).await;
    // The writer of the test holds it, so that it is known to be the same one.
    client.publish("RDATA events p1 7 [\"r7\"]").await;
    client.publish("POSITION events p1 9 9").await;
    example.until(r#"events/p1 7 Events(StateAll { room_id: "!room:example.com" })"#).await;
    // What the writer of the test holds is no row of `events`, and is printed with the reason.
    let unread = |token, text| {
        let row = Row::from(text);
        format!("events/p1 {token} {text}: {}", typed::parse("events", &row).unwrap_err())
    };
    example.until(&unread(8, r#"["r8"]"#)).await;
    assert_eq!(example.until(&unread(9, r#"["r9"]"#)).await, [""; 0]);
    let (status, rest) = example.interrupt().await;
    assert!(status.success(), "{status}");
    assert_eq!(rest.last().map(String::as_str), Some("Stopped"));
}

/// The line in which `resume` prints the number of rows that it has counted.
fn counted(rows: u64) -> String {
    format!("{{\"events\": {rows}}}")
}

#[tokio::test]
async fn resume_counts_every_row_once_through_ctrl_c_and_a_crash() {
    let redis = RedisServer::start(&[]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (secret, state) = (directory.path().join("secret"), directory.path().join("counts.json"));
    fs::write(&secret, "s3cret").unwrap();
    let log = Log::new(1..=10, 4).with_secret("s3cret");
    let instance = format!("p1={}", log.listen().await);
    let (url, secret) = (redis.url(), secret.to_str().unwrap());
    let arguments = [&url, "example.com", secret, state.to_str().unwrap(), &instance];
    let mut client = Client::of(&redis).await;
    let mut listening = Client::listening(&redis).await;

    // The example starts from now, so the rows before are not counted.
    let mut example = Example::start("resume", &arguments);
    listening.hear("REPLICATE ").await;
    client.publish("POSITION events p1 10 10").await;
    for token in 11..=13 {
        log.push(token);
        client.publish(&format!("RDATA events p1 {token} [\"r{token}\"]")).await;
    }
    example.until(&counted(3)).await;
    let (status, rest) = example.interrupt().await;
    assert!(status.success(), "{status}");
    assert_eq!(saved(&state), (3, 13), "{rest:?}");

    // Rows written meanwhile are caught up; then the example is killed without warning.
    (14..=30).for_each(|token| log.push(token));
    let mut example = Example::start("resume", &arguments);
    listening.hear("REPLICATE ").await;
    client.publish("POSITION events p1 30 30").await;
    example.until(&counted(20)).await;
    log.push(31);
    client.publish("RDATA events p1 31 [\"r31\"]").await;
    example.until(&counted(21)).await;
    example.kill().await;
    assert_eq!(saved(&state), (21, 31));

    (32..=40).for_each(|token| log.push(token));
    let mut example = Example::start("resume", &arguments);
    listening.hear("REPLICATE ").await;
    client.publish("POSITION events p1 40 40").await;
    example.until(&counted(30)).await;
    let (status, _) = example.interrupt().await;
    assert!(status.success(), "{status}");
    assert_eq!(saved(&state), (30, 40));
}

/// The count and the position in the state file.
fn saved(path: &Path) -> (u64, i64) {
    let state: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    (state[0]["events"].as_u64().unwrap(), state[1]["events"]["p1"].as_i64().unwrap())
}

/// Whether `cache` holds the rooms !a and !b, by its next answer.
async fn known(example: &mut Example) -> (bool, bool) {
    let (a, b) = (example.line().await, example.line().await);
    let known = |line: &str, room| line.strip_prefix(room).unwrap() == " known: true";
    (known(&a, "!a"), known(&b, "!b"))
}

/// Publishes commands, each of which brings at least one answer, until the answer is `wanted`.
async fn until_known(client: &mut Client, example: &mut Example, wanted: (bool, bool)) {
    for _ in 0..1_000 {
        client.publish("REMOTE_SERVER_UP x").await;
        if known(example).await == wanted {
            return;
        }
    }
    panic!("it never becomes {wanted:?}");
}

#[tokio::test]
async fn cache_keeps_nothing_that_may_be_stale() {
    let mut redis = RedisServer::start(&[]).unwrap();
    let mut client = Client::of(&redis).await;
    let mut listening = Client::listening(&redis).await;
    let mut example = Example::start("cache", &[&redis.url(), "example.com", "!a", "!b"]);
    listening.hear("REPLICATE ").await;
    // No writer has announced a position yet, so nothing is kept.
    for _ in 0..10 {
        client.publish("REMOTE_SERVER_UP x").await;
        assert_eq!(known(&mut example).await, (false, false));
    }
    client.publish("POSITION caches p1 5 5").await;
    client.publish("POSITION caches p2 5 5").await;
    until_known(&mut client, &mut example, (true, true)).await;

    client.publish("RDATA caches p1 6 [\"cs_cache_fake\",[\"!a\",\"@u:example.com\"],5]").await;
    until_known(&mut client, &mut example, (false, true)).await;
    until_known(&mut client, &mut example, (true, true)).await;
    client.publish("RDATA caches p2 6 [\"a_whole_cache\",null,5]").await;
    until_known(&mut client, &mut example, (false, false)).await;
    until_known(&mut client, &mut example, (true, true)).await;

    // Rows were missed, and no address is known to fetch them from.
    client.publish("POSITION caches p1 20 20").await;
    until_known(&mut client, &mut example, (false, false)).await;
    until_known(&mut client, &mut example, (true, true)).await;

    redis.kill();
    while known(&mut example).await != (false, false) {}
    redis.start_again().unwrap();
    let mut client = Client::of(&redis).await;
    // Only one of the two writers announces its position: the other may have changed anything.
    while client.publish("POSITION caches p1 20 20").await == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..50 {
        client.publish("REMOTE_SERVER_UP x").await;
        assert_eq!(known(&mut example).await, (false, false));
    }
    client.publish("POSITION caches p2 6 6").await;
    until_known(&mut client, &mut example, (true, true)).await;

    let (status, _) = example.interrupt().await;
    assert!(status.success(), "{status}");
}
