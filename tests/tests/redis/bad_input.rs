//! `synrepl follow` against bad input of every kind, on a real redis-server and from scripted HTTP
//! listeners: stderr names the fault and what to do, no row is lost or repeated, and other sources
//! are not affected (F2, F3, F8, C2).

#![allow(clippy::unwrap_used, reason = "a test ends where it fails, also outside its own function")]

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use synrepl::{
    Builder, Event,
    core::{Warning, stream::FetchError},
};
use synrepl_tests::{
    Source,
    deployment::{Deployment, refused},
    endpoint::{Answer, Endpoint, Request},
    follow::{Follower, Line},
    redis::{Connection, RedisServer, Reply},
};
use tempfile::TempDir;

const SERVER: &str = "example.com";
const SECRET: &str = "the-secret";
/// The longest time of a step before it counts as stuck.
const STEP: Duration = Duration::from_secs(40);

/// The wrong answer of p1's listener, if it is to give one.
type Fault = Arc<Mutex<Option<fn(&Request) -> Answer>>>;

fn set(fault: &Fault, answer: Option<fn(&Request) -> Answer>) {
    *fault.lock().unwrap() = answer;
}

fn p1() -> Source {
    Source::new("events", "p1")
}

fn p2() -> Source {
    Source::new("events", "p2")
}

fn row(source: &Source, token: i64) -> String {
    format!("RDATA {} {} {token} [\"{}\",{token}]", source.stream, source.instance, source.instance)
}

/// Redis, two writers of `events` with their listeners, and a follower of them.
struct Stage {
    dir: TempDir,
    follower: Follower,
    deployment: Deployment,
    /// The HTTP listener of p1.
    endpoint: Endpoint,
    fault: Fault,
    _other_endpoints: Vec<Endpoint>,
    redis: RedisServer,
}

fn flags(
    redis: &RedisServer,
    dir: &TempDir,
    server: &str,
    endpoints: &[(&str, String)],
) -> Vec<String> {
    let secret = dir.path().join("secret");
    fs::write(&secret, SECRET).unwrap();
    let mut flags: Vec<String> =
        ["--redis", &redis.url(), "--server-name", server, "--secret-file"]
            .map(str::to_owned)
            .into();
    flags.push(secret.display().to_string());
    for (instance, url) in endpoints {
        flags.extend(["--instance".to_owned(), format!("{instance}={url}")]);
    }
    flags
}

fn is_connected(line: &Line) -> bool {
    *line == Line::Connected
}

impl Stage {
    fn set() -> Self {
        let redis = RedisServer::start(&[]).unwrap();
        let deployment = Deployment::start(redis.address(), SERVER).unwrap();
        Self::around(redis, deployment, |follower, deployment| {
            follower.wait_for_line("the connection", 0, STEP, is_connected).unwrap();
            for source in ["events p1", "events p2", "receipts p1"] {
                deployment.say(format!("POSITION {source} 10 10")).unwrap();
            }
            follower.wait_for_positions(&deployment.announced(), STEP).unwrap();
        })
    }

    fn around(
        redis: RedisServer,
        deployment: Deployment,
        begin: impl FnOnce(&Follower, &Deployment),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fault = Fault::default();
        let endpoint = deployment.endpoint("p1", SECRET, {
            let fault = Arc::clone(&fault);
            move |request| fault.lock().unwrap().map(|fault| fault(request))
        });
        let endpoint = endpoint.unwrap();
        let others = ["p2", "master"];
        let others = others.map(|name| deployment.endpoint(name, SECRET, |_| None).unwrap());
        let urls = [("p1", endpoint.url()), ("p2", others[0].url()), ("master", others[1].url())];
        let flags = flags(&redis, &dir, SERVER, &urls);
        let follower = Follower::launch(dir.path(), "follow", "positions.json", &flags).unwrap();
        begin(&follower, &deployment);
        let _other_endpoints = others.into();
        Self { dir, follower, deployment, endpoint, fault, _other_endpoints, redis }
    }

    /// Publishes rows of `source` up to this token, from the one behind its last.
    fn say_rows(&self, source: &Source, upto: i64) {
        let from = self.deployment.announced()[source];
        for token in from + 1..=upto {
            self.deployment.say(row(source, token)).unwrap();
        }
    }

