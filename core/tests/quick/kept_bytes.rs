//! The bytes of rows that all sources together hold have a limit, however many sources there are
//! (promise F9).

#![allow(clippy::unwrap_used, reason = "a test ends where it fails, also outside its own function")]

use synrepl_core::{
    Action, Config, ConnectionId, Event, Input, Node, Timestamp, Warning,
    wire::{Command, Decoder},
};

const CONN: ConnectionId = ConnectionId::new(1);

/// A node on a bus that may keep so many bytes.
fn node(kept_bytes_total_max: u64) -> Node {
    let mut config = Config::default();
    config.limits.kept_bytes_total_max = kept_bytes_total_max;
    let mut node = Node::new(config).unwrap();
    hand(&mut node, Input::Connected { conn: CONN });
    node
}

fn hand(node: &mut Node, input: Input) -> Vec<Action> {
    while node.poll_action().is_some() {}
    node.handle(Timestamp::ZERO, input).unwrap();
    std::iter::from_fn(|| node.poll_action()).collect()
}

fn hear(node: &mut Node, line: &str) -> Vec<Action> {
    let command: Command = Decoder::new().decode(&line.to_owned().into()).unwrap();
    hand(node, Input::Received { conn: CONN, command })
}

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
    let mut node = node(30);
    let row = r#"["123456"]"#;
    assert_eq!(row.len(), 10);
    for writer in ["a", "b", "c"] {
        hear(&mut node, &format!("POSITION events {writer} 1 1"));
        assert!(!overflows(&hear(&mut node, &format!("RDATA events {writer} batch {row}"))));
    }
    hear(&mut node, "POSITION events d 1 1");
    assert!(overflows(&hear(&mut node, &format!("RDATA events d batch {row}"))));
    // Its rows are not lost: they are fetched.
    assert!(fetches(&hear(&mut node, &format!("RDATA events d 2 {row}"))));
    // Whole, and nobody else's business.
    assert_eq!(rows(&hear(&mut node, &format!("RDATA events a 2 {row}"))), 2);
    assert!(!overflows(&hear(&mut node, &format!("RDATA events b batch {row}"))));
}

#[test]
fn an_open_burst_that_takes_too_much_of_the_allowance_is_fetched() {
    let mut node = node(30);
    let row = r#"["1234567890123456"]"#;
    for writer in ["a", "b"] {
        hear(&mut node, &format!("POSITION backfill {writer} 1 1"));
    }
    let first = hear(&mut node, &format!("RDATA backfill a 9 {row}"));
    assert_eq!((rows(&first), fetches(&first)), (1, false));
    let second = hear(&mut node, &format!("RDATA backfill a 8 {row}"));
    assert_eq!((rows(&second), fetches(&second)), (1, false), "20 of 30 bytes were kept");
    let third = hear(&mut node, &format!("RDATA backfill b 9 {row}"));
    assert_eq!((rows(&third), fetches(&third)), (1, true), "40 of 30 bytes were");
}

#[test]
fn an_open_burst_that_takes_just_what_is_left_is_not_fetched() {
    let row = r#"["1234567890123456"]"#;
    let mut node = node(row.len() as u64);
    hear(&mut node, "POSITION backfill a 1 1");
    assert!(!fetches(&hear(&mut node, &format!("RDATA backfill a 9 {row}"))));
    // What was kept before it is what counts, and that was all there may be.
    assert!(!fetches(&hear(&mut node, "RDATA backfill a 8 [1]")));
    assert!(fetches(&hear(&mut node, "RDATA backfill a 7 [1]")));
}

#[test]
fn repeats_are_known_as_long_as_there_is_room_for_all() {
    let mut node = node(10);
    for writer in ["a", "b"] {
        hear(&mut node, &format!("POSITION caches {writer} 1 1"));
    }
    let say =
        |node: &mut Node, writer, row| rows(&hear(node, &format!("RDATA caches {writer} 2 {row}")));
    assert_eq!(say(&mut node, "a", r#"["12345678"]"#), 1);
    assert_eq!(say(&mut node, "a", r#"["12345678"]"#), 0, "a repeat");
    assert_eq!(say(&mut node, "b", "[1]"), 1);
    assert_eq!(say(&mut node, "b", "[1]"), 1, "nothing more is remembered");
}

#[test]
fn repeats_are_known_while_all_keep_just_what_they_may() {
    let row = r#"["12345678"]"#;
    let mut node = node(row.len() as u64);
    for writer in ["a", "b"] {
        hear(&mut node, &format!("POSITION caches {writer} 1 1"));
    }
    hear(&mut node, &format!("RDATA caches a 2 {row}"));
    assert_eq!(rows(&hear(&mut node, "RDATA caches b 2 [1]")), 1);
    assert_eq!(rows(&hear(&mut node, "RDATA caches b 2 [1]")), 0, "a repeat");
}
