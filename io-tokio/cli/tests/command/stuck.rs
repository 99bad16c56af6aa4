//! What the command writes to may stand still or be full: a stderr and a trace that nobody takes, a
//! stdout on a full disk, a terminal that belongs to another job.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
};

use serde_json::Value;
use synrepl_tests::{clock::Stopwatch, redis::RedisServer};

use super::{
    program::{LIMIT, Running, synrepl},
    writer::LogDirectory,
};

/// Waits for the end of a process; kills it if that does not come.
fn ended(mut child: Child) -> ExitStatus {
    let id = child.id().to_string();
    let (sender, receiver) = channel();
    let waiting = thread::spawn(move || {
        let status = child.wait().unwrap();
        let _ = sender.send(());
        status
    });
    if receiver.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
        Command::new("kill").args(["-s", "KILL", &id]).status().unwrap();
        waiting.join().unwrap();
        panic!("it did not end in time");
    }
    waiting.join().unwrap()
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

/// Waits until the command has written its addresses, and returns that of HTTP.
fn http_address(path: &std::path::Path) -> String {
    let text = read_once(path, |_| true);
    let addresses: Value = serde_json::from_str(&text).unwrap();
    addresses["http"].as_str().unwrap().to_owned()
}

/// Returns the text of a file that another process writes, once it is there and as wanted; or what
/// there is when the time is over.
fn read_once(path: &std::path::Path, is_wanted: impl Fn(&str) -> bool) -> String {
    let begun = Stopwatch::start();
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if is_wanted(&text) || begun.elapsed() > LIMIT => return text,
            Err(error) if begun.elapsed() > LIMIT => panic!("{}: {error}", path.display()),
            Ok(_) | Err(_) => thread::yield_now(),
        }
    }
}

#[test]
fn a_stderr_that_nobody_reads_neither_stops_serving_nor_the_stop() {
    let directory = LogDirectory::new();
    let addresses = directory.path("addresses");
    let mut command = synrepl(&["serve", "--log", &directory.log(), "--http", "127.0.0.1:0"]);
    command.args(["--access-log", "--addresses-file"]).arg(&addresses);
    // The reading end stays open, and unread.
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut unread = child.stderr.take().unwrap();
    let mut stream = BufReader::new(TcpStream::connect(http_address(&addresses)).unwrap());
    stream.get_ref().set_read_timeout(Some(LIMIT)).unwrap();
    // The lines of these have three times as many bytes as pipe and queue hold.
    for number in 0..12_000 {
        let request = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        let mut length = None;
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).unwrap_or_else(|error| panic!("{number}: {error}"));
            if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().ok();
            }
        }
        stream.read_exact(&mut vec![0; length.unwrap()]).unwrap();
    }
    signal(&child, "TERM");
    // The exit code tells that all was served; the last lines are not waited for.
    assert_eq!(ended(child).code(), Some(0));
    let mut said = String::new();
    unread.read_to_string(&mut said).unwrap();
    assert!(said.len() > 10_000, "{}", said.len());
}

