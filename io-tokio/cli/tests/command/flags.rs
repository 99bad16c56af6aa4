//! The help of the command, and the refusal of wrong flags and files before anything is connected.

use std::fs;

use super::program::{ran, run, synrepl};

/// The flags that suffice; nothing listens at the address.
const ENOUGH: [&str; 5] =
    ["follow", "--redis", "redis://127.0.0.1:1", "--server-name", "example.com"];

fn refused(more: &[&str]) -> String {
    let ran = run(&[&ENOUGH[..], more].concat());
    assert_eq!(ran.code, Some(2), "{more:?}: {}", ran.stderr);
    assert_eq!(ran.stdout, "");
    ran.stderr
}

#[test]
fn help_teaches_flags_examples_and_exit_codes() {
    let help = run(&["follow", "--help"]);
    assert_eq!(help.code, Some(0));
    for expected in [
        "--redis <URL>",
        "--tcp <HOST:PORT>",
        "--dialect <RELEASE>",
        "--server-name <NAME>",
        "--instance <NAME=URL>",
        "--secret-file <FILE>",
        "SYNREPL_REPLICATION_SECRET",
        "--redis-password-file <FILE>",
        "--stream <NAME>",
        "--fetch-timeout <DURATION>",
        "[default: 30s]",
        "--start <WHERE>",
        "[default: now]",
        "--positions <FILE>",
        "--observe-only",
        "--audit <PERIOD>",
        "--user-ip",
        "--record <FILE>",
        "--for <DURATION>",
        "--name <INSTANCE>",
        "--format <FORMAT>",
        "synrepl follow --redis redis://127.0.0.1:6379 --server-name example.com --observe-only",
        "synrepl follow --tcp 127.0.0.1:9092 --dialect 1.12",
        "catching_up",
        "Exit codes:",
        "130",
    ] {
        assert!(help.stdout.contains(expected), "{expected} in {}", help.stdout);
    }
    let help = run(&["--help"]);
    assert!(help.stdout.contains("follow") && help.stdout.contains("replay"), "{}", help.stdout);
}

#[test]
fn help_never_shows_a_secret_of_the_environment() {
    let mut command = synrepl(&["follow", "--help"]);
    command.env("SYNREPL_REPLICATION_SECRET", "hunter2").env("SYNREPL_REDIS_PASSWORD", "hunter2");
    assert!(!ran(command).stdout.contains("hunter2"));
}

