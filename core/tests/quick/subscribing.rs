//! Subscriptions and the catch-up over the connection of the oldest dialect.

use crate::writer::{NEWEST, NOTHING, OLDEST, server, server_with};

#[test]
fn e0_rows_come_only_after_the_stream_was_asked_for() {
    let mut server = server(&[("a", 3), ("b", 7)]);
    server.accept(0, OLDEST);
    server.accept(1, NEWEST);
    assert_eq!(server.append("a", 4, &["[1]"]), ["p1< RDATA a me 4 [1]"]);
    assert_eq!(server.says(0, "REPLICATE a NOW"), ["p0< POSITION a 4"]);
    assert_eq!(server.append("a", 5, &["[2]"]), ["p0,p1< RDATA a me 5 [2]"]);
    assert_eq!(server.append("b", 8, &["[3]"]), ["p1< RDATA b me 8 [3]"]);
    assert_eq!(server.append("a", 6, &[]), ["p1< POSITION a me 5 6"], "only asked for");
}

#[test]
fn e0_all_streams_can_be_asked_for_from_now_on() {
    let mut server = server(&[("a", 3), ("b", 7)]);
    server.accept(0, OLDEST);
    assert_eq!(server.says(0, "REPLICATE ALL NOW"), ["p0< POSITION a 3", "p0< POSITION b 7"]);
    assert_eq!(server.append("b", 8, &["[1]", "[2]"]).len(), 2);
}

#[test]
fn e0_old_rows_come_with_a_number_each_and_then_the_position() {
    let mut server = server_with(&[], |config| config.publish.log_rows_max = 2);
    server.append("a", 1, &["[1]"]);
    server.append("a", 2, &["[2]", "[3]"]);
    server.append("a", 4, &["[4]"]);
    server.append("a", 5, &[]);
    server.accept(0, OLDEST);
    assert_eq!(
        server.says(0, "REPLICATE a 1"),
        ["p0< RDATA a 2 [2]", "p0< RDATA a 2 [3]", "p0< RDATA a 4 [4]", "p0< POSITION a 5"]
    );
    assert_eq!(server.append("a", 6, &["[5]"]), ["p0< RDATA a me 6 [5]"]);
    // Asked again, it is served again.
    assert_eq!(server.says(0, "REPLICATE a 4"), ["p0< RDATA a 6 [5]", "p0< POSITION a 6"]);
}

#[test]
fn e0_rows_that_are_appended_during_a_catch_up_come_once_and_in_order() {
    let mut server = server_with(&[("a", 0)], |config| config.publish.log_rows_max = 1);
    server.append("a", 1, &["[1]"]);
    server.append("a", 2, &["[2]"]);
    server.accept(0, OLDEST);
    server.accept(1, NEWEST);
    server.holds_reads = true;
    assert_eq!(server.says(0, "REPLICATE a 0"), ["read q1 a 0..2"]);
    assert_eq!(server.append("a", 3, &["[3]"]), ["read q2 a 2..3"]);
    assert_eq!(server.answer_next(), ["p0< RDATA a 1 [1]", "read q3 a 1..2"]);
    assert_eq!(server.answer_next(), ["p1< RDATA a me 3 [3]"], "not yet for the one behind");
    assert_eq!(server.answer_next(), ["p0< RDATA a 2 [2]", "read q4 a 2..3"]);
    assert_eq!(server.answer_next(), ["p0< RDATA a 3 [3]", "p0< POSITION a 3"]);
    server.holds_reads = false;
    assert_eq!(server.append("a", 4, &["[4]"]), ["p0,p1< RDATA a me 4 [4]"]);
}

#[test]
fn e0_a_token_of_the_future_gives_the_position() {
    let mut server = server(&[("a", 3)]);
    server.accept(0, OLDEST);
    assert_eq!(server.says(0, "REPLICATE a 99"), ["p0< POSITION a 3"]);
    assert_eq!(server.append("a", 4, &["[]"]), ["p0< RDATA a me 4 []"]);
}

#[test]
fn e0_who_asks_from_where_the_others_stand_gets_the_position_at_once() {
    let mut server = server(&[("a", 3)]);
    server.accept(0, OLDEST);
    server.holds_reads = true;
    assert_eq!(server.says(0, "REPLICATE a 3"), ["p0< POSITION a 3"]);
}

#[test]
fn e0_what_cannot_be_subscribed_to_ends_the_connection() {
    for line in ["REPLICATE nosuch 1", "REPLICATE nosuch NOW", "REPLICATE ALL 5"] {
        let mut server = server(&[("a", 3)]);
        server.accept(0, OLDEST);
        let shown = server.says(0, line);
        assert!(shown[0].starts_with("p0< ERROR failed to handle replicate: "), "{shown:?}");
        assert_eq!(shown[1], "close p0");
    }
}

