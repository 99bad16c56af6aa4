//! Logs that cannot be read for a while: peers of the oldest dialect that wait for rows get them
//! once the log can be read again.

use crate::writer::{Writer, config};
use synrepl_core::{Config, Input, Transport, wire::Dialect};

const NOTHING: [&str; 0] = [];

#[test]
fn a_log_that_is_read_for_one_peer_again_is_read_for_all() {
    let mut writer = Writer::on_bus(config(&[("s", 3)]));
    for token in 1..=3 {
        writer.write("s", token, &["[]"]);
    }
    writer.holds_reads = true;
    for peer in [0, 1] {
        writer.accept(peer, Dialect::V0_23);
        writer.says(peer, "REPLICATE s 0");
    }
    // And for the bus.
    writer.append("s", 4, &["[]"]);
    writer.fail_next();
    let to_one = writer.answer_next();
    assert!(to_one.iter().any(|said| said.contains("RDATA s 3 []")), "{to_one:?}");
    writer.answer_next();
    let to_other = writer.answer_next();
    assert!(to_other.iter().any(|said| said.contains("RDATA s 3 []")), "{to_other:?}");
}

#[test]
fn a_log_that_is_tried_again_for_the_outlets_is_read_for_a_peer_once_that_went_well() {
    let mut writer = Writer::on_bus(config(&[("s", 0)]));
    writer.holds_reads = true;
    assert_eq!(writer.append("s", 1, &["[1]"]), ["read q1 s 0..1"]);
    writer.fail_next();
    writer.accept(0, Dialect::V0_23);
    assert_eq!(writer.wait(200), ["read q2 s 0..1"]);
    assert_eq!(writer.says(0, "REPLICATE s 0"), NOTHING, "one try is enough");
    assert_eq!(writer.answer_next(), ["c1< RDATA s me 1 [1]", "read q3 s 0..1"]);
    assert_eq!(writer.answer_next(), ["p0< RDATA s 1 [1]", "p0< POSITION s 1"]);
}

/// A log of three rows, and a peer of the oldest dialect that has asked for all of them.
fn asked(config: Config, rows: &[&str]) -> Writer {
    let mut writer = Writer::on_bus(config);
    for (token, row) in (1..).zip(rows) {
        writer.write("s", token, &[*row]);
    }
    writer.holds_reads = true;
    writer.accept(0, Dialect::V0_23);
    writer.takes(0, 2);
    assert_eq!(writer.says(0, "REPLICATE s 0"), ["read q1 s 0..3"]);
    writer
}

#[test]
fn a_peer_that_wants_to_start_from_now_after_all_is_not_sent_the_page_it_asked_for() {
    let mut writer = asked(config(&[("s", 3)]), &["[1]", "[2]", "[3]"]);
    assert_eq!(writer.says(0, "REPLICATE s NOW"), ["p0< POSITION s 3"]);
    assert_eq!(writer.answer_next(), NOTHING);
}

#[test]
fn a_peer_that_asks_for_a_row_that_is_too_long_gets_the_others() {
    let mut config = config(&[("s", 3)]);
    config.publish.row_bytes_max = 10;
    let mut writer = asked(config, &["[1]", "[\"too long for a line\"]", "[3]"]);
    let shown = ["p0< RDATA s 1 [1]", "too long: s 2", "p0< RDATA s 3 [3]", "p0< POSITION s 3"];
    assert_eq!(writer.answer_next(), shown);
}

#[test]
fn a_peer_that_cannot_take_what_it_asked_for_is_cut_off_inside_the_page() {
    let mut config = config(&[("s", 3)]);
    config.publish.peer_pending_bytes_max = 200;
    let row = format!("[\"{}\"]", "x".repeat(100));
    let mut writer = asked(config, &[row.as_str(); 3]);
    let shown = writer.answer_next();
    assert!(shown.contains(&"p0< ERROR Failed to keep up".to_owned()), "{shown:?}");
    assert_eq!(shown.iter().filter(|line| line.contains("RDATA")).count(), 1, "{shown:?}");
}

#[test]
fn a_shutdown_does_not_wait_for_a_log_that_cannot_be_read_for_a_peer() {
    let mut writer = asked(config(&[("s", 3)]), &["[1]", "[2]", "[3]"]);
    writer.append("s", 4, &["[4]"]);
    writer.handle(Input::Shutdown);
    let shown = writer.fail_next();
    assert!(!shown.iter().any(|line| line.contains("failed")), "{shown:?}");
}

#[test]
fn a_shutdown_without_a_bus_waits_for_the_page_that_is_on_its_way_to_a_peer() {
    let mut config = config(&[("s", 0)]);
    config.transport = Transport::None;
    let mut server = Writer::new(config);
    server.holds_reads = true;
    server.accept(0, Dialect::LATEST);
    assert_eq!(server.append("s", 1, &["[1]"]), ["read q1 s 0..1"]);
    assert_eq!(server.handle(Input::Shutdown), [""; 0]);
    assert_eq!(server.answer_next(), ["p0< RDATA s me 1 [1]", "close p0"]);
}

#[test]
fn a_log_that_could_not_be_read_for_a_peer_is_not_read_for_the_others_in_line_before_its_time() {
    let mut writer = asked(config(&[("s", 3), ("a", 0), ("b", 0), ("c", 0)]), &["[]"; 3]);
    for stream in ["a", "b", "c"] {
        assert_eq!(writer.append(stream, 1, &["[]"]).len(), 1, "its log is read");
    }
    assert_eq!(writer.append("s", 4, &["[]"]), [""; 0], "it waits in line");
    let shown = writer.fail_next();
    assert!(shown.len() == 1 && shown[0].starts_with("failed 1: "), "{shown:?}");
    let shown = writer.wait(1_000);
    assert!(shown.iter().any(|line| line.starts_with("read q5 s")), "{shown:?}");
}
