//! `synrepl follow` against a real redis-server and an HTTP listener with fixed pages: what goes to
//! stdout, stderr and files, and how it stops.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{ChildStdout, Stdio},
    sync::mpsc::channel,
    time::Duration,
};

use serde_json::Value;
use synrepl_tests::{
    deployment::refused,
    endpoint::{Answer, Endpoint},
    redis::RedisServer,
};

use super::program::{LIMIT, Running, ran, run, synrepl};

const SERVER: &str = "example.com";

/// Starts following, and waits for the connection.
fn follow(redis: &RedisServer, more: &[&str]) -> Running {
    let url = redis.url();
    let flags = ["follow", "--redis", &url, "--server-name", SERVER];
    let running = Running::start(synrepl(&[&flags[..], more].concat()));
    running.stdout_until("connected");
    running
}

fn publish(redis: &RedisServer, messages: &[&str]) {
    for message in messages {
        assert_eq!(redis.publish(SERVER, message).unwrap(), 1, "one subscriber");
    }
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The saved position of the one source; -1 if it has none yet.
fn saved_position(file: &Path) -> i64 {
    let saved = json(&fs::read_to_string(file).unwrap());
    saved["events"]["p1"].as_i64().unwrap_or(-1)
}

#[test]
fn what_is_published_comes_out_as_json_lines() {
    let redis = RedisServer::start(&[]).unwrap();
    let running = follow(&redis, &["--for", "2s"]);
    publish(
        &redis,
        &[
            "POSITION events p1 5 5",
            r#"RDATA events p1 batch ["ev", ["$a"]]"#,
            r#"RDATA events p1 7 ["ev",["$b"]]"#,
            "POSITION events p1 7 9",
            "REMOTE_SERVER_UP other.org",
        ],
    );
    let lines = running.stdout_until("REMOTE_SERVER_UP");
    let lines: Vec<&str> =
        lines.iter().map(String::as_str).filter(|line| !line.contains("REPLICATE")).collect();
    assert_eq!(
        lines,
        [
            r#"{"type":"live","stream":"events","instance":"p1","token":5}"#,
            r#"{"type":"rows","stream":"events","instance":"p1","token":7,"rows":[["ev", ["$a"]],["ev",["$b"]]],"origin":"live","position":7}"#,
            r#"{"type":"position","stream":"events","instance":"p1","token":9}"#,
            r#"{"type":"command","command":"REMOTE_SERVER_UP","server":"other.org"}"#,
        ]
    );
    let (status, rest, stderr) = running.end();
    assert_eq!(status.code(), Some(0), "{stderr:#?}");
    assert_eq!(json(rest.last().unwrap())["type"], "disconnected");
    assert_eq!(json(rest.last().unwrap())["retrying"], false);
}

#[test]
fn text_is_one_line_per_event_without_colour() {
    let redis = RedisServer::start(&[]).unwrap();
    let running = follow(&redis, &["--format", "text"]);
    publish(&redis, &["POSITION events p1 5 5", r#"RDATA events p1 6 ["ev",["$a"]]"#]);
    let lines = running.stdout_until("$a");
    let line = lines.last().unwrap();
    assert!(
        line.contains(r#"events                 p1                   6  1 row   ["ev",["$a"]]"#),
        "{line}"
    );
    assert!(lines.iter().all(|line| !line.contains('\u{1b}')), "{lines:#?}");
    running.signal("TERM");
    assert_eq!(running.end().0.code(), Some(0));
}

#[test]
fn sigterm_sighup_and_ctrl_c_save_positions_and_end_well() {
    let redis = RedisServer::start(&[]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for (signal, token) in [("TERM", 6), ("INT", 7), ("HUP", 8)] {
        let path = directory.path().join(signal);
        let running = follow(&redis, &["--positions", path.to_str().unwrap()]);
        publish(&redis, &["POSITION events p1 5 5"]);
        publish(&redis, &[&format!("RDATA events p1 {token} []")]);
        running.stdout_until("\"rows\"");
        running.signal(signal);
        let (status, _, stderr) = running.end();
        assert_eq!(status.code(), Some(0), "{stderr:#?}");
        assert_eq!(saved_position(&path), token);
    }
}

#[test]
fn positions_follow_what_the_reader_acknowledges() {
    let redis = RedisServer::start(&[]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("positions");
    let url = redis.url();
    let (running, mut feed) = Running::start_fed(synrepl(&[
        "follow",
        "--redis",
        &url,
        "--server-name",
        SERVER,
        "--acknowledge",
        "--positions",
        path.to_str().unwrap(),
    ]));
    running.stdout_until("connected");
    publish(&redis, &["POSITION events p1 5 5"]);
    for token in 6..=8 {
        publish(&redis, &[&format!("RDATA events p1 {token} []")]);
    }
    let lines = running.stdout_until("\"token\":8");
    let seventh = lines.iter().find(|line| line.contains("\"token\":7")).unwrap();
    assert!(json(seventh)["seq"].is_u64(), "{seventh}");
    writeln!(feed, "{seventh}").unwrap();
    while saved_position(&path) != 7 {
        std::thread::yield_now();
    }
    drop(feed);
    let (status, _, stderr) = running.end();
    assert_eq!(status.code(), Some(1), "{stderr:#?}");
    assert!(stderr.iter().any(|line| line.contains("closed stdin")), "{stderr:#?}");
    assert_eq!(saved_position(&path), 7);
}

#[test]
fn a_reader_that_goes_away_is_a_failure_and_positions_do_not_run_ahead() {
    let redis = RedisServer::start(&[]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("positions");
    let url = redis.url();
    let flags = ["follow", "--redis", &url, "--server-name", SERVER, "--positions"];
    let command = synrepl(&[&flags[..], &[path.to_str().unwrap()]].concat());
    let (running, stdout) = Running::start_unread(command);
    let told = running.stderr_until("--acknowledge");
    assert!(told.last().unwrap().contains("its reader has not handled"), "{told:#?}");
    running.stderr_until("connected");
    drop(stdout);
    // It may have found that out already, at the line of its own REPLICATE.
    redis.publish(SERVER, "POSITION events p1 5 5").unwrap();
    let (status, _, stderr) = running.end();
    assert_eq!(status.code(), Some(1), "{stderr:#?}");
    assert!(stderr.iter().any(|line| line.contains("the reader of stdout is gone")));
    assert_eq!(fs::read_to_string(&path).unwrap(), "{}\n");
}

#[test]
fn a_second_process_with_the_same_positions_is_refused() {
    let redis = RedisServer::start(&[]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("positions");
    let path = path.to_str().unwrap();
    let _first = follow(&redis, &["--positions", path]);
    let url = redis.url();
    let second = run(&["follow", "--redis", &url, "--server-name", SERVER, "--positions", path]);
    assert_eq!(second.code, Some(2), "{}", second.stderr);
    assert!(second.stderr.contains("process ") && second.stderr.contains("uses it"));
}

#[test]
fn a_resumed_run_fetches_what_it_missed_with_the_secret() {
    let redis = RedisServer::start(&[]).unwrap();
    let page =
        r#"{"updates":[[6,["ev",["$a"]]],[7,["ev",["$b"]]]],"upto_token":8,"limited":false}"#;
    let (asked, requests) = channel();
    let writer = Endpoint::open(move |request| {
        asked.send(request.clone()).unwrap();
        Answer::Page(page.to_owned())
    })
    .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (positions, secret, trace) = (path("positions"), path("secret"), path("trace"));
    fs::write(&positions, "{\"events\":{\"p1\":5}}").unwrap();
    fs::write(&secret, "hunter2\n").unwrap();
    let instance = format!("p1={}", writer.url());
    let flags = ["--positions", &positions, "--secret-file", &secret, "--record", &trace];
    let running = follow(&redis, &[&flags[..], &["--instance", &instance]].concat());
    publish(&redis, &["POSITION events p1 8 8"]);
    let request = requests.recv_timeout(LIMIT).unwrap();
    assert_eq!((request.stream.as_str(), request.from, request.upto), ("events", 5, 8));
    assert_eq!(request.authorization.as_deref(), Some("Bearer hunter2"));
    let lines = running.stdout_until("\"live\"");
    let rows: Vec<Value> =
        lines.iter().map(|line| json(line)).filter(|line| line["type"] == "rows").collect();
    assert_eq!(rows.len(), 2, "{lines:#?}");
    assert!(rows.iter().all(|line| line["origin"] == "catch_up"), "{lines:#?}");
    running.signal("TERM");
    let (status, _, stderr) = running.end();
    assert_eq!(status.code(), Some(0), "{stderr:#?}");
    assert!(stderr.iter().any(|line| line.contains("resuming 1 sources")), "{stderr:#?}");
    assert_eq!(saved_position(positions.as_ref()), 8);
    assert!(!fs::read_to_string(&trace).unwrap().contains("hunter2"));
    let replayed = run(&["replay", "--format", "text", &trace]);
    assert_eq!(replayed.code, Some(0), "{}", replayed.stdout);
    assert!(!replayed.stdout.contains("ends"), "{}", replayed.stdout);
}

#[test]
fn missed_rows_without_an_address_are_a_gap_that_names_the_flag() {
    let redis = RedisServer::start(&[]).unwrap();
    let running = follow(&redis, &[]);
    publish(&redis, &["POSITION events p1 5 5", "POSITION events p1 7 9"]);
    let lines = running.stdout_until("\"gap\"");
    assert_eq!(
        lines.last().unwrap(),
        r#"{"type":"gap","stream":"events","instance":"p1","from":5,"upto":9,"reason":"no_endpoint"}"#
    );
    running.stderr_until("pass --instance p1=http://HOST:PORT");
}

#[test]
fn a_refused_fetch_points_at_the_secret() {
    let redis = RedisServer::start(&[]).unwrap();
    let writer = Endpoint::open(|_| refused()).unwrap();
    let instance = format!("p1={}", writer.url());
    let running = follow(&redis, &["--instance", &instance]);
    publish(&redis, &["POSITION events p1 5 5", "POSITION events p1 7 9"]);
    let lines = running.stderr_until("could not be fetched");
    let line = lines.last().unwrap();
    assert!(line.contains("events/p1") && line.contains("pass --secret-file"), "{line}");
}

#[test]
fn a_wrong_server_name_is_pointed_at() {
    let redis = RedisServer::start(&[]).unwrap();
    let url = redis.url();
    let flags = ["follow", "--redis", &url, "--server-name", "wrong.example.com"];
    let running = Running::start(synrepl(&flags));
    let lines = running.stderr_until("nothing was received");
    let line = lines.last().unwrap();
    assert!(line.contains("for 10 s after connecting to channel wrong.example.com"), "{line}");
    assert!(line.contains("is --server-name right"), "{line}");
}

#[test]
fn an_unreachable_redis_is_said_and_tried_again() {
    let url = { RedisServer::start(&[]).unwrap().url() };
    let flags = ["follow", "--redis", &url, "--server-name", SERVER, "--for", "3s"];
    let ran = run(&flags);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("no connection:"), "{}", ran.stderr);
    assert!(ran.stderr.contains("next attempt in"), "{}", ran.stderr);
    let attempts = ran.stdout.lines().filter(|line| json(line)["type"] == "disconnected").count();
    assert!(attempts >= 2, "{}", ran.stdout);
}

#[test]
fn a_password_from_a_file_or_the_environment_opens_redis() {
    let redis = RedisServer::start(&["--requirepass", "p&w d"]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    fs::write(&file, "p&w d\n").unwrap();
    let url = redis.url();
    let flags = ["follow", "--redis", &url, "--server-name", SERVER];
    let file = ["--redis-password-file", file.to_str().unwrap()];
    Running::start(synrepl(&[&flags[..], &file].concat())).stdout_until("\"connected\"");

    let mut command = synrepl(&flags);
    command.env("SYNREPL_REDIS_PASSWORD", "p&w d");
    Running::start(command).stdout_until("\"connected\"");

    let mut command = synrepl(&[&flags[..], &["--for", "1s"]].concat());
    command.env("SYNREPL_REDIS_PASSWORD", "hunter2");
    let ran = ran(command);
    assert!(ran.stdout.contains("\"disconnected\""), "{}", ran.stdout);
    assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"), "{}", ran.stderr);
}

#[test]
fn user_ip_is_printed_on_request_without_its_token() {
    let redis = RedisServer::start(&[]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("run.trace");
    let trace = trace.to_str().unwrap();
    let running = follow(&redis, &["--user-ip", "--record", trace]);
    let message = r#"USER_IP @a:b ["syt_abc","127.0.0.1","agent","DEV",5]"#;
    assert_eq!(redis.publish("example.com/USER_IP", message).unwrap(), 1);
    let lines = running.stdout_until("USER_IP");
    assert!(lines.last().unwrap().contains("\"access_token\":\"<redacted>\""), "{lines:#?}");
    running.signal("TERM");
    assert_eq!(running.end().0.code(), Some(0));
    let text = fs::read_to_string(trace).unwrap();
    assert!(text.contains("UserIp") && !text.contains("syt_abc"), "{text}");
    assert_eq!(run(&["replay", trace]).code, Some(0));
}

#[test]
fn a_flood_of_malformed_messages_does_not_flood_stderr() {
    let redis = RedisServer::start(&[]).unwrap();
    let running = follow(&redis, &[]);
    publish(&redis, &vec!["GARBAGE"; 200]);
    publish(&redis, &["REMOTE_SERVER_UP other.org"]);
    running.stdout_until("REMOTE_SERVER_UP");
    running.signal("TERM");
    let (_, _, stderr) = running.end();
    let said = stderr.iter().filter(|line| line.contains("GARBAGE")).count();
    assert_eq!(said, 20, "{stderr:#?}");
    assert!(
        stderr.iter().any(|line| line.contains("... 180 more malformed messages")),
        "{stderr:#?}"
    );
}

/// Starts following with a stdout that nobody reads, and waits for the connection.
fn follow_unread(redis: &RedisServer) -> (Running, ChildStdout) {
    let flags = ["follow", "--redis", &redis.url(), "--server-name", SERVER];
    let (running, stdout) = Running::start_unread(synrepl(&flags));
    running.stderr_until("connected");
    (running, stdout)
}

#[test]
fn a_reader_that_leaves_ends_the_program() {
    let redis = RedisServer::start(&[]).unwrap();
    let (mut running, stdout) = follow_unread(&redis);
    drop(stdout);
    let code = (0..100).find_map(|_| {
        redis.publish(SERVER, "REMOTE_SERVER_UP other.org").unwrap();
        running.ended_within(Duration::from_millis(100))
    });
    assert_eq!(code, Some(1));
}

#[test]
fn a_second_ctrl_c_ends_a_program_that_hangs_on_its_reader() {
    let redis = RedisServer::start(&[]).unwrap();
    let (mut running, _unread) = follow_unread(&redis);
    let message = format!("REMOTE_SERVER_UP {}", "x".repeat(60_000));
    for _ in 0..20 {
        redis.publish(SERVER, &message).unwrap();
    }
    let code = (0..40).find_map(|_| {
        running.signal("INT");
        running.ended_within(Duration::from_millis(100))
    });
    assert_eq!(code, Some(130));
}

#[test]
fn a_reader_that_hangs_does_not_keep_the_program_from_stopping() {
    let redis = RedisServer::start(&[]).unwrap();
    let (mut running, _unread) = follow_unread(&redis);
    let message = format!("REMOTE_SERVER_UP {}", "x".repeat(60_000));
    for _ in 0..20 {
        redis.publish(SERVER, &message).unwrap();
    }
    running.signal("TERM");
    assert_eq!(running.ended_within(LIMIT), Some(1));
}

#[test]
fn a_trace_that_cannot_be_written_is_said_and_following_goes_on() {
    let redis = RedisServer::start(&[]).unwrap();
    let running = follow(&redis, &["--record", "/dev/full"]);
    running.stderr_until("--record: the trace cannot be written");
    publish(&redis, &["REMOTE_SERVER_UP other.org"]);
    running.stdout_until("REMOTE_SERVER_UP");
    running.signal("TERM");
    assert_eq!(running.end().0.code(), Some(1));
}

#[test]
fn a_stdout_that_cannot_be_written_to_is_a_failure() {
    let redis = RedisServer::start(&[]).unwrap();
    let url = redis.url();
    let mut command = synrepl(&["follow", "--redis", &url, "--server-name", SERVER]);
    command.stdout(fs::File::create("/dev/full").unwrap()).stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("stdout cannot be written to"), "{stderr}");
}
