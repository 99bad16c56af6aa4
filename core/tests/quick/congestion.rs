//! Slow peers are cut off at the limit of their queue and delay no other (promise P5); rows too
//! long for a line are announced instead of sent.

use crate::writer::{NEWEST, NOTHING, OLDEST, on_bus_with, server, server_with};

#[test]
fn p5_who_leaves_too_much_untaken_is_cut_off_and_the_others_notice_nothing() {
    let mut server = server_with(&[("s", 0)], |config| config.publish.peer_pending_max = 10);
    server.accept(0, NEWEST);
    server.accept(1, NEWEST);
    server.accept(2, NEWEST);
    for token in 1..=8 {
        assert_eq!(
            server.append("s", token, &["[]"]),
            [format!("p0,p1,p2< RDATA s me {token} []")]
        );
        server.takes(0, 1);
        server.takes(2, 1);
    }
    assert_eq!(
        server.append("s", 9, &["[]"]),
        [
            "p1< ERROR Failed to keep up",
            "close p1",
            "p1 too slow, 10 pending",
            "p0,p2< RDATA s me 9 []",
        ]
    );
    assert_eq!(server.takes(1, 11), NOTHING, "what it takes after all");
    assert_eq!(server.append("s", 10, &["[]"]), ["p0,p2< RDATA s me 10 []"]);
    assert_eq!(server.leaves(1), ["p1 disconnected"]);
}

#[test]
fn p5_bytes_are_limited_as_well() {
    let mut server =
        server_with(&[("s", 0)], |config| config.publish.peer_pending_bytes_max = 4_000);
    server.accept(0, NEWEST);
    server.accept(1, NEWEST);
    server.takes(0, 2);
    let row = format!("[\"{}\"]", "x".repeat(1_000));
    for token in 1..=3 {
        server.append("s", token, &[&row]);
        server.takes(0, 1);
    }
    let shown = server.append("s", 4, &[&row]);
    assert_eq!(shown[..2], ["p1< ERROR Failed to keep up", "close p1"]);
    assert!(shown[3].starts_with("p0< RDATA s me 4"), "{shown:?}");
}

#[test]
fn p5_a_burst_is_read_no_faster_than_the_fastest_peer_takes_it() {
    let mut server = server_with(&[("s", 0)], |config| config.publish.peer_pending_max = 16);
    server.accept(0, NEWEST);
    server.takes(0, 2);
    server.fill("s", 1..=99);
    let mut delivered = server.append("s", 100, &["[]"]).len();
    assert!((9..=16).contains(&delivered), "{delivered}");
    while delivered < 100 {
        let shown = server.takes(0, 1);
        assert!(shown.iter().all(|line| line.contains("RDATA")), "{shown:?}");
        delivered += shown.len();
    }
    assert_eq!(server.stats().peers_cut_off, 0);
}

#[test]
fn p5_a_peer_that_takes_nothing_at_all_is_cut_off_though_nothing_more_is_read_for_it() {
    let mut server = server_with(&[("s", 0)], |config| config.publish.peer_pending_max = 16);
    server.accept(0, NEWEST);
    server.wait(4_000);
    server.fill("s", 1..=99);
    server.append("s", 100, &["[]"]);
    assert_eq!(server.wait(1_000), NOTHING, "it had a second for a burst");
    let shown = server.wait(5_000);
    assert_eq!(shown[..2], ["p0< ERROR Failed to keep up", "close p0"]);
    server.accept(1, NEWEST);
    assert_eq!(server.says(1, "REPLICATE "), ["p1< POSITION s me 100 100"]);
}

#[test]
fn p5_a_flood_of_questions_ends_with_the_queue_of_who_asks() {
    let mut server =
        server_with(&[("a", 0), ("b", 0), ("c", 0)], |config| config.publish.peer_pending_max = 10);
    server.accept(0, NEWEST);
    server.accept(1, NEWEST);
    server.says(0, "REPLICATE ");
    server.says(0, "REPLICATE ");
    let shown = server.says(0, "REPLICATE ");
    assert_eq!(shown[2..4], ["p0< ERROR Failed to keep up", "close p0"], "{shown:?}");
    assert_eq!(server.says(1, "NAME x"), ["p1 is x"]);
}

