//! The built `synrepl-sim` command, run as a process: its exit codes and its output.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails, also outside its own function")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// A bug that ordinary schedules catch.
const BUG: &str = "never_ticks";

fn sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_synrepl-sim")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn ended(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    text(&output.stdout)
}

fn lines(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A directory of its own for this test, empty.
fn place(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if place.exists() {
        std::fs::remove_dir_all(&place).unwrap();
    }
    place
}

/// Finds a seed that catches the bug and returns its line.
fn caught(out: &Path) -> Value {
    let out = out.to_str().unwrap();
    let run =
        sim(&["run", "--seeds", "0..400", "--bug", BUG, "--failures", "1", "--out", out, "--json"]);
    let said = lines(&ended(&run, 1));
    said.into_iter().find(|line| line["type"] == "violation").unwrap()
}

#[test]
fn seeds_that_keep_every_promise_end_with_code_0_and_a_summary() {
    let said = ended(&sim(&["run", "--seeds", "0..40"]), 0);
    assert!(said.starts_with("0 of 40 seeds (0..40) broke a promise"), "{said}");
    assert!(said.contains(" steps in "), "{said}");
}

#[test]
fn json_lines_tell_every_seed_and_the_sum() {
    let said = lines(&ended(&sim(&["run", "--seeds", "5..=9", "--mode", "swarm", "--json"]), 0));
    let (summary, runs) = said.split_last().unwrap();
    assert_eq!((summary["type"].as_str(), summary["seeds"].as_u64()), (Some("summary"), Some(5)));
    let mut seeds: Vec<_> = runs.iter().map(|run| run["seed"].as_u64().unwrap()).collect();
    seeds.sort_unstable();
    assert_eq!(seeds, [5, 6, 7, 8, 9]);
    assert!(runs.iter().all(|run| run["type"] == "run" && run["mode"] == "swarm"));
}

#[test]
fn a_planted_bug_is_found_replayed_shrunk_and_drawn() {
    let place = place("planted");
    let violation = caught(&place);
    let file = violation["scenario"].as_str().unwrap();
    assert!(violation["command"].as_str().unwrap().ends_with(&format!("{file} --bug {BUG}")));
    let page = std::fs::read_to_string(violation["page"].as_str().unwrap()).unwrap();
    assert!(page.contains("</html>") && page.contains(" broken</h1>"));

    let out = place.to_str().unwrap();
    let replay = ended(&sim(&["replay", file, "--bug", BUG, "--out", out]), 1);
    assert!(replay.contains("BROKEN") && replay.contains("all faults end"), "{replay}");
    let what = violation["what"].as_str().unwrap();
    assert!(replay.contains(what), "the same violation: {what}\n{replay}");
    ended(&sim(&["replay", file, "--out", out]), 0);

    let shrunk = lines(&ended(&sim(&["shrink", file, "--bug", BUG, "--out", out, "--json"]), 1));
    assert!(shrunk[0]["events_after"].as_u64().unwrap() <= 20, "{shrunk:?}");
    assert_eq!(shrunk[1]["promise"], violation["promise"]);
    let small = shrunk[1]["page"].as_str().unwrap();
    assert!(small.ends_with("-small.html") && Path::new(small).exists());
}

#[test]
fn no_more_failures_are_told_than_were_asked_for() {
    let place = place("failures");
    let out = place.to_str().unwrap();
    let args = ["run", "--seeds", "0..400", "--bug", BUG, "--failures", "2", "--out", out];
    let said = ended(&sim(&args), 1);
    assert_eq!(said.matches("\nreplay:  ").count(), 2, "{said}");
    assert!(said.contains("\n2 of "), "{said}");
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 4, "a scenario and a page each");
}

#[test]
fn a_broken_promise_is_told_also_where_nothing_can_be_written() {
    let place = place("unwritable");
    std::fs::create_dir_all(&place).unwrap();
    let file = place.join("a-file-and-no-directory");
    std::fs::write(&file, "").unwrap();
    let out = file.to_str().unwrap();
    let args = ["run", "--seeds", "0..400", "--bug", BUG, "--failures", "1", "--out", out];
    let said = ended(&sim(&args), 1);
    assert!(said.contains("BROKEN") && said.contains("cannot be written"), "{said}");
    let said = lines(&ended(&sim(&[&args[..], &["--json"]].concat()), 1));
    let violation = said.iter().find(|line| line["type"] == "violation").unwrap();
    assert!(violation["what"].is_string() && violation["scenario"].is_null(), "{violation}");
}

#[test]
fn a_kept_scenario_is_played_like_one_that_a_run_has_written() {
    let place = place("kept");
    let violation = caught(&place);
    let text = std::fs::read_to_string(violation["scenario"].as_str().unwrap()).unwrap();
    let scenario: Value = serde_json::from_str(&text).unwrap();
    let kept = place.join("kept.json");
    let file = serde_json::json!({"what": "", "planted": null, "scenario": scenario});
    std::fs::write(&kept, file.to_string()).unwrap();
    let (kept, out) = (kept.to_str().unwrap(), place.to_str().unwrap());
    let said = ended(&sim(&["replay", kept, "--bug", BUG, "--out", out]), 1);
    assert!(said.contains(violation["what"].as_str().unwrap()), "{said}");
}

