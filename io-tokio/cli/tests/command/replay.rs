//! `synrepl replay` on small traces that the test writes: what it prints and its exit codes.

use std::{fs, path::PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::program::{Ran, run};

const HEADER: &str = r#"{"synrepl_trace":1,"version":"0.1.0","config":{"instance":"watcher"}}"#;
/// The action that every node starts with.
const CONNECT: &str = r#"{"action":{"Connect":{"conn":1}}}"#;
const TICK: &str = r#"{"now":1000,"input":"Tick"}"#;

fn file(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn replay(format: &str, text: &str) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory, "run.trace", text);
    run(&["replay", path.to_str().unwrap(), "--format", format])
}

fn json(text: &str) -> (Option<i32>, Value) {
    let ran = replay("json", text);
    (ran.code, serde_json::from_str(&ran.stdout).unwrap())
}

#[test]
fn a_trace_that_agrees_is_the_same() {
    let text = format!("{HEADER}\n{CONNECT}\n{TICK}\n");
    let ran = replay("text", &text);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "same: 1 inputs, 1 actions\n"));
    let (code, value) = json(&text);
    assert_eq!(code, Some(0));
    assert_eq!(value["type"], "replay");
    assert_eq!(value["result"], "same");
    assert_eq!((&value["inputs"], &value["actions"]), (&1.into(), &1.into()));
}

#[test]
fn the_first_difference_is_shown() {
    let text = format!("{HEADER}\n{}\n{TICK}\n", CONNECT.replace('1', "7"));
    let ran = replay("text", &text);
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.stdout,
        "different: line 2, after 0 inputs\n  expected  {\"Connect\":{\"conn\":7}}\n  got       \
         {\"Connect\":{\"conn\":1}}\n"
    );
    let (code, value) = json(&text);
    assert_eq!(code, Some(1));
    assert_eq!((&value["result"], &value["line"]), (&"different".into(), &2.into()));
    assert_eq!(value["expected"]["Connect"]["conn"], 7);
    assert_eq!(value["got"]["Connect"]["conn"], 1);
}

#[test]
fn an_action_too_many_and_one_too_few_are_differences() {
    let (code, value) = json(&format!("{HEADER}\n{CONNECT}\n{CONNECT}\n"));
    assert_eq!((code, &value["line"], &value["got"]), (Some(1), &3.into(), &Value::Null));
    let (code, value) = json(&format!("{HEADER}\n{TICK}\n{CONNECT}\n"));
    assert_eq!((code, &value["line"], &value["expected"]), (Some(1), &2.into(), &Value::Null));
}

#[test]
fn a_cut_trace_is_the_same_and_says_where_it_is_cut() {
    let text = format!("{HEADER}\n{CONNECT}\n{}", &TICK[..12]);
    let ran = replay("text", &text);
    assert_eq!(ran.code, Some(0));
    assert_eq!(
        ran.stdout,
        "same: 0 inputs, 1 actions (ends inside line 3; everything before it agreed)\n"
    );
    assert_eq!(json(&text).1["ends_inside_line"], 3);
    let ran = replay("text", &format!("{HEADER}\n"));
    assert_eq!(ran.code, Some(0));
    assert_eq!(
        ran.stdout,
        "same: 0 inputs, 0 actions (ends before 1 action of its last input; everything before \
         it agreed)\n"
    );
}

#[test]
fn what_is_not_a_trace_cannot_be_read() {
    for (text, expected) in [
        ("", "the file is empty"),
        ("{\"type\":\"rows\"}\n", "--record"),
        ("\u{0}\u{1}", "--record"),
        ("{\"synrepl_trace\":9,\"config\":{}}\n", "format version 9"),
    ] {
        let ran = replay("text", text);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{text:?}");
        assert!(ran.stderr.contains(expected), "{text:?}: {}", ran.stderr);
        assert_eq!(json(text).1["result"], "unreadable");
    }
    let ran = run(&["replay", "/nowhere/run.trace"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("/nowhere/run.trace: cannot be opened"), "{}", ran.stderr);
}

#[test]
fn several_traces_are_told_one_by_one_and_the_worst_decides() {
    let directory = tempfile::tempdir().unwrap();
    let good = file(&directory, "good", &format!("{HEADER}\n{CONNECT}\n"));
    let bad = file(&directory, "bad", &format!("{HEADER}\n{TICK}\n"));
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    let ran = run(&["replay", "--format", "text", bad, good]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains(&format!("{good}: same: 0 inputs, 1 actions\n")), "{}", ran.stdout);
    assert!(ran.stdout.starts_with(&format!("{bad}: different: line 2")), "{}", ran.stdout);
}