    /// Adds rows of `source` up to this token to its writer's log, without publishing them.
    fn write_rows(&self, source: &Source, upto: i64) {
        let from = self.deployment.announced()[source];
        for token in from + 1..=upto {
            self.deployment.write(&row(source, token));
        }
    }

    fn wait_until_complete(&self) {
        self.follower.wait_for_positions(&self.deployment.announced(), STEP).unwrap();
    }

    /// Waits until the follower is complete, stops it, and returns tokens and origins by source,
    /// and standard error.
    fn end(self) -> (BTreeMap<Source, Vec<(i64, String)>>, String) {
        self.wait_until_complete();
        let stderr = self.follower.stderr().text();
        let lines = self.follower.stop().unwrap().run.lines;
        drop(self.dir);
        (delivered(&lines), stderr)
    }
}

/// The token and origin of each row, by source. Checks that each row names its own writer and
/// token.
fn delivered(lines: &[Line]) -> BTreeMap<Source, Vec<(i64, String)>> {
    let mut delivered: BTreeMap<Source, Vec<(i64, String)>> = BTreeMap::new();
    for line in lines {
        let Some(source) = line.source() else { continue };
        // Nobody has the rows of that stream.
        let is_known = source.stream != "nosuch";
        assert!(!is_known || !matches!(line, Line::Gap { .. }), "{line:?}");
        assert!(!matches!(line, Line::Reset { .. }), "{line:?}");
        if let Line::Rows { token, rows, origin, .. } = line {
            assert_eq!(rows.len(), 1, "{line:?}");
            assert_eq!(rows[0], serde_json::json!([source.instance, token]), "{source}");
            delivered.entry(source).or_default().push((*token, origin.clone()));
        }
    }
    delivered
}

fn tokens(delivered: &[(i64, String)]) -> Vec<i64> {
    delivered.iter().map(|(token, _)| *token).collect()
}

fn has_row(line: &Line, of: &Source, at: i64) -> bool {
    matches!(line, Line::Rows { token, .. } if *token == at) && line.source().as_ref() == Some(of)
}

/// The treatment that an odd line must get.
enum Fate {
    /// A warning with these words reports that it is no command.
    Said(&'static [&'static str]),
    /// The same warning is printed, and the line was a row: the token at which it is put in
    /// replaces `?`, and the row is fetched.
    Fetched(&'static [&'static str]),
    /// The line is delivered as a command.
    Command(&'static str),
}

/// Publishes each line between good rows of two writers, and checks its treatment.
fn odd_lines(table: &[(&[u8], Fate)]) {
    let stage = Stage::set();
    let mut said = 0;
    for (line, fate) in table {
        let token = stage.deployment.announced()[&p1()];
        stage.say_rows(&p1(), token + 1);
        if let Fate::Fetched(_) = fate {
            stage.write_rows(&p1(), token + 2);
            let text = std::str::from_utf8(line).unwrap();
            let text = text.replace('?', &(token + 2).to_string());
            stage.deployment.interject(text.as_bytes()).unwrap();
        } else {
            stage.deployment.interject(line).unwrap();
        }
        stage.say_rows(&p2(), stage.deployment.announced()[&p2()] + 1);
        stage.say_rows(&p1(), stage.deployment.announced()[&p1()] + 1);
        if let Fate::Said(words) | Fate::Fetched(words) = fate {
            let known = ["warning: a message is not a command"];
            let words = [&known[..], words].concat();
            let line = stage.follower.stderr().wait_for_line(&words, 0, STEP).unwrap();
            assert!(line.len() < 700 && !line.contains("syt_"), "{line}");
            said += 1;
        }
        // The rows behind the line must arrive, too, before the next line.
        stage.wait_until_complete();
    }
    let commands: Vec<String> = (stage.follower.lines().into_iter())
        .filter_map(|line| if let Line::Command { command } = line { Some(command) } else { None })
        .filter(|command| command != "REPLICATE")
        .collect();
    let expected = table.iter().filter_map(|(_, fate)| match fate {
        Fate::Command(name) => Some(*name),
        Fate::Said(_) | Fate::Fetched(_) => None,
    });
    assert_eq!(commands, expected.collect::<Vec<_>>());
    let (p1_last, p2_last) =
        (stage.deployment.announced()[&p1()], stage.deployment.announced()[&p2()]);
    let (delivered, stderr) = stage.end();
    assert_eq!(stderr.matches("is not a command").count(), said, "{stderr}");
    assert_eq!(stderr.matches("no connection").count(), 0, "{stderr}");
    assert_eq!(tokens(&delivered[&p1()]), (11..=p1_last).collect::<Vec<_>>(), "{stderr}");
    assert_eq!(tokens(&delivered[&p2()]), (11..=p2_last).collect::<Vec<_>>(), "{stderr}");
    assert!(delivered[&p2()].iter().all(|(_, origin)| origin == "live"), "{delivered:?}");
}

