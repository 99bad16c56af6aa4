//! The properties that hold in every run.

use super::{run::run, writer::STREAMS};

#[test]
fn every_follower_gets_every_row_once_and_in_order_whatever_happens() {
    let mut events = Vec::new();
    for seed in 1..=3 {
        let ran = run(seed);
        for stream in STREAMS {
            let written = ran.writer.written(stream);
            assert!(written.len() > 100, "{stream}: {}", written.len());
            for (follower, heard) in ran.heard.iter().enumerate() {
                let heard = heard.rows(stream);
                let first = heard.iter().zip(&written).find(|(heard, written)| heard != written);
                assert_eq!(first, None, "seed {seed}, {stream} at follower {follower}");
                assert_eq!(heard.len(), written.len(), "seed {seed}, {stream} at {follower}");
            }
        }
        events.extend(ran.heard.iter().flat_map(|heard| heard.events()));
    }
    // Every kind of fault has left its sign in the events.
    for sign in [
        "the other side closed the connection",
        "ping timeout",
        "cannot connect",
        "the connection broke",
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
    let [first, second, other] = [11, 11, 12].map(|seed| run(seed).heard);
    for (first, second) in first.iter().zip(&second) {
        let (first, second) = (first.events(), second.events());
        let different = first.iter().zip(&second).position(|(first, second)| first != second);
        let at = different.map(|index| (&first[index], &second[index]));
        assert_eq!(at, None);
        assert_eq!(first.len(), second.len());
    }
    // Another seed gives another run.
    assert!(first[0].events() != other[0].events());
}
