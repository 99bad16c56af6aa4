//! The commands that still go out at a shutdown, on each connection.

use crate::writer::{NEWEST, NOTHING, OLDEST, Writer, on_bus, on_bus_with, server};
use synrepl_core::Input;

/// A writer with one row that a peer of the oldest dialect asks for, one that it could ask for
/// next, and one that is on its way to the bus. Neither page has come.
fn while_a_peer_catches_up() -> Writer {
    let mut writer = on_bus_with(&[("s", 2)], |config| config.publish.log_rows_max = 1);
    writer.write("s", 1, &["[1]"]);
    writer.write("s", 2, &["[2]"]);
    writer.holds_reads = true;
    writer.accept(0, OLDEST);
    assert_eq!(writer.says(0, "REPLICATE s 0"), ["read q1 s 0..2"]);
    assert_eq!(writer.append("s", 3, &["[3]"]), ["read q2 s 2..3"]);
    assert_eq!(writer.handle(Input::Shutdown), NOTHING, "the bus has yet to get a row");
    writer
}

/// The last row goes to the bus, and all connections are closed.
fn ends(mut writer: Writer) {
    let closed = ["c1< RDATA s me 3 [3]", "close c1", "p0< ERROR server shutting down", "close p0"];
    assert_eq!(writer.answer_next(), closed);
}

#[test]
fn who_catches_up_gets_the_page_that_was_asked_for_and_no_further_one() {
    let mut writer = while_a_peer_catches_up();
    assert_eq!(writer.answer_next(), ["p0< RDATA s 1 [1]"]);
    ends(writer);
}

#[test]
fn a_page_that_fails_for_who_catches_up_takes_nothing_from_the_bus() {
    let mut writer = while_a_peer_catches_up();
    assert_eq!(writer.fail_next(), NOTHING);
    ends(writer);
}

#[test]
fn peers_get_what_the_logs_hold_also_where_there_is_no_bus() {
    let mut server = server(&[("s", 0)]);
    server.accept(0, NEWEST);
    server.holds_reads = true;
    server.append("s", 1, &["[1]"]);
    assert_eq!(server.handle(Input::Shutdown), NOTHING);
    assert_eq!(server.answer_next(), ["p0< RDATA s me 1 [1]", "close p0"]);
}

#[test]
fn rows_that_nobody_is_there_to_take_hold_nothing_up() {
    let mut writer = on_bus(&[("s", 0)]);
    writer.holds_reads = true;
    writer.append("s", 1, &["[1]"]);
    writer.lose();
    writer.append("s", 2, &["[2]"]);
    assert_eq!(writer.handle(Input::Shutdown), ["stopped"]);
}