#[test]
fn missing_flags_are_named() {
    let ran = run(&["follow", "--server-name", "example.com"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("--redis <URL>"), "{}", ran.stderr);
}

#[test]
fn wrong_flags_are_refused_with_what_to_do() {
    for (flags, expected) in [
        (&["--instance", "http://127.0.0.1:1"][..], "write NAME=URL"),
        (&["--instance", "p1=ftp://x"], "http://HOST"),
        (&["--instance", "p1=http://x", "--instance", "p1=http://y"], "given twice"),
        (&["--instance", "p1=http://x", "--instance", "p2=http://x"], "the URL of --instance p1"),
        (&["--instance", "main=http://x"], "--instance master=URL"),
        (&["--fetch-timeout", "0s"], "from 1s to 1h"),
        (&["--fetch-timeout", "2h"], "from 1s to 1h"),
        (&["--for", "10"], "90s"),
        (&["--start", "yesterday"], "beginning"),
        (&["--start", "beginning"], "--instance NAME=URL"),
        (&["--audit", "1m"], "--instance NAME=URL"),
        (&["--audit", "10ms", "--instance", "master=http://127.0.0.1:1"], "write 1s or more"),
        (&["--name", "a b"], "instance"),
        (&["--name", ""], "instance"),
        (&["--format", "xml"], "json"),
        (&["--ca-file", "/ca.pem"], "rediss://"),
        (&["-q", "-v"], "cannot be used with"),
        (&["--record", "/nowhere/run.trace"], "cannot be created"),
        (&["--no-such-flag"], "--help"),
    ] {
        let stderr = refused(flags);
        assert!(stderr.contains(expected), "{flags:?}: {stderr}");
    }
}

#[test]
fn what_cannot_work_with_a_server_before_1_13_is_refused() {
    for (flags, expected) in [
        (&["--observe-only"][..], "do not subscribe"),
        (&["--audit", "1m"], "nothing to compare with"),
        (&["--instance", "master=http://127.0.0.1:1"], "sends missed rows over --tcp itself"),
    ] {
        for dialect in ["1.0", "1.12.4"] {
            let all = ["follow", "--tcp", "127.0.0.1:1", "--dialect", dialect];
            let ran = run(&[&all[..], flags].concat());
            assert_eq!(ran.code, Some(2), "{flags:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(expected), "{flags:?}: {}", ran.stderr);
        }
    }
}

#[test]
fn a_bad_address_of_a_direct_tcp_listener_is_refused() {
    for address in ["127.0.0.1", "http://127.0.0.1:9092", ":9092", "127.0.0.1:0x1"] {
        let ran = run(&["follow", "--tcp", address]);
        assert_eq!(ran.code, Some(2), "{address}: {}", ran.stderr);
        assert!(ran.stderr.contains("--tcp"), "{address}: {}", ran.stderr);
        assert!(ran.stderr.contains("HOST:PORT"), "{address}: {}", ran.stderr);
    }
}

#[test]
fn a_bad_redis_address_is_refused_without_its_password() {
    for url in ["http://:hunter2@127.0.0.1", "redis://:hunter2@", "redis://u:hunter2@h:0"] {
        let ran = run(&["follow", "--redis", url, "--server-name", "example.com"]);
        assert_eq!(ran.code, Some(2), "{url}: {}", ran.stderr);
        assert!(ran.stderr.contains("redis://"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
}

#[test]
fn a_bad_server_name_is_refused() {
    let ran = run(&["follow", "--redis", "redis://127.0.0.1:1", "--server-name", "a b"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("server name"), "{}", ran.stderr);
}

#[test]
fn a_bad_positions_file_is_refused_with_line_and_column() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("positions.json");
    fs::write(&path, "{\"events\": {\"p1\": 1},\n\"caches\": 5}").unwrap();
    let stderr = refused(&["--positions", path.to_str().unwrap()]);
    assert!(stderr.contains("line 2 column"), "{stderr}");
    assert!(stderr.contains("move it away"), "{stderr}");
}

#[test]
fn a_stream_that_stands_twice_in_a_positions_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("positions.json");
    fs::write(&path, r#"{"events":{"p1":1},"events":{"p2":2}}"#).unwrap();
    let stderr = refused(&["--positions", path.to_str().unwrap()]);
    assert!(stderr.contains("the stream \"events\" stands there twice"), "{stderr}");
}

#[test]
fn a_directory_that_cannot_be_written_to_is_found_out_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").join("positions.json");
    let stderr = refused(&["--positions", path.to_str().unwrap()]);
    assert!(stderr.contains("must exist and be writable"), "{stderr}");
}

#[test]
fn secrets_that_cannot_be_used_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    fs::write(&empty, "\n").unwrap();
    let empty = empty.to_str().unwrap();
    let missing = directory.path().join("missing");
    let missing = missing.to_str().unwrap();
    for flag in ["--secret-file", "--redis-password-file"] {
        let stderr = refused(&[flag, empty]);
        assert!(stderr.contains(flag) && stderr.contains("is empty"), "{stderr}");
        let stderr = refused(&[flag, missing]);
        assert!(stderr.contains(flag) && stderr.contains("cannot be read"), "{stderr}");
    }
    let mut command = synrepl(&ENOUGH);
    command.env("SYNREPL_REPLICATION_SECRET", "");
    let ran = ran(command);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("SYNREPL_REPLICATION_SECRET: is empty"), "{}", ran.stderr);
}
