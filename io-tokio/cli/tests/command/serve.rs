//! `synrepl serve` as a process: every line is answered in order, and what was acknowledged is kept
//! and given out over HTTP, direct TCP and a real redis-server, through stops, kills and restarts.

use std::{
    io::Write as _,
    process::ChildStdin,
    thread::{self, JoinHandle},
};

use serde_json::{Value, json};
use synrepl_tests::redis::RedisServer;

use super::{
    program::{LIMIT, Running, ran, run, synrepl},
    writer::LogDirectory,
};

const HTTP: [&str; 2] = ["--http", "127.0.0.1:0"];
const SECRET: &str = "hunter2";

fn batch(stream: &str, number: usize) -> String {
    format!("{}\n", json!({"stream": stream, "rows": [[format!("r{number}")]]}))
}

fn acknowledged(stream: &str, token: usize) -> String {
    json!({"stream": stream, "token": token}).to_string()
}

/// Writes batches until the other side of the pipe is gone.
fn feed_until_gone(mut feed: ChildStdin) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut number = 0;
        while feed.write_all(batch("s", number).as_bytes()).is_ok() {
            number += 1;
        }
    })
}

#[test]
fn batches_are_acknowledged_in_order_and_can_be_fetched() {
    let directory = LogDirectory::new();
    let mut writer = directory.serve(&HTTP);
    let text: String = (1..=2_000)
        .map(|number| batch(if number % 2 == 0 { "even" } else { "odd" }, number))
        .collect();
    writer.feed(&text);
    for number in 1..=2_000usize {
        let stream = if number.is_multiple_of(2) { "even" } else { "odd" };
        assert_eq!(writer.line(), acknowledged(stream, number.div_ceil(2)));
    }
    let expected: Vec<_> = (1..=1_000).map(|n| (n, json!([format!("r{}", 2 * n)]))).collect();
    assert_eq!(writer.rows("even"), expected);
}