#[test]
fn e0_a_request_during_a_catch_up_replaces_it() {
    let mut server = server(&[("a", 0)]);
    server.append("a", 1, &["[1]"]);
    server.append("a", 2, &["[2]"]);
    server.accept(0, OLDEST);
    server.holds_reads = true;
    assert_eq!(server.says(0, "REPLICATE a 0"), ["read q1 a 0..2"]);
    assert_eq!(server.says(0, "REPLICATE a 1"), NOTHING, "one page at a time");
    assert_eq!(server.answer_next(), ["read q2 a 1..2"], "the page is no longer wanted");
    assert_eq!(server.answer_next(), ["p0< RDATA a 2 [2]", "p0< POSITION a 2"]);
}

#[test]
fn e0_who_asks_for_old_rows_again_gets_new_ones_only_behind_them() {
    let mut server = server(&[("a", 0)]);
    server.accept(0, OLDEST);
    server.accept(1, NEWEST);
    server.says(0, "REPLICATE a NOW");
    assert_eq!(server.append("a", 1, &["[1]"]), ["p0,p1< RDATA a me 1 [1]"]);
    server.holds_reads = true;
    assert_eq!(server.says(0, "REPLICATE a 0"), ["read q2 a 0..1"]);
    assert_eq!(server.append("a", 2, &["[2]"]), ["read q3 a 1..2"]);
    assert_eq!(server.reads.len(), 2);
    let old = server.reads.remove(0);
    assert_eq!(server.answer_next(), ["p1< RDATA a me 2 [2]"]);
    let old = old.answer(&server.logs);
    assert_eq!(server.handle(old), ["p0< RDATA a 1 [1]", "read q4 a 1..2"]);
    assert_eq!(server.answer_next(), ["p0< RDATA a 2 [2]", "p0< POSITION a 2"]);
}

#[test]
fn e0_a_log_that_cannot_be_read_is_tried_again_for_a_subscriber() {
    let mut server = server(&[("a", 0)]);
    server.append("a", 1, &["[1]"]);
    server.accept(0, OLDEST);
    server.holds_reads = true;
    server.says(0, "REPLICATE a 0");
    assert_eq!(server.fail_next().len(), 1);
    assert_eq!(server.says(0, "REPLICATE a 0"), NOTHING, "not before its time");
    assert_eq!(server.wait(200), ["read q2 a 0..1"]);
    assert_eq!(server.answer_next(), ["p0< RDATA a 1 [1]", "p0< POSITION a 1"]);
}

#[test]
fn e0_a_page_for_a_peer_that_left_goes_nowhere() {
    let mut server = server(&[("a", 0)]);
    server.append("a", 1, &["[1]"]);
    server.accept(0, OLDEST);
    server.holds_reads = true;
    server.says(0, "REPLICATE a 0");
    server.leaves(0);
    assert_eq!(server.answer_next(), NOTHING);
}

#[test]
fn e0_a_catch_up_waits_while_half_of_what_may_be_untaken_is() {
    let mut server = server_with(&[("a", 0)], |config| config.publish.peer_pending_max = 8);
    for token in 1..=6 {
        server.append("a", token, &["[]"]);
    }
    server.accept(0, OLDEST);
    // SERVER, PING and three rows are five.
    assert_eq!(server.says(0, "REPLICATE a 0").len(), 3);
    assert_eq!(server.takes(0, 1), ["p0< RDATA a 4 []"]);
    assert_eq!(server.takes(0, 5), ["p0< RDATA a 5 []", "p0< RDATA a 6 []", "p0< POSITION a 6"]);
}

#[test]
fn e0_the_name_of_an_unknown_stream_is_cut_short_in_the_answer() {
    let mut server = server(&[]);
    server.accept(0, OLDEST);
    let shown = server.says(0, &format!("REPLICATE {} NOW", "\u{1}".repeat(16_000)));
    assert!(shown[0].len() < 2_000, "{} bytes", shown[0].len());
}

#[test]
fn e0_a_peer_that_goes_live_while_the_others_are_slow_gets_its_rows_at_once() {
    let mut server = server_with(&[("s", 0)], |config| config.publish.peer_pending_max = 8);
    server.accept(0, NEWEST);
    server.fill("s", 1..=19);
    server.append("s", 20, &["[]"]);
    server.accept(1, OLDEST);
    server.takes(1, 2);
    let shown = server.says(1, "REPLICATE s NOW");
    let rows = shown.iter().filter(|line| line.contains("p1< RDATA"));
    assert!(
        rows.count() > 0,
        "the first peer has taken nothing, which is not its fault: {shown:?}"
    );
}