#[test]
fn without_its_bug_there_is_nothing_to_shrink() {
    let place = place("nothing");
    let violation = caught(&place);
    let said = ended(&sim(&["shrink", violation["scenario"].as_str().unwrap()]), 0);
    assert!(said.contains("nothing to make smaller; if it needs a planted bug"), "{said}");
}

#[test]
fn the_reference_loses_rows_where_ours_does_not() {
    let mode = "rdata_before_position";
    let run = sim(&["run", "--seeds", "0..30", "--mode", mode, "--reference", "e3", "--json"]);
    let said = lines(&ended(&run, 0));
    let compared: Vec<_> = said.iter().filter(|line| line["type"] == "reference").collect();
    let sum = |field: &str| compared.iter().map(|line| line[field].as_u64().unwrap()).sum::<u64>();
    assert!(sum("lost") > 0, "{said:?}");
    assert_eq!(sum("ours_lost") + sum("ours_repeated") + sum("ours_mixed") + sum("ours_torn"), 0);
}

#[test]
fn the_table_of_bugs_says_in_how_many_scenarios_each_is_caught() {
    let run = sim(&["bugs", "--bug", BUG, "--engine", "logical", "--seeds", "0..100", "--json"]);
    let said = lines(&ended(&run, 0));
    let bug = said.iter().find(|line| line["type"] == "bug").unwrap();
    assert_eq!(bug["bug"], BUG);
    assert!(bug["caught_in"].as_u64().unwrap() > 0 && bug["played"] == 100, "{bug}");
}

#[test]
fn a_bug_that_survives_is_a_failure() {
    let said = ended(
        &sim(&["bugs", "--bug", "swallows_malformed", "--engine", "logical", "--seeds", "6..7"]),
        1,
    );
    assert!(
        said.contains("survived: swallows_malformed (logical)"),
        "a calm seed cannot show it: {said}"
    );
}

#[test]
fn runs_are_equal_here_and_in_another_process() {
    let said = ended(&sim(&["check-determinism", "--seeds", "0..24"]), 0);
    assert!(
        said.contains("24 seeds (0..24): equal twice in this process and in another"),
        "{said}"
    );
}

#[test]
fn the_whole_driver_is_played_on_the_turmoil_level() {
    let run = sim(&["run", "--seeds", "4..6", "--level", "turmoil", "--json"]);
    let said = lines(&ended(&run, 0));
    assert_eq!(said.iter().filter(|line| line["type"] == "run").count(), 2);
    let check = sim(&["check-determinism", "--seeds", "4..6", "--level", "turmoil"]);
    assert!(ended(&check, 0).contains("equal twice in this process and in another"));
}

#[test]
fn wrong_flags_and_files_end_with_code_2_and_say_what_to_do() {
    let place = place("wrong");
    std::fs::create_dir_all(&place).unwrap();
    let file = place.join("not-a-scenario.json");
    std::fs::write(&file, "{}").unwrap();
    let mut scenario =
        serde_json::to_value(synrepl_sim::Scenario::draw(synrepl_sim::Mode::Calm, 1)).unwrap();
    scenario["from_the_future"] = true.into();
    let later = place.join("later.json");
    std::fs::write(&later, scenario.to_string()).unwrap();
    for (args, said) in [
        (&["run", "--seeds", "9..3"][..], "the first must be below the end"),
        (&["run", "--mode", "wild"], "there are mixed, calm, swarm, storm"),
        (&["run", "--reference", "e9"], "possible values: e1, e2, e3"),
        (&["run", "--bug", "Nonesuch"], "there is no planted bug"),
        (&["replay", "/nonexistent/file.json"], "cannot be read"),
        (&["run", "--seed", "18446744073709551615"], "is not in 0..18446744073709551615"),
        (&["replay", file.to_str().unwrap()], "is not a scenario"),
        (&["replay", later.to_str().unwrap()], "unknown field `from_the_future`"),
        (&[], "Usage"),
    ] {
        let output = sim(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert!(text(&output.stderr).contains(said), "{args:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn the_help_teaches() {
    let help = ended(&sim(&["--help"]), 0);
    for word in ["Examples:", "--reference e3", "check-determinism", "Exit codes:", "JSON lines"] {
        assert!(help.contains(word), "{word}\n{help}");
    }
    assert!(!help.contains("fingerprints "), "the other process is nobody's business");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_a_run_with_what_is_known() {
    use std::io::{BufRead as _, BufReader, Read as _};

    let mut child = Command::new(env!("CARGO_BIN_EXE_synrepl-sim"))
        .args(["run", "--seeds", "0..100000000", "--json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupted.unwrap().success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let summary = lines(&rest).pop().unwrap();
    assert_eq!(
        (summary["type"].as_str(), &summary["complete"]),
        (Some("summary"), &Value::Bool(false))
    );
    assert!(summary["seeds"].as_u64().unwrap() >= 1);
}
