//! `synrepl demo`, as the README's first command runs it: its faults take effect, nothing is lost,
//! and an interrupted run shows no result.

use serde_json::Value;

use super::program::{Running, run, synrepl};

#[test]
fn the_demonstration_breaks_everything_and_loses_nothing() {
    let ran = run(&["demo", "--json"]);
    let table: Value = serde_json::from_str(&ran.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", ran.stdout, ran.stderr));
    assert_eq!(ran.code, Some(0), "{table:#} {}", ran.stderr);
    let number = |key: &str| table[key].as_u64().unwrap_or_else(|| panic!("no {key}: {table:#}"));
    assert_eq!((number("lost"), number("repeated")), (0, 0), "{table:#}");
    assert!(number("written") > 10_000, "{table:#}");
    assert_eq!(number("delivered"), number("written"), "{table:#}");
    assert_eq!(number("faults"), 7, "{table:#}");
    for follower in table["followers"].as_array().unwrap() {
        assert!(follower["cut"].as_u64() > Some(0), "nothing was cut: {table:#}");
    }
    // On the bus the writer sends again what was lost with a connection, so there may be nothing to
    // fetch there; the sum over both followers counts.
    assert!(number("fetched") > 0, "the faults had no effect: {table:#}");
    for told in ["the writer is killed", "messages were lost", "the third peer was cut off"] {
        assert!(ran.stderr.contains(told), "{told:?} is not in the account: {}", ran.stderr);
    }
}

#[test]
fn an_interrupted_demonstration_says_so_and_shows_no_result() {
    let demo = Running::start(synrepl(&["demo"]));
    demo.stdout_until("everything on loopback");
    demo.signal("INT");
    let (status, stdout, stderr) = demo.end();
    assert_eq!(status.code(), Some(130), "{stderr:?}");
    assert!(stderr.iter().any(|line| line.contains("interrupted")), "{stderr:?}");
    assert!(!stdout.iter().any(|line| line.contains("Nothing was lost")), "{stdout:?}");
}