#[test]
fn odd_lines_are_named_and_cost_no_row() {
    let long = vec![b'x'; 16_385];
    let longer = vec![b'y'; 1 << 20];
    odd_lines(&[
        (b"GARBAGE foo", Fate::Said(&["unknown command", "GARBAGE foo", "it is left out"])),
        (b"ping 1", Fate::Said(&["unknown command", "\"ping 1\""])),
        (b" PING 1", Fate::Said(&["unknown command", "\" PING 1\""])),
        (b"", Fate::Said(&["blank line", "\"\""])),
        (b"   ", Fate::Said(&["blank line", "\"   \""])),
        (b"\0", Fate::Said(&["unknown command", "\\0"])),
        (b"PING \xff\xfe", Fate::Said(&["not UTF-8 at byte 5"])),
        (b"USER_SYNC @u:example.com", Fate::Said(&["bad field", "start|end"])),
        (b"FEDERATION_ACK", Fate::Said(&["bad field", "a token"])),
        (b"LOCK_RELEASED [\"p1\"]", Fate::Said(&["LOCK_RELEASED", "three strings"])),
        (b"LOCK_RELEASED [\"p2\"", Fate::Said(&["LOCK_RELEASED", "bad JSON", "p2"])),
        (b"POSITION events p1 11 x", Fate::Said(&["bad field", "POSITION events p1 11 x"])),
        (b"USER_IP @u:example.com [\"syt_secret\",", Fate::Said(&["in \"USER_IP\""])),
        (&long, Fate::Said(&["unknown command", "xxxxxxx"])),
        (&longer, Fate::Said(&["unknown command", "yyyyyyy"])),
        (b"PING", Fate::Command("PING")),
        (b"PING 1\0", Fate::Command("PING")),
        (b"PING 1\r\n", Fate::Command("PING")),
        (b"SERVER other.example", Fate::Command("SERVER")),
        (b"ERROR something", Fate::Command("ERROR")),
        (b"CLEAR_USER_SYNC abc", Fate::Command("CLEAR_USER_SYNC")),
        (b"REMOVE_PUSHER app key @u:example.com", Fate::Command("REMOVE_PUSHER")),
        (b"INVALIDATE_CACHE f [\"k\"]", Fate::Command("INVALIDATE_CACHE")),
    ]);
}

#[test]
fn a_row_that_cannot_be_read_is_fetched() {
    const INSTEAD: &str = "its rows of events/p1 are fetched instead";
    odd_lines(&[
        (b"RDATA", Fate::Said(&["bad field", "\"RDATA\""])),
        (b"RDATA events", Fate::Said(&["bad field", "\"RDATA events\""])),
        (b"RDATA events p1", Fate::Said(&["bad field", "\"RDATA events p1\""])),
        (b"RDATA events p1 ? [\"p1\",", Fate::Fetched(&["bad JSON", INSTEAD])),
        (b"RDATA events p1 ? [\"p1\",1", Fate::Fetched(&["bad JSON", "1\\\"", INSTEAD])),
        (b"RDATA events p1 ?", Fate::Fetched(&["bad field", "a row behind the token", INSTEAD])),
        (b"RDATA events p1 x? []", Fate::Fetched(&["a token or `batch`", INSTEAD])),
        (b"RDATA events p1 99999999999999999999? []", Fate::Fetched(&["64 bits", INSTEAD])),
        (b"RDATA events p1 batch {", Fate::Fetched(&["bad JSON", "batch {", INSTEAD])),
    ]);
}

