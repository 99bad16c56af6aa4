//! The properties that hold in every run.

use super::run::run;

#[test]
fn every_row_arrives_once_and_in_order_whatever_the_network_does() {
    let mut events = Vec::new();
    for seed in 1..=4 {
        let ran = run(seed);
        for writer in &ran.writers {
            for (stream, batches) in writer.log() {
                assert!(batches.len() > 100, "{stream} of {}: {}", writer.name(), batches.len());
                let heard = ran.heard.rows(stream, writer.name());
                let first = heard.iter().zip(&batches).find(|(heard, written)| heard != written);
                assert_eq!(first, None, "seed {seed}, {stream} of {}", writer.name());
                assert_eq!(heard.len(), batches.len(), "seed {seed}, {stream}");
            }
        }
        events.extend(ran.heard.events());
    }
    // Every kind of fault has left its sign in the events.
    for sign in [
        "ping timeout: nothing came on the",
        "within 2s: it did not take the connection",
        "Redis closed the",
        "FetchFailed",
        "origin: CatchUp",
        "origin: Live",
    ] {
        assert!(events.iter().any(|event| event.contains(sign)), "no run shows {sign:?}");
    }
    for wrong in ["Gap", "Reset", "Malformed", "DuplicateInstance"] {
        let found = events.iter().find(|event| event.contains(wrong));
        assert_eq!(found, None);
    }
}

#[test]
fn the_same_seed_gives_the_same_events_at_the_same_times() {
    let mut runs = Vec::new();
    for seed in 11..=12 {
        let (first, second) = (run(seed).heard.events(), run(seed).heard.events());
        let different = first.iter().zip(&second).position(|(first, second)| first != second);
        let at = different.map(|index| (&first[index], &second[index]));
        assert_eq!(at, None, "seed {seed}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
        runs.push(first);
    }
    // Another seed gives another run.
    assert!(runs[0] != runs[1]);
}