#[cfg(unix)]
#[test]
fn a_trace_that_nobody_takes_does_not_stop_following_or_the_stop() {
    let redis = RedisServer::start(&[]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    assert!(Command::new("mkfifo").arg(&trace).status().unwrap().success());
    let url = redis.url();
    let mut command = synrepl(&["follow", "--redis", &url, "--server-name", "example.com"]);
    command.arg("--record").arg(&trace);
    // Opening the pipe waits for this reader, which reads nothing.
    let reader = thread::spawn(move || File::open(trace).unwrap());
    let running = Running::start(command);
    let _unread = reader.join().unwrap();
    running.stdout_until("connected");
    redis.publish("example.com", "POSITION events p1 0 0").unwrap();
    let row = "x".repeat(1_000);
    // Far more than the pipe holds.
    for token in 1..=500 {
        redis.publish("example.com", &format!("RDATA events p1 {token} [\"{row}\"]")).unwrap();
    }
    running.stdout_until("\"token\":500");
    running.signal("TERM");
    let (status, _, stderr) = running.end();
    assert_eq!(status.code(), Some(1), "{stderr:#?}");
    assert!(stderr.iter().any(|line| line.contains("its end is missing")), "{stderr:#?}");
}

/// The command in a shell in which no file may have more than so many kilobytes, as on a full disk.
#[cfg(unix)]
fn with_full_disk(kilobytes: u32, command: &Command) -> Command {
    let mut shell = Command::new("bash");
    let limited = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$0\" \"$@\"");
    shell.arg("-c").arg(limited).arg(command.get_program()).args(command.get_args());
    shell
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_no_half_line_on_stdout() {
    let redis = RedisServer::start(&[]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.jsonl");
    std::fs::write(&path, "{\"before\":1}\n").unwrap();
    let url = redis.url();
    let command = synrepl(&["follow", "--redis", &url, "--server-name", "example.com"]);
    let mut command = with_full_disk(8, &command);
    let out = File::options().append(true).open(&path).unwrap();
    let mut child = command.stdout(out).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(stderr.any(|line| line.contains("connected")));
    let said = thread::spawn(move || stderr.collect::<Vec<_>>());
    redis.publish("example.com", "POSITION events p1 0 0").unwrap();
    let row = "x".repeat(1_000);
    for token in 1..=20 {
        redis.publish("example.com", &format!("RDATA events p1 {token} [\"{row}\"]")).unwrap();
    }
    assert_eq!(ended(child).code(), Some(1));
    let said = said.join().unwrap();
    assert!(said.iter().any(|line| line.contains("stdout cannot be written to")), "{said:#?}");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("{\"before\":1}\n") && text.ends_with('\n'), "{text}");
    for line in text.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn until_eof_with_refused_lines_is_a_failure_that_names_the_first() {
    let directory = LogDirectory::new();
    let command = synrepl(&["serve", "--log", &directory.log(), "--until-eof"]);
    let (running, mut feed) = Running::start_fed(command);
    feed.write_all(b"{\"stream\":\"s\",\"rows\":[[1]]}\nnot json\n").unwrap();
    drop(feed);
    let (status, stdout, stderr) = running.end();
    assert_eq!(status.code(), Some(1), "{stderr:#?}");
    assert_eq!(stdout.len(), 2, "{stdout:#?}");
    let said = stderr.join("\n");
    assert!(said.contains("error: 1 lines of stdin are not in the log"), "{said}");
    assert!(said.contains("the first is: line 2: "), "{said}");
    assert!(said.contains("stopped after 1 batches of 1 rows, 1 refused"), "{said}");
}

#[cfg(unix)]
#[test]
fn until_eof_on_a_full_disk_is_a_failure_and_the_log_says_so() {
    let directory = LogDirectory::new();
    let command = synrepl(&["serve", "--log", &directory.log(), "--until-eof"]);
    let (running, mut feed) = Running::start_fed(with_full_disk(200, &command));
    for _ in 0..300 {
        let line = format!("{{\"stream\":\"s\",\"rows\":[[\"{}\"]]}}\n", "x".repeat(1_000));
        feed.write_all(line.as_bytes()).unwrap();
    }
    drop(feed);
    let (status, stdout, stderr) = running.end();
    assert_eq!(status.code(), Some(1), "{stderr:#?}");
    assert!(stdout.iter().any(|line| line.contains("\"error\"")));
    let said = stderr.join("\n");
    assert!(said.contains("lines of stdin are not in the log"), "{said}");
    assert!(said.contains("the log cannot be written"), "{said}");
    assert!(!said.contains(", 0 refused"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_job_in_the_background_of_a_terminal_serves_and_does_not_read_there() {
    let directory = LogDirectory::new();
    let addresses = directory.path("addresses");
    let stderr = directory.path("stderr");
    // A terminal whose shell puts the command into the background and stays in the foreground until
    // the test ends it. If the test fails before, the time ends the command.
    let inner = format!(
        "set -m; '{}' serve --log '{}' --http 127.0.0.1:0 --addresses-file '{}' --for 1m 2>'{}' & \
         read line; kill $!; wait $!",
        env!("CARGO_BIN_EXE_synrepl"),
        directory.log(),
        addresses.display(),
        stderr.display(),
    );
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &inner, "/dev/null"]).env("SHELL", "/bin/bash");
    let mut terminal =
        script.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut stream = TcpStream::connect(http_address(&addresses)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let told = "a terminal that belongs to another job";
    let said = read_once(&stderr, |said| said.contains(told));
    assert!(said.contains(told), "{said}");
    terminal.stdin.take().unwrap().write_all(b"done\n").unwrap();
    assert_eq!(ended(terminal).code(), Some(0));
}