#[test]
fn rows_that_no_line_can_carry_are_announced_to_peers_and_sent_on_the_bus() {
    let mut writer = on_bus_with(&[("s", 0)], |config| config.publish.row_bytes_max = 9);
    writer.accept(0, NEWEST);
    writer.accept(1, OLDEST);
    writer.says(1, "REPLICATE s NOW");
    writer.write("s", 1, &["[1]"]);
    writer.write("s", 2, &["[2]", "[22222222]", "[3]"]);
    writer.holds_reads = true;
    writer.append("s", 3, &["[4]"]);
    assert_eq!(
        writer.answer_next(),
        [
            "c1< RDATA s me 1 [1]",
            "c1< RDATA s me batch [2]",
            "c1< RDATA s me batch [22222222]",
            "c1< RDATA s me 2 [3]",
            "c1< RDATA s me 3 [4]",
            "p0,p1< RDATA s me 1 [1]",
            "too long: s 2",
            "p0< POSITION s me 2 2",
            "p0,p1< RDATA s me 3 [4]",
        ]
    );
}

#[test]
fn a_row_that_only_its_names_make_too_long_is_too_long() {
    let stream = "s".repeat(1_000);
    let mut server = server(&[(&stream, 0)]);
    server.accept(0, NEWEST);
    let row = format!("[\"{}\"]", "x".repeat(15_800));
    let shown = server.append(&stream, 1, &[&row]);
    assert!(shown[0].starts_with("too long"), "{}", &shown[0][..50]);
    let row = format!("[\"{}\"]", "x".repeat(15_000));
    let shown = server.append(&stream, 2, &[&row]);
    assert!(shown[0].starts_with("p0< RDATA") && shown[0].len() - 4 <= 16_384);
}

#[test]
fn p5_a_peer_that_takes_something_between_two_looks_is_slow_but_not_cut_off() {
    let mut server = server_with(&[("s", 0)], |config| config.publish.peer_pending_max = 16);
    server.accept(0, NEWEST);
    server.fill("s", 1..=99);
    server.append("s", 100, &["[]"]);
    for _ in 0..3 {
        server.takes(0, 1);
        assert_eq!(server.wait(5_000).len(), 1, "a PING, for rows went out long ago");
    }
    assert_eq!(server.wait(5_000)[0], "p0< ERROR Failed to keep up");
}

#[test]
fn p5_what_others_relay_counts_by_its_length() {
    let mut server =
        server_with(&[("s", 0)], |config| config.publish.peer_pending_bytes_max = 4_000);
    server.accept(0, NEWEST);
    server.accept(1, NEWEST);
    server.takes(1, 2);
    let line = format!("REMOTE_SERVER_UP {}", "x".repeat(1_000));
    let mut shown = Vec::new();
    for _ in 0..4 {
        shown.extend(server.says(1, &line));
    }
    assert!(shown.contains(&"p0< ERROR Failed to keep up".to_owned()), "{shown:?}");
}

#[test]
fn a_page_for_peers_is_no_longer_than_a_peer_with_room_can_take() {
    let mut server = server_with(&[("s", 0)], |config| {
        config.publish.peer_pending_bytes_max = 80_000;
        config.publish.row_bytes_max = 5_000;
    });
    server.accept(0, NEWEST);
    server.takes(0, 2);
    let row = format!("[\"{}\"]", "x".repeat(4_900));
    for token in 1..=100 {
        server.write("s", token, &[&row]);
    }
    let mut delivered = server.append("s", 101, &[&row]).len();
    while delivered < 101 {
        delivered += server.takes(0, 1).len();
    }
    assert_eq!((delivered, server.stats().peers_cut_off), (101, 0));
}
