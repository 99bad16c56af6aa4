//! `synrepl serve` killed by SIGKILL under load, again and again, against followers over a real
//! redis-server and direct TCP that fetch over HTTP: no row is lost or repeated, and no token is
//! reused.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    net::TcpListener,
    sync::{Arc, Condvar, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use serde_json::{Value, json};
use synrepl::{
    Builder, Dialect, Event, Handle, Start,
    core::{Backoff, Origin},
};
use synrepl_tests::redis::RedisServer;

use super::{program::LIMIT, writer::LogDirectory};

const KILLS: u64 = 50;
/// The most lines that are fed in one life of the process: more than are acknowledged before a
/// kill.
const LINES_MAX: usize = 4_000;
/// The most lines that are waited for before a kill.
const ACKNOWLEDGED_MAX: u64 = 400;
const STREAMS: [&str; 2] = ["a", "b"];

/// Rows by their tokens.
type Log = BTreeMap<i64, Vec<String>>;

/// The stream and rows of one line. No two lines have the same rows.
fn batch(life: u64, line: usize) -> (&'static str, Vec<String>) {
    let rows = (0..=line % 3).map(|row| format!("[\"{life}.{line}.{row}\"]")).collect();
    (STREAMS[line % 2], rows)
}

/// The rows that a follower was given.
#[derive(Default)]
struct Seen {
    logs: BTreeMap<String, Log>,
    live: usize,
    fetched: usize,
    wrong: Vec<String>,
}

struct Follower {
    name: &'static str,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    handle: Handle,
    thread: JoinHandle<()>,
}

impl Follower {
    fn start(name: &'static str, builder: Builder, http: &str) -> Self {
        let soon = Duration::from_millis(10);
        let builder = builder
            .instance(name)
            .start(Start::Beginning)
            .fetch_from("w", &format!("http://{http}"))
            .unwrap()
            .core(|config| {
                config.connection.reconnect = Backoff::new(soon, soon * 2);
                config.catch_up.fetch_retry = Backoff::new(soon, soon * 2);
            });
        let seen = Arc::<(Mutex<Seen>, Condvar)>::default();
        let shared = Arc::clone(&seen);
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut replication = builder.spawn().unwrap();
                sender.send(replication.handle()).unwrap();
                while let Some(event) = replication.next().await {
                    shared.0.lock().unwrap().take(&event);
                    shared.1.notify_all();
                }
            });
        });
        Self { name, seen, handle: receiver.recv().unwrap(), thread }
    }

    /// Waits until the follower has these tokens, stops it, and returns what it was given.
    fn end(self, ends: &[(&str, i64)]) -> Seen {
        let (seen, news) = &*self.seen;
        let has_all = |seen: &mut Seen| {
            let last = |stream: &str| seen.logs.get(stream)?.last_key_value().map(|(at, _)| *at);
            ends.iter().all(|(stream, end)| last(stream) >= Some(*end))
        };
        let (all, waited) =
            news.wait_timeout_while(seen.lock().unwrap(), LIMIT, |seen| !has_all(seen)).unwrap();
        let ends_seen: Vec<_> =
            all.logs.iter().map(|(stream, log)| (stream.clone(), log.keys().last())).collect();
        assert!(!waited.timed_out(), "{} has {ends_seen:?} of {ends:?}", self.name);
        drop(all);
        self.handle.shutdown();
        self.thread.join().unwrap();
        let mut seen = seen.lock().unwrap();
        std::mem::take(&mut *seen)
    }
}

impl Seen {
    fn take(&mut self, event: &Event) {
        if let Event::Rows { source, token, rows, origin, .. } = event {
            let count = if *origin == Origin::Live { &mut self.live } else { &mut self.fetched };
            *count += rows.len();
            let log = self.logs.entry(source.stream().to_owned()).or_default();
            let rows = rows.iter().map(|row| row.as_str().to_owned()).collect();
            if log.last_key_value().is_some_and(|(last, _)| *last >= token.get()) {
                self.wrong.push(format!("{source}: {token} comes late or again"));
            }
            log.insert(token.get(), rows);
        } else if matches!(event, Event::Gap { .. } | Event::Reset { .. }) {
            self.wrong.push(format!("{event:?}"));
        }
    }
}