#[test]
fn rows_of_a_line_share_a_token_also_over_http() {
    let directory = LogDirectory::new();
    let mut writer = directory.serve(&HTTP);
    writer.feed("{\"rows\":[[1],[2,\"\\u2603\"]],\"stream\":\"s\"}\n");
    assert_eq!(writer.line(), acknowledged("s", 1));
    let answer = writer.post(r#"{"stream":"s","rows":[[3],[4]]}"#);
    assert_eq!(answer, (200, acknowledged("s", 2)));
    let rows = [(1, json!([1])), (1, json!([2, "☃"])), (2, json!([3])), (2, json!([4]))];
    assert_eq!(writer.rows("s"), rows);
}

#[test]
fn a_bad_line_has_an_error_in_its_place_and_leaves_nothing_behind() {
    let directory = LogDirectory::new();
    let mut writer = directory.serve(&HTTP);
    let bad = [
        ("not json", "not of the form"),
        (r#"{"stream":"s"}"#, "missing field `rows`"),
        (r#"{"stream":"s","rows":[]}"#, "at least one row"),
        (r#"{"stream":"s","rows":[[1],{"a":2}]}"#, "row 1 is not a JSON array"),
        (r#"{"stream":"a b","rows":[[1]]}"#, "stream name"),
        (r#"{"stream":"","rows":[[1]]}"#, "stream name"),
        ("\u{fffd}\u{0}", "not of the form"),
    ];
    for (number, (line, _)) in bad.iter().enumerate() {
        writer.feed(&format!("{line}\n\n{}", batch("s", number)));
    }
    for (number, (line, expected)) in bad.iter().enumerate() {
        let error: Value = serde_json::from_str(&writer.line()).unwrap();
        assert!(error["error"].as_str().unwrap().contains(expected), "{line}: {error}");
        assert_eq!(error["line"], json!(3 * number + 1), "{line}: {error}");
        assert_eq!(writer.line(), acknowledged("s", number + 1));
    }
    let expected: Vec<_> =
        (0..bad.len()).map(|n| (i64::try_from(n).unwrap() + 1, json!([format!("r{n}")]))).collect();
    assert_eq!(writer.rows("s"), expected);
}

#[test]
fn a_huge_line_is_skipped_without_being_kept() {
    let directory = LogDirectory::new();
    let mut writer = directory.serve(&HTTP);
    let mut feed = writer.take_feed();
    let huge = thread::spawn(move || {
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..128 {
            feed.write_all(&piece).unwrap();
        }
        feed.write_all(format!("\n{}", batch("s", 1)).as_bytes()).unwrap();
        feed
    });
    let error = writer.line();
    assert!(error.contains("the line has 134217728 bytes; at most"), "{error}");
    assert!(error.ends_with(r#","line":1}"#), "{error}");
    assert_eq!(writer.line(), acknowledged("s", 1));
    drop(huge.join().unwrap());
    let peak = writer.running.peak_memory_kib();
    assert!(peak < 100 << 10, "it needed {peak} KiB");
}

#[test]
fn the_end_of_stdin_does_not_end_the_serving() {
    let directory = LogDirectory::new();
    let mut writer = directory.serve(&HTTP);
    // The last line needs no line end.
    writer.feed(batch("s", 1).trim_end());
    writer.end_of_stdin();
    assert_eq!(writer.line(), acknowledged("s", 1));
    writer.running.stderr_until("stdin has ended");
    assert_eq!(writer.post(&batch("s", 2)), (200, acknowledged("s", 2)));
    writer.running.signal("TERM");
    let (status, _, stderr) = writer.running.end();
    assert_eq!(status.code(), Some(0), "{stderr:#?}");
    assert!(stderr.iter().any(|line| line.contains("stopped after 2 batches of 2 rows")));
}

#[test]
fn with_until_eof_a_file_is_appended_and_tokens_go_on_where_they_stopped() {
    let directory = LogDirectory::new();
    let log = directory.log();
    for life in 0..3usize {
        let (running, mut feed) =
            Running::start_fed(synrepl(&["serve", "--log", &log, "--until-eof"]));
        for number in 1..=100 {
            feed.write_all(batch("s", number).as_bytes()).unwrap();
        }
        drop(feed);
        let (status, stdout, stderr) = running.end();
        assert_eq!(status.code(), Some(0), "{stderr:#?}");
        let expected: Vec<_> =
            (1..=100).map(|token| acknowledged("s", life * 100 + token)).collect();
        assert_eq!(stdout, expected);
    }
}

#[test]
fn what_is_answered_at_a_stop_is_exactly_what_is_kept() {
    for signal in ["TERM", "INT"] {
        let directory = LogDirectory::new();
        let mut writer = directory.serve(&HTTP);
        let feeder = feed_until_gone(writer.take_feed());
        for _ in 0..100 {
            writer.line();
        }
        writer.running.signal(signal);
        let (status, rest, stderr) = writer.running.end();
        assert_eq!(status.code(), Some(0), "{signal}: {stderr:#?}");
        feeder.join().unwrap();
        let answered = 100 + rest.len();
        assert_eq!(rest.last(), Some(&acknowledged("s", answered)));
        let again = directory.serve(&HTTP);
        assert_eq!(again.rows("s").len(), answered, "{signal}");
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill_and_no_token_is_given_out_twice() {
    let directory = LogDirectory::new();
    let mut tokens = 0;
    for _ in 0..3 {
        let mut writer = directory.serve(&HTTP);
        let feeder = feed_until_gone(writer.take_feed());
        for _ in 0..50 {
            let line: Value = serde_json::from_str(&writer.line()).unwrap();
            let token = line["token"].as_i64().unwrap();
            assert!(token > tokens, "{token} comes after {tokens}");
            tokens = token;
        }
        writer.running.signal("KILL");
        let (_, rest, _) = writer.running.end();
        feeder.join().unwrap();
        if let Some(last) = rest.last() {
            let last: Value = serde_json::from_str(last).unwrap();
            tokens = last["token"].as_i64().unwrap();
        }
    }
    let rows = directory.serve(&HTTP).rows("s");
    assert!(i64::try_from(rows.len()).unwrap() >= tokens);
    let given: Vec<_> = rows.iter().map(|(token, _)| *token).collect();
    assert!(given.is_sorted_by(|a, b| a < b), "{given:?}");
}

#[test]
fn followers_over_redis_and_direct_tcp_of_every_kind_get_every_row() {
    let redis = RedisServer::start(&[]).unwrap();
    let url = redis.url();
    let directory = LogDirectory::new();
    let old = "127.0.0.1:0?dialect=1.12";
    let mut writer = directory.serve(&[
        "--http",
        "127.0.0.1:0",
        "--tcp",
        "127.0.0.1:0",
        "--tcp",
        old,
        "--redis",
        &url,
        "--server-name",
        "example.com",
        "--name",
        "w",
    ]);
    writer.running.stderr_until("connected");
    writer.feed(&(1..=3).map(|number| batch("s", number)).collect::<String>());
    for token in 1..=3 {
        assert_eq!(writer.line(), acknowledged("s", token));
    }
    let instance = format!("w=http://{}", writer.http());
    let common = ["--format", "json", "--start", "beginning"];
    let over_redis = ["--redis", &url, "--server-name", "example.com", "--instance", &instance];
    let over_tcp = ["--tcp", writer.tcp(0), "--instance", &instance];
    let over_old = ["--tcp", writer.tcp(1), "--dialect", "1.12"];
    let followers: Vec<Running> = [&over_redis[..], &over_tcp, &over_old]
        .map(|flags| Running::start(synrepl(&[&["follow"], &common[..], flags].concat())))
        .into();
    for follower in &followers {
        follower.stdout_until(r#""type":"live","stream":"s""#);
    }
    writer.feed(&(4..=6).map(|number| batch("s", number)).collect::<String>());
    for follower in &followers {
        let lines = follower.stdout_until(r#"[["r6"]]"#);
        let live = lines.iter().filter(|line| line.contains(r#""origin":"live""#)).count();
        assert_eq!(live, 3, "{lines:#?}");
    }
    writer.running.signal("TERM");
    let (status, _, stderr) = writer.running.end();
    assert_eq!(status.code(), Some(0), "{stderr:#?}");
    assert_eq!(stderr.iter().filter(|line| line.contains("has connected")).count(), 2);
    assert!(stderr.iter().any(|line| line.contains("is gone")), "{stderr:#?}");
}

#[test]
fn what_is_appended_last_is_sent_before_the_connections_are_closed() {
    let directory = LogDirectory::new();
    let mut writer =
        directory.serve(&["--tcp", "127.0.0.1:0", "--server-name", "x", "--until-eof"]);
    writer.feed(&batch("s", 1));
    let follower = Running::start(synrepl(&["follow", "--tcp", writer.tcp(0), "--format", "json"]));
    follower.stdout_until(r#""type":"live""#);
    let text: String = (2..=5_000).map(|number| batch("s", number)).collect();
    writer.feed(&text);
    writer.end_of_stdin();
    let (status, stdout, stderr) = writer.running.end();
    assert_eq!(status.code(), Some(0), "{stderr:#?}");
    assert_eq!(stdout.len(), 5_000);
    follower.stdout_until(r#"[["r5000"]]"#);
}

#[test]
fn a_log_in_memory_starts_over() {
    let directory = LogDirectory::new();
    for _ in 0..2 {
        let mut writer = directory.serve_flags(&[&["--memory"], &HTTP[..]].concat());
        writer.feed(&batch("typing", 1));
        assert_eq!(writer.line(), acknowledged("typing", 1));
    }
}

#[test]
fn only_who_knows_the_secret_is_served_and_nobody_learns_it() {
    let directory = LogDirectory::new();
    let secret = directory.path("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let secret = secret.to_str().unwrap();
    let mut writer =
        directory.serve(&[&HTTP[..], &["--secret-file", secret, "-v", "--access-log"]].concat());
    assert_eq!(writer.post(&batch("s", 1)).0, 401);
    let with_secret = format!("POST /rows\r\nAuthorization: Bearer {SECRET}\r\n");
    assert_eq!(writer.ask(&with_secret, &batch("s", 1)), (200, acknowledged("s", 1)));
    let path = "GET /_synapse/replication/get_repl_stream_updates/s/x?from_token=0&upto_token=7";
    assert_eq!(writer.ask(path, "").0, 500);
    assert_eq!(writer.ask(&format!("{path}\r\nAuthorization: Bearer {SECRET}\r\n"), "").0, 200);
    writer.end_of_stdin();
    writer.running.signal("TERM");
    let (_, _, stderr) = writer.running.end();
    let said = stderr.join("\n");
    assert!(!said.contains(SECRET), "{said}");
    for expected in [
        "POST /rows 401",
        "POST /rows 200 rows=1",
        "get_repl_stream_updates/s/x 500",
        "get_repl_stream_updates/s/x 200 from_token=0 upto_token=7 rows=1 ms=",
    ] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
}

#[test]
fn when_nobody_reads_the_tokens_any_more_it_stops() {
    let directory = LogDirectory::new();
    let mut command = synrepl(&["serve", "--log", &directory.log(), "--http", "127.0.0.1:0"]);
    command.stdin(std::process::Stdio::piped());
    let (mut running, stdout) = Running::start_unread(command);
    drop(stdout);
    let mut feed = running.take_stdin();
    feed.write_all(batch("s", 1).as_bytes()).unwrap();
    assert_eq!(running.ended_within(LIMIT), Some(1));
}

#[test]
fn it_stops_by_itself_when_its_time_is_over() {
    let directory = LogDirectory::new();
    let ran = run(&["serve", "--log", &directory.log(), "--http", "127.0.0.1:0", "--for", "100ms"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("stopped after 0 batches"), "{}", ran.stderr);
}

#[test]
fn two_processes_do_not_write_one_log() {
    let directory = LogDirectory::new();
    let _writer = directory.serve(&HTTP);
    let ran = run(&["serve", "--log", &directory.log(), "--until-eof"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("--log "), "{}", ran.stderr);
}

#[test]
fn wrong_flags_are_refused_with_what_to_do() {
    let directory = LogDirectory::new();
    let log = directory.log();
    let file = directory.path("foreign");
    std::fs::write(&file, "no database").unwrap();
    let foreign = file.to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let log = log.as_str();
    for (flags, expected) in [
        (&["--http", "127.0.0.1:0"][..], "--log FILE is missing"),
        (&["--log", log], "add --http ADDR, --tcp ADDR or --redis URL"),
        (&["--log", log, "--memory"], "cannot be used with"),
        (&["--log", log, "--tcp", "127.0.0.1:0"], "--server-name NAME"),
        (&["--log", log, "--redis", "redis://127.0.0.1:1"], "--server-name NAME"),
        (&["--log", log, "--redis", "http://h", "--server-name", "x"], "redis://"),
        (&["--log", log, "--tcp", "127.0.0.1:0?release=1.12"], "dialect=RELEASE"),
        (&["--log", log, "--tcp", "127.0.0.1:0?dialect=9.9"], "write it as in `1.66.0`"),
        (&["--log", log, "--http", "nonsense"], "cannot listen there"),
        (&["--log", log, "--http", &taken], "cannot listen there"),
        (&["--log", foreign, "--http", "127.0.0.1:0"], "--log "),
        (&["--log", "/nowhere/rows.log", "--http", "127.0.0.1:0"], "--log /nowhere/rows.log"),
        (&["--log", log, "--http", "127.0.0.1:0", "--name", "a b"], "instance"),
        (&["--log", log, "--http", "127.0.0.1:0", "--keep-rows", "0"], "--keep-rows"),
        (&["--log", log, "--http", "127.0.0.1:0", "--ca-file", "/x"], "--ca-file"),
    ] {
        let ran = run(&[&["serve"], flags].concat());
        assert_eq!(ran.code, Some(2), "{flags:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{flags:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    let mut command = synrepl(&["serve", "--log", log, "--http", "127.0.0.1:0"]);
    command.env("SYNREPL_REPLICATION_SECRET", "");
    let ran = ran(command);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
}

#[test]
fn help_teaches_by_examples() {
    let help = run(&["serve", "--help"]);
    assert_eq!(help.code, Some(0));
    for expected in [
        "--log <FILE>",
        "--memory",
        "--tcp <ADDR[?dialect=RELEASE]>",
        "--redis <URL>",
        "--http <ADDR>",
        "--until-eof",
        "SYNREPL_REPLICATION_SECRET",
        "stream_writers: { typing: [synrepl] }",
        r#"{"stream":"typing","token":1}"#,
        "curl -d",
        "Exit codes:",
    ] {
        assert!(help.stdout.contains(expected), "{expected} in {}", help.stdout);
    }
}
