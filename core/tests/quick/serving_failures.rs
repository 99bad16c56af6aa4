//! Logs that cannot be read for a while: peers of the oldest dialect that wait for rows get them
//! once the log can be read again.

use crate::writer::{NEWEST, NOTHING, OLDEST, Writer, on_bus, on_bus_with, server, server_with};
use synrepl_core::{Config, Input, stream::Token};

#[test]
fn a_log_that_is_read_for_one_peer_again_is_read_for_all() {
    let mut writer = on_bus(&[("s", 3)]);
    writer.fill("s", 1..=3);
    writer.holds_reads = true;
    for peer in [0, 1] {
        writer.accept(peer, OLDEST);
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
    let mut writer = on_bus(&[("s", 0)]);
    writer.holds_reads = true;
    assert_eq!(writer.append("s", 1, &["[1]"]), ["read q1 s 0..1"]);
    writer.fail_next();
    writer.accept(0, OLDEST);
    assert_eq!(writer.wait(200), ["read q2 s 0..1"]);
    assert_eq!(writer.says(0, "REPLICATE s 0"), NOTHING, "one try is enough");
    assert_eq!(writer.answer_next(), ["c1< RDATA s me 1 [1]", "read q3 s 0..1"]);
    assert_eq!(writer.answer_next(), ["p0< RDATA s 1 [1]", "p0< POSITION s 1"]);
}

/// A log of three rows, and a peer of the oldest dialect that has asked for all of them.
fn asked(change: impl FnOnce(&mut Config), rows: &[&str]) -> Writer {
    let mut writer = on_bus_with(&[("s", 3)], change);
    for (token, row) in (1..).zip(rows) {
        writer.write("s", token, &[*row]);
    }
    writer.holds_reads = true;
    writer.accept(0, OLDEST);
    writer.takes(0, 2);
    assert_eq!(writer.says(0, "REPLICATE s 0"), ["read q1 s 0..3"]);
    writer
}

#[test]
fn a_peer_that_wants_to_start_from_now_after_all_is_not_sent_the_page_it_asked_for() {
    let mut writer = asked(|_| {}, &["[1]", "[2]", "[3]"]);
    assert_eq!(writer.says(0, "REPLICATE s NOW"), ["p0< POSITION s 3"]);
    assert_eq!(writer.answer_next(), NOTHING);
}

#[test]
fn a_peer_that_asks_for_a_row_that_is_too_long_gets_the_others() {
    let rows = ["[1]", "[\"too long for a line\"]", "[3]"];
    let mut writer = asked(|config| config.publish.row_bytes_max = 10, &rows);
    let shown = ["p0< RDATA s 1 [1]", "too long: s 2", "p0< RDATA s 3 [3]", "p0< POSITION s 3"];
    assert_eq!(writer.answer_next(), shown);
}

#[test]
fn a_peer_that_cannot_take_what_it_asked_for_is_cut_off_inside_the_page() {
    let row = format!("[\"{}\"]", "x".repeat(100));
    let rows = [row.as_str(); 3];
    let mut server = server_with(&[("s", 0)], |config| config.publish.peer_pending_bytes_max = 200);
    server.write("s", 1, &rows);
    server.append("s", 2, &["[2]"]);
    server.accept(0, OLDEST);
    server.takes(0, 2);
    let shown = server.says(0, "REPLICATE s 0");
    assert!(shown[0].contains("BatchTooLong"), "it is said why: {shown:?}");
    assert!(shown.contains(&"p0< ERROR Failed to keep up".to_owned()), "{shown:?}");
    assert_eq!(shown.iter().filter(|line| line.contains("RDATA")).count(), 1, "{shown:?}");
}

#[test]
fn a_shutdown_does_not_wait_for_a_log_that_cannot_be_read_for_a_peer() {
    let mut writer = asked(|_| {}, &["[1]", "[2]", "[3]"]);
    writer.append("s", 4, &["[4]"]);
    writer.handle(Input::Shutdown);
    let shown = writer.fail_next();
    assert!(!shown.iter().any(|line| line.contains("failed")), "{shown:?}");
}

#[test]
fn a_shutdown_without_a_bus_waits_for_the_page_that_is_on_its_way_to_a_peer() {
    let mut server = server(&[("s", 0)]);
    server.holds_reads = true;
    server.accept(0, NEWEST);
    assert_eq!(server.append("s", 1, &["[1]"]), ["read q1 s 0..1"]);
    assert_eq!(server.handle(Input::Shutdown), NOTHING);
    assert_eq!(server.answer_next(), ["p0< RDATA s me 1 [1]", "close p0"]);
}

#[test]
fn a_log_that_could_not_be_read_for_a_peer_is_not_read_for_the_others_in_line_before_its_time() {
    let others = ["a", "b", "c"].map(|name| (name.to_owned(), Token::START));
    let mut writer = asked(|config| config.publish.own_streams.extend(others), &["[]"; 3]);
    for stream in ["a", "b", "c"] {
        assert_eq!(writer.append(stream, 1, &["[]"]).len(), 1, "its log is read");
    }
    assert_eq!(writer.append("s", 4, &["[]"]), NOTHING, "it waits in line");
    let shown = writer.fail_next();
    assert!(shown.len() == 1 && shown[0].starts_with("failed 1: "), "{shown:?}");
    let shown = writer.wait(1_000);
    assert!(shown.iter().any(|line| line.starts_with("read q5 s")), "{shown:?}");
}

#[test]
fn a_batch_with_a_row_that_is_too_long_is_not_split_for_who_asks_for_it() {
    let mut server = server_with(&[("s", 0)], |config| config.publish.row_bytes_max = 10);
    server.append("s", 1, &["[1]"]);
    server.write("s", 2, &["[2]", "[\"too long for a line\"]", "[22]"]);
    server.append("s", 3, &["[3]"]);
    server.accept(0, OLDEST);
    let shown = server.says(0, "REPLICATE s 1");
    assert_eq!(shown, ["too long: s 2", "p0< RDATA s 3 [3]", "p0< POSITION s 3"]);
}