/// A source of numbers that look random and are the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

#[test]
fn fifty_kills_lose_no_row_reuse_no_token_and_repeat_nothing() {
    let redis = RedisServer::start(&[]).unwrap();
    let url = redis.url();
    let directory = LogDirectory::new();
    let [tcp, http] = [(); 2].map(|()| {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().to_string()
    });
    let flags =
        ["--tcp", &tcp, "--http", &http, "--redis", &url, "--server-name", "x", "--name", "w"];
    let followers = [
        Follower::start("over-redis", Builder::redis(&url, "x").unwrap(), &http),
        Follower::start("over-tcp", Builder::tcp(&tcp, Dialect::LATEST).unwrap(), &http),
    ];

    let mut chance = Chance(2026);
    let mut acknowledged: BTreeMap<&str, Log> = BTreeMap::new();
    for life in 0..KILLS {
        let mut writer = directory.serve(&flags);
        let mut feed = writer.take_feed();
        let feeder = std::thread::spawn(move || {
            for line in 0..LINES_MAX {
                let (stream, rows) = batch(life, line);
                let text = format!("{{\"stream\":\"{stream}\",\"rows\":[{}]}}\n", rows.join(","));
                if feed.write_all(text.as_bytes()).is_err() {
                    return;
                }
            }
        });
        let mut lines: Vec<String> = Vec::new();
        for _ in 0..chance.below(ACKNOWLEDGED_MAX) {
            lines.push(writer.line());
        }
        writer.running.signal("KILL");
        lines.extend(writer.running.end().1);
        feeder.join().unwrap();
        for (number, line) in lines.iter().enumerate() {
            // The kill may cut the last line.
            let Ok(line) = serde_json::from_str::<Value>(line) else {
                assert_eq!(number + 1, lines.len());
                continue;
            };
            let (stream, rows) = batch(life, number);
            assert_eq!(line["stream"], json!(stream), "life {life}, line {number}");
            let token = line["token"].as_i64().unwrap();
            let earlier = acknowledged.entry(stream).or_default();
            assert!(
                earlier.last_key_value().is_none_or(|(last, _)| *last < token),
                "{stream}: {token} was given out before"
            );
            earlier.insert(token, rows);
        }
    }

    let count: usize = acknowledged.values().map(Log::len).sum();
    assert!(count > 5_000, "only {count} batches were acknowledged");
    let mut last = directory.serve(&flags);
    for stream in STREAMS {
        last.feed(&format!("{{\"stream\":\"{stream}\",\"rows\":[[\"end\"]]}}\n"));
        last.line();
    }
    let mut written = BTreeMap::new();
    for stream in STREAMS {
        let mut log = Log::new();
        for (token, row) in last.rows(stream) {
            log.entry(token).or_default().push(row.to_string());
        }
        for (token, rows) in &acknowledged[stream] {
            assert_eq!(log.get(token), Some(rows), "{stream} {token} was acknowledged");
        }
        let rows: Vec<&String> = log.values().flatten().collect();
        let different: BTreeSet<&String> = rows.iter().copied().collect();
        assert_eq!(different.len(), rows.len(), "a row was written twice");
        written.insert(stream.to_owned(), log);
    }
    let ends: Vec<(&str, i64)> = written
        .iter()
        .map(|(stream, log)| (stream.as_str(), *log.keys().last().unwrap()))
        .collect();
    for follower in followers {
        let name = follower.name;
        let seen = follower.end(&ends);
        assert_eq!(seen.wrong, Vec::<String>::new(), "{name}");
        assert!(seen.live > 100 && seen.fetched > 100, "{name}: {} {}", seen.live, seen.fetched);
        for (stream, log) in &written {
            let missing: Vec<_> = log
                .iter()
                .filter(|(token, rows)| seen.logs[stream].get(token) != Some(rows))
                .collect();
            assert!(missing.is_empty(), "{name}, {stream}: not as written: {missing:?}");
            assert_eq!(seen.logs[stream].len(), log.len(), "{name}, {stream}: more than written");
        }
    }
}
