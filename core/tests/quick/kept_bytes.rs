//! The bytes of rows that all sources together hold have a limit, however many sources there are
//! (promise F9).

use crate::bench::Bench;
use synrepl_core::{Action, Config, Event, Warning};

/// A node on a bus that may keep so many bytes.
fn node(kept_bytes_total_max: u64) -> Bench {
    let mut config = Config::default();
    config.limits.kept_bytes_total_max = kept_bytes_total_max;
    // Looks at addresses would pass for fetches of rows.
    config.continuity.continuity = false;
    Bench::connected(config)
}

/// What one entry costs, with the queue that it is the first of and without its text.
const BATCH: u64 = 128 + 48;
const BURST: u64 = 288 + 40;
const REPEATS: u64 = 224 + 56;

fn overflows(actions: &[Action]) -> bool {
    actions.iter().any(|action| {
        matches!(action, Action::Notify(Event::Warning(Warning::BatchOverflow { .. })))
    })
}

fn fetches(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Fetch { .. }))
}

fn rows(actions: &[Action]) -> usize {
    let of = |action: &Action| {
        if let Action::Notify(Event::Rows { rows, .. }) = action { rows.len() } else { 0 }
    };
    actions.iter().map(of).sum()
}

#[test]
fn open_batches_of_all_sources_share_one_allowance_and_give_it_back() {
    let mut node = node(3 * (BATCH + 10));
    let row = r#"["123456"]"#;
    assert_eq!(row.len(), 10);
    for writer in ["a", "b", "c"] {
        node.hear(&format!("POSITION events {writer} 1 1"));
        assert!(!overflows(&node.hear(&format!("RDATA events {writer} batch {row}"))));
    }
    node.hear("POSITION events d 1 1");
    assert!(overflows(&node.hear(&format!("RDATA events d batch {row}"))));
    // Its rows are not lost: they are fetched.
    assert!(fetches(&node.hear(&format!("RDATA events d 2 {row}"))));
    // Whole, and nobody else's business.
    assert_eq!(rows(&node.hear(&format!("RDATA events a 2 {row}"))), 2);
    assert!(!overflows(&node.hear(&format!("RDATA events b batch {row}"))));
}

#[test]
fn an_open_burst_that_takes_too_much_of_the_allowance_is_fetched() {
    let mut node = node(BURST + 30);
    let row = r#"["1234567890123456"]"#;
    for writer in ["a", "b"] {
        node.hear(&format!("POSITION backfill {writer} 1 1"));
    }
    let first = node.hear(&format!("RDATA backfill a 9 {row}"));
    assert_eq!((rows(&first), fetches(&first)), (1, false));
    // Not delivered: it comes with the page, and nothing would tell it from a new one then.
    let second = node.hear(&format!("RDATA backfill a 8 {row}"));
    assert_eq!((rows(&second), fetches(&second)), (0, true), "there is no room for two");
    let third = node.hear(&format!("RDATA backfill b 9 {row}"));
    assert_eq!((rows(&third), fetches(&third)), (0, true), "nor for those of another");
}

#[test]
fn an_open_burst_that_takes_just_what_is_left_is_not_fetched() {
    let row = r#"["1234567890123456"]"#;
    let mut node = node(BURST + row.len() as u64);
    node.hear("POSITION backfill a 1 1");
    assert!(!fetches(&node.hear(&format!("RDATA backfill a 9 {row}"))));
    assert!(fetches(&node.hear("RDATA backfill a 8 [1]")));
}

#[test]
fn repeats_are_known_as_long_as_there_is_room_for_all() {
    let mut node = node(REPEATS + 10);
    for writer in ["a", "b"] {
        node.hear(&format!("POSITION caches {writer} 1 1"));
    }
    let mut say = |writer, row| rows(&node.hear(&format!("RDATA caches {writer} 2 {row}")));
    assert_eq!(say("a", r#"["12345678"]"#), 1);
    assert_eq!(say("a", r#"["12345678"]"#), 0, "a repeat");
    assert_eq!(say("b", "[1]"), 1);
    assert_eq!(say("b", "[1]"), 1, "nothing more is remembered");
}

#[test]
fn repeats_are_known_while_all_keep_just_what_they_may() {
    let row = r#"["12345678"]"#;
    let mut node = node(REPEATS + row.len() as u64);
    for writer in ["a", "b"] {
        node.hear(&format!("POSITION caches {writer} 1 1"));
    }
    node.hear(&format!("RDATA caches a 2 {row}"));
    assert_eq!(rows(&node.hear("RDATA caches b 2 [1]")), 1);
    assert_eq!(rows(&node.hear("RDATA caches b 2 [1]")), 0, "a repeat");
}