#[test]
fn a_stream_that_nobody_knows_is_asked_for_once_and_disturbs_nobody() {
    let stage = Stage::set();
    stage.deployment.interject(b"RDATA nosuch master 5 []").unwrap();
    stage.say_rows(&p1(), 12);
    let words = ["nosuch/master", "400", "Unknown stream", "--instance master="];
    stage.follower.stderr().wait_for_line(&words, 0, STEP).unwrap();
    stage.say_rows(&p1(), 14);
    stage.say_rows(&p2(), 12);
    let (delivered, stderr) = stage.end();
    assert_eq!(tokens(&delivered[&p1()]), [11, 12, 13, 14], "{stderr}");
    assert_eq!(tokens(&delivered[&p2()]), [11, 12], "{stderr}");
    assert_eq!(delivered.len(), 2, "{delivered:?}");
}

fn raw(answer: &str) -> Answer {
    Answer::Raw(answer.into())
}

fn page(body: &str) -> Answer {
    Answer::Page(body.to_owned())
}

/// A fault of an HTTP listener: its name, its answer, and words of the warning.
type HttpFault = (&'static str, fn(&Request) -> Answer, &'static [&'static str]);

const HTTP_FAULTS: [HttpFault; 13] = [
    ("a wrong secret", |_| refused(), &["answered 500", "secret may be wrong", "--secret-file"]),
    (
        "another listener",
        |_| Answer::Status(404, "<html>nothing here</html>"),
        &["answered 404", "no replication resource", "--instance p1="],
    ),
    (
        "a proxy without its server",
        |_| Answer::Status(502, "bad gateway"),
        &["answered 502", "something in between answers"],
    ),
    ("an answer that is cut at once", |_| raw(""), &["cannot be reached", "Does p1 run"]),
    (
        "an answer that is cut in its middle",
        |_| raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"updates\":["),
        &["cannot be reached", "Does p1 run"],
    ),
    ("no HTTP", |_| raw("SSH-2.0-OpenSSH_9.6\r\n\r\n"), &["not HTTP", "--instance p1="]),
    (
        "a compressed answer",
        |_| raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"),
        &["compressed (gzip)", "proxy"],
    ),
    ("no JSON", |_| page("<html>hello</html>"), &["not a page", "--instance p1="]),
    ("JSON of another shape", |_| page("{\"versions\":[]}"), &["not a page", "--instance p1="]),
    (
        "a page with wrong types",
        |request| {
            page(&format!(
                "{{\"updates\":[[\"x\",1]],\"upto_token\":{},\"limited\":false}}",
                request.upto
            ))
        },
        &["not a page", "--instance p1="],
    ),
    (
        "a page that does not move",
        |request| {
            page(&format!("{{\"updates\":[],\"upto_token\":{},\"limited\":true}}", request.from))
        },
        &["unusable page", "does not move on"],
    ),
    (
        "a page beyond what was asked for",
        |request| {
            page(&format!(
                "{{\"updates\":[],\"upto_token\":{},\"limited\":false}}",
                request.upto + 7
            ))
        },
        &["unusable page", "beyond"],
    ),
    (
        "a row beyond the page",
        |request| {
            let upto = request.upto;
            page(&format!(
                "{{\"updates\":[[{},[]]],\"upto_token\":{upto},\"limited\":false}}",
                upto + 1
            ))
        },
        &["unusable page", "beyond its end"],
    ),
];

#[test]
fn a_listener_that_answers_wrongly_is_named_and_its_rows_come_once_it_is_right() {
    let mut stage = Stage::set();
    let unreachable: HttpFault =
        ("no listener", |_| refused(), &["cannot be reached", "Does p1 run"]);
    for (what, answer, words) in HTTP_FAULTS.into_iter().chain([unreachable]) {
        let token = stage.deployment.announced()[&p1()];
        let is_down = what == "no listener";
        if is_down {
            stage.endpoint.close();
        }
        set(&stage.fault, Some(answer));
        let skipped = stage.follower.stderr().text().len();
        let known = stage.follower.line_count();

        // Two rows are in the log alone; an announcement of them follows, and one live row.
        stage.write_rows(&p1(), token + 2);
        let (prev, new) = (token + 2, token + 3);
        stage.deployment.say(format!("POSITION events p1 {prev} {new}")).unwrap();
        stage.say_rows(&p1(), token + 4);
        let words = [&["warning: rows (", "of events/p1 could not be fetched"], words].concat();
        let said = stage.follower.stderr().wait_for_line(&words, skipped, STEP);
        said.unwrap_or_else(|error| panic!("{what}: {error}"));

        // The other writer, and another stream of the same one, go on meanwhile.
        for source in [p2(), Source::new("receipts", "p1")] {
            let next = stage.deployment.announced()[&source] + 1;
            stage.say_rows(&source, next);
            let is_it = |line: &Line| has_row(line, &source, next);
            stage.follower.wait_for_line(what, known, STEP, is_it).unwrap();
        }
        let too_early = stage.follower.lines().into_iter().skip(known).any(|line| {
            line.source() == Some(p1()) && matches!(line, Line::Rows { .. } | Line::Position { .. })
        });
        assert!(!too_early, "{what}: events of p1 went on above rows that could not be fetched");

        set(&stage.fault, None);
        if is_down {
            stage.endpoint.open_again().unwrap();
        }
        stage.wait_until_complete();
    }
    let count = HTTP_FAULTS.len() as i64 + 1;
    let (delivered, stderr) = stage.end();
    let expected: Vec<_> = (0..count)
        .flat_map(|round| {
            let at = 10 + 4 * round;
            [(at + 1, "catch_up"), (at + 2, "catch_up"), (at + 4, "live")]
        })
        .map(|(token, origin)| (token, origin.to_owned()))
        .collect();
    assert_eq!(delivered[&p1()], expected, "{stderr}");
    for source in [p2(), Source::new("receipts", "p1")] {
        let live: Vec<_> = (11..=10 + count).map(|token| (token, "live".to_owned())).collect();
        assert_eq!(delivered[&source], live, "{source}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_never_answers_is_given_up_in_time_and_asked_again() {
    let redis = RedisServer::start(&[]).unwrap();
    let deployment = Deployment::start(redis.address(), SERVER).unwrap();
    deployment.say("POSITION events p1 10 10").unwrap();
    let fault = Fault::default();
    set(&fault, Some(|_| Answer::Silence));
    let endpoint = deployment.endpoint("p1", SECRET, {
        let fault = Arc::clone(&fault);
        move |request| fault.lock().unwrap().map(|fault| fault(request))
    });
    let endpoint = endpoint.unwrap();
    let mut replication = Builder::redis(&redis.url(), SERVER)
        .unwrap()
        .secret(synrepl::Secret::new(SECRET.to_owned()))
        .fetch_from("p1", &endpoint.url())
        .unwrap()
        .limits(|limits| limits.fetch_timeout = Duration::from_millis(300))
        .spawn()
        .unwrap();
    let follow = async {
        let mut rows = Vec::new();
        let mut timed_out = 0;
        while let Some(event) = replication.next().await {
            if let Event::Live { .. } = event
                && rows.is_empty()
            {
                deployment.write(&row(&p1(), 11));
                deployment.say("POSITION events p1 11 12").unwrap();
                deployment.say(row(&p1(), 13)).unwrap();
            } else if let Event::Warning(Warning::FetchFailed { error, .. }) = event {
                let FetchError::TimedOut { endpoint: of, after_ms } = error else {
                    panic!("{error}");
                };
                assert_eq!((of, after_ms), (endpoint.url(), 300));
                timed_out += 1;
                set(&fault, None);
            } else if let Event::Rows { token, .. } = event {
                rows.push(token.get());
                if token.get() == 13 {
                    break;
                }
            }
        }
        (rows, timed_out)
    };
    let (rows, timed_out) = tokio::time::timeout(STEP, follow).await.unwrap();
    assert_eq!(rows, [11, 13]);
    assert_eq!(timed_out, 1);
}

#[test]
fn silence_on_a_channel_points_at_the_server_name() {
    let redis = RedisServer::start(&[]).unwrap();
    let deployment = Deployment::start(redis.address(), SERVER).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let flags = flags(&redis, &dir, "examlpe.com", &[]);
    let follower = Follower::launch(dir.path(), "follow", "positions.json", &flags).unwrap();
    follower.wait_for_line("the connection", 0, STEP, is_connected).unwrap();
    deployment.say("POSITION events p1 10 10").unwrap();
    deployment.say(row(&p1(), 11)).unwrap();
    let words = ["for 10 s after connecting to channel examlpe.com", "is --server-name right"];
    follower.stderr().wait_for_line(&words, 0, Duration::from_secs(15)).unwrap();
    assert!(delivered(&follower.stop().unwrap().run.lines).is_empty());
}

#[test]
fn a_redis_that_refuses_the_password_is_named_and_tried_until_it_does_not() {
    let redis = RedisServer::start(&["--requirepass", "right"]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    fs::write(&password, "not-right").unwrap();
    let without = flags(&redis, &dir, SERVER, &[]);
    let mut with = without.clone();
    with.extend(["--redis-password-file".to_owned(), password.display().to_string()]);
    let follower = Follower::launch(dir.path(), "with", "with.json", &with).unwrap();
    let other = Follower::launch(dir.path(), "without", "without.json", &without).unwrap();
    let words = ["no connection", "refused the user or password", "WRONGPASS", "next attempt in"];
    follower.stderr().wait_for_line(&words, 0, STEP).unwrap();
    let words = ["no connection", "NOAUTH", "password", "next attempt in"];
    other.stderr().wait_for_line(&words, 0, STEP).unwrap();
    drop(other);
    assert!(!follower.stderr().text().contains("not-right"), "{}", follower.stderr().text());

    let mut admin = Connection::open(redis.address()).unwrap();
    let ok = Reply::Status("OK".to_owned());
    assert_eq!(admin.call(&[b"AUTH", b"right"]).unwrap(), ok);
    assert_eq!(admin.call(&[b"CONFIG", b"SET", b"requirepass", b"not-right"]).unwrap(), ok);
    follower.wait_for_line("the connection", 0, STEP, is_connected).unwrap();
    follower.stop().unwrap();
}

#[test]
fn a_redis_that_is_down_or_restarted_is_named_and_costs_no_row() {
    let mut redis = RedisServer::start(&[]).unwrap();
    let deployment = Deployment::start(redis.address(), SERVER).unwrap();
    redis.kill();
    for source in [p1(), p2()] {
        deployment.write(&format!("POSITION {} {} 10 10", source.stream, source.instance));
    }
    let mut stage = Stage::around(redis, deployment, |follower, _| {
        let words = ["no connection", "cannot connect", "next attempt in"];
        follower.stderr().wait_for_line(&words, 0, STEP).unwrap();
    });
    for round in 1..4 {
        let known = stage.follower.line_count();
        stage.redis.start_again().unwrap();
        stage.deployment.connect_again(stage.redis.address()).unwrap();
        stage.follower.wait_for_line("Redis", known, STEP, is_connected).unwrap();
        stage.wait_until_complete();
        let token = 10 * round + 5;
        stage.say_rows(&p1(), token);
        stage.say_rows(&p2(), token);
        stage.wait_until_complete();

        let skipped = stage.follower.stderr().text().len();
        stage.redis.kill();
        stage.follower.stderr().wait_for_line(&["no connection"], skipped, STEP).unwrap();
        stage.write_rows(&p1(), token + 5);
    }
    stage.redis.start_again().unwrap();
    stage.deployment.connect_again(stage.redis.address()).unwrap();
    let (delivered, stderr) = stage.end();
    assert_eq!(tokens(&delivered[&p1()]), (11..=40).collect::<Vec<_>>(), "{stderr}");
    assert_eq!(tokens(&delivered[&p2()]), (11..=35).collect::<Vec<_>>(), "{stderr}");
    let fetched = delivered[&p1()].iter().filter(|(_, origin)| origin == "catch_up").count();
    assert_eq!(fetched, 15, "{delivered:?}");
}
