//! Accepted connections: greeting, rules of direction, relayed commands and shutdown.

use crate::{
    bench::command,
    writer::{
        MIDDLE, NEWEST, NOTHING, OLDEST, on_bus, on_bus_with, peer, server, server_with,
        unconnected,
    },
};
use synrepl_core::{
    ByteString, ConnectionId, Input, Misuse, Timestamp, Transport,
    wire::{Command, Dialect, LockReleased},
};

#[test]
fn a_peer_is_greeted_with_name_and_ping() {
    let mut server = server(&[]);
    server.bench.now = Timestamp::from_micros(1_234_000);
    assert_eq!(server.accept(0, NEWEST), ["p0 connected, 1.22", "p0< SERVER hs", "p0< PING 1234"]);
    assert_eq!(server.says(0, "NAME worker1"), ["p0 is worker1"]);
    assert_eq!(server.says(0, "PING 1"), NOTHING);
    assert_eq!(server.leaves(0), ["p0 disconnected"]);
}

#[test]
fn a_peer_that_is_gone_gets_nothing_more() {
    let mut server = server(&[("a", 3)]);
    server.accept(0, NEWEST);
    server.accept(1, NEWEST);
    assert_eq!(server.append("a", 4, &["[1]"]), ["p0,p1< RDATA a me 4 [1]"]);
    assert_eq!(server.leaves(0), ["p0 disconnected"], "without a close");
    assert_eq!(server.append("a", 5, &["[2]"]), ["p1< RDATA a me 5 [2]"]);
}

#[test]
fn a_server_that_we_connect_to_is_told_our_name_and_the_time() {
    let mut client = unconnected(&[], |config| config.transport = Transport::Tcp(NEWEST));
    client.bench.now = Timestamp::from_micros(1_234_000);
    assert_eq!(client.connect(), ["c1< NAME me", "c1< PING 1234", "c1< REPLICATE"]);
}

#[test]
fn later_dialects_get_every_row_from_the_start_and_positions_when_they_ask() {
    let mut server = server(&[("a", 3), ("b", 7)]);
    server.accept(0, MIDDLE);
    server.accept(1, NEWEST);
    assert_eq!(
        server.append("a", 4, &["[1]", "[2]"]),
        ["p0,p1< RDATA a me batch [1]", "p0,p1< RDATA a me 4 [2]"]
    );
    assert_eq!(server.says(1, "REPLICATE "), ["p1< POSITION a me 4 4", "p1< POSITION b me 7 7"]);
    assert_eq!(server.says(0, "REPLICATE"), ["p0< POSITION a me 4", "p0< POSITION b me 7"]);
    assert_eq!(server.says(0, "REPLICATE a 2"), ["p0< POSITION a me 4", "p0< POSITION b me 7"]);
    assert_eq!(server.append("b", 9, &[]), ["p0,p1< POSITION b me 7 9"], "P2");
    assert_eq!(
        server.append("new", 1, &["[]"]),
        ["p0,p1< POSITION new me 0 0", "p0,p1< RDATA new me 1 []"]
    );
}

#[test]
fn p4_a_peer_that_asks_is_not_told_of_rows_that_are_still_unsent() {
    let mut server = server(&[("s", 4)]);
    server.accept(0, NEWEST);
    server.holds_reads = true;
    server.append("s", 5, &["[1]"]);
    assert_eq!(server.says(0, "REPLICATE "), ["p0< POSITION s me 4 4"]);
    assert_eq!(server.answer_next(), ["p0< RDATA s me 5 [1]"]);
}

#[test]
fn nothing_is_read_while_nobody_listens() {
    let mut server = server(&[("s", 4)]);
    server.append("s", 9, &["[1]"]);
    assert_eq!(server.stats().log_reads, 0);
    server.accept(0, NEWEST);
    assert_eq!(server.says(0, "REPLICATE "), ["p0< POSITION s me 9 9"]);
    assert_eq!(server.append("s", 10, &["[2]"]), ["p0< RDATA s me 10 [2]"]);
    server.leaves(0);
    server.append("s", 11, &["[3]"]);
    assert_eq!(server.stats().log_reads, 1);
    server.accept(1, OLDEST);
    assert_eq!(server.append("s", 12, &["[4]"]), NOTHING, "it has asked for nothing yet");
}

#[test]
fn bus_and_peers_each_go_on_at_their_own_pace() {
    let mut writer = on_bus_with(&[("s", 0)], |config| {
        config.publish.unconfirmed_max = 3;
        config.publish.log_rows_max = 1;
    });
    writer.accept(0, NEWEST);
    assert_eq!(writer.append("s", 1, &["[1]"]), ["c1< RDATA s me 1 [1]", "p0< RDATA s me 1 [1]"]);
    assert_eq!(writer.append("s", 2, &["[2]"]), ["p0< RDATA s me 2 [2]"], "the bus is full");
    assert_eq!(writer.append("s", 3, &["[3]"]), ["p0< RDATA s me 3 [3]"]);
    assert_eq!(
        writer.sent(3),
        ["published s 1", "c1< RDATA s me 2 [2]", "c1< RDATA s me 3 [3]"],
        "what it missed, and to nobody twice"
    );
    writer.lose();
    assert_eq!(writer.append("s", 4, &["[4]"]), ["p0< RDATA s me 4 [4]"]);
}

#[test]
fn a_bus_that_is_far_behind_does_not_hold_up_the_peers() {
    let mut writer = unconnected(&[("s", 0)], |config| config.publish.log_rows_max = 1);
    for token in 1..=4 {
        writer.append("s", token, &["[]"]);
    }
    writer.accept(0, NEWEST);
    writer.holds_reads = true;
    writer.connect();
    writer.append("s", 5, &["[5]"]);
    let mut shown = Vec::new();
    while !writer.reads.is_empty() {
        shown.extend(writer.answer_next());
    }
    shown.retain(|line| line.contains("RDATA"));
    assert_eq!(shown[1], "p0< RDATA s me 5 [5]", "{shown:?}");
    assert_eq!(shown.len(), 6, "{shown:?}");
}

#[test]
fn what_a_client_may_not_say_ends_its_connection() {
    for (dialect, line, told) in [
        (NEWEST, "RDATA s me 1 []", "invalid command: RDATA"),
        (NEWEST, "POSITION s me 1 1", "invalid command: POSITION"),
        (NEWEST, "SERVER hs", "invalid command: SERVER"),
        (OLDEST, "REPLICATE", "invalid command: REPLICATE"),
        (OLDEST, "CLEAR_USER_SYNC x", "invalid command: CLEAR_USER_SYNC"),
        (OLDEST, "GARBAGE x", "invalid command: GARBAGE"),
    ] {
        let mut server = server(&[("s", 0)]);
        server.accept(0, dialect);
        let refused =
            [format!("p0< ERROR {told}"), "close p0".into(), format!("p0 refused: {told}")];
        assert_eq!(server.says(0, line), refused);
        for more in [line, "REPLICATE ", "NAME x", "PING 1", "garbage"] {
            assert_eq!(server.says(0, more), NOTHING, "what comes after the close is ignored");
        }
        assert_eq!(server.handle(Input::LineTooLong { conn: peer(0) }), NOTHING);
        assert_eq!(server.append("s", 1, &["[]"]), NOTHING);
        assert_eq!(server.leaves(0), ["p0 disconnected"]);
    }
}

#[test]
fn a_line_that_does_not_parse_is_answered_with_what_was_expected() {
    for (dialect, line) in [
        (NEWEST, "GARBAGE x"),
        (NEWEST, "USER_SYNC x"),
        (OLDEST, "FEDERATION_ACK x"),
        (NEWEST, "RDATA s me 1 [}"),
    ] {
        let mut server = server(&[]);
        server.accept(0, dialect);
        let shown = server.says(0, line);
        assert!(shown[0].starts_with("p0< ERROR failed to parse line: "), "{shown:?}");
        assert!(shown[0].contains("expected"), "{shown:?}");
        assert_eq!(shown[1], "close p0");
    }
}

#[test]
fn blank_lines_are_let_pass() {
    for dialect in [OLDEST, MIDDLE, NEWEST] {
        let mut server = server(&[]);
        server.accept(0, dialect);
        assert_eq!(server.says(0, ""), NOTHING);
        assert_eq!(server.says(0, "   "), NOTHING);
        assert_eq!(server.says(0, "NAME x"), ["p0 is x"]);
    }
}

#[test]
fn a_line_without_end_is_refused() {
    let mut server = server(&[]);
    server.accept(0, NEWEST);
    let shown = server.handle(Input::LineTooLong { conn: peer(0) });
    assert_eq!(shown[..2], ["p0< ERROR Line length exceeded", "close p0"]);
}

#[test]
fn an_error_of_a_peer_is_reported_and_its_connection_left_to_it() {
    let mut server = server(&[]);
    server.accept(0, NEWEST);
    assert_eq!(server.says(0, "ERROR Wrong remote"), ["p0 has an error: Wrong remote"]);
    assert_eq!(server.says(0, "NAME x"), ["p0 is x"]);
}

#[test]
fn pings_go_out_when_nothing_else_does() {
    let mut server = server(&[("s", 0)]);
    server.accept(0, NEWEST);
    assert_eq!(server.wait(4_999), NOTHING);
    assert_eq!(server.wait(1), ["p0< PING 5000"]);
    server.wait(3_000);
    server.append("s", 1, &["[]"]);
    assert_eq!(server.wait(2_000), NOTHING, "a row was a sign of life");
    assert_eq!(server.wait(5_000), ["p0< PING 15000"]);
}

#[test]
fn silence_ends_the_connection_of_a_peer_that_has_pinged_and_of_no_other() {
    let mut server = server(&[]);
    server.accept(0, NEWEST);
    server.accept(1, NEWEST);
    server.says(0, "PING 0");
    for _ in 0..5 {
        let pings = server.wait(5_000);
        assert_eq!(pings.len(), 2, "{pings:?}");
    }
    let shown = server.wait(5_000);
    assert_eq!(
        shown,
        ["p0< ERROR ping timeout", "close p0", "p0 refused: ping timeout", "p1< PING 30000"]
    );
}

#[test]
fn a_peer_that_has_pinged_once_is_watched_whatever_it_says_after() {
    let mut server = server(&[]);
    server.accept(0, NEWEST);
    server.says(0, "PING 0");
    server.says(0, "NAME x");
    for _ in 0..5 {
        assert_eq!(server.wait(5_000).len(), 1);
    }
    let shown = server.wait(5_000);
    assert_eq!(shown, ["p0< ERROR ping timeout", "close p0", "p0 refused: ping timeout"]);
}

#[test]
fn an_invalid_line_is_no_sign_of_life_but_any_command_is() {
    let mut server = server(&[]);
    server.accept(0, NEWEST);
    server.says(0, "PING 0");
    for _ in 0..8 {
        server.says(0, "");
        server.wait(5_000);
    }
    assert_eq!(server.says(0, "NAME x"), NOTHING, "closed for its silence");

    server.accept(1, NEWEST);
    server.says(1, "PING 0");
    for _ in 0..8 {
        server.says(1, "REMOTE_SERVER_UP hs2");
        server.wait(5_000);
    }
    assert_eq!(server.says(1, "NAME x"), ["p1 is x"]);
}

#[test]
fn a_remote_server_that_is_up_is_told_to_all_but_the_origin() {
    let mut server = on_bus(&[]);
    for (number, dialect) in [(0, NEWEST), (1, OLDEST), (2, Dialect::V0_22), (3, MIDDLE)] {
        server.accept(number, dialect);
    }
    assert_eq!(
        server.says(0, "REMOTE_SERVER_UP hs2"),
        ["p1,p3< REMOTE_SERVER_UP hs2", "p0 said REMOTE_SERVER_UP hs2"]
    );
    assert_eq!(
        server.hear("REMOTE_SERVER_UP hs3"),
        ["p0,p1,p3< REMOTE_SERVER_UP hs3"],
        "also from the connection that we made"
    );
}

#[test]
fn other_commands_of_a_peer_are_the_application_s() {
    let mut server = server(&[]);
    server.accept(0, NEWEST);
    for line in ["USER_SYNC id @u:hs None start 5", "CLEAR_USER_SYNC id", "FEDERATION_ACK fed 7"] {
        assert_eq!(server.says(0, line), [format!("p0 said {line}")]);
    }
}

#[test]
fn commands_of_the_application_go_to_the_bus_and_to_peers_that_may_be_told() {
    let mut writer = on_bus(&[]);
    writer.accept(0, OLDEST);
    writer.accept(1, NEWEST);
    let up = Command::RemoteServerUp("hs2".into());
    assert_eq!(
        writer.handle(Input::Send { command: up.clone() }),
        ["p0,p1< REMOTE_SERVER_UP hs2", "c1< REMOTE_SERVER_UP hs2"]
    );
    let lock = LockReleased { instance: "me".into(), lock: "l".into(), key: "k".into() };
    assert_eq!(
        writer.handle(Input::Send { command: Command::LockReleased(lock) }),
        [r#"p1< LOCK_RELEASED ["me","l","k"]"#, r#"c1< LOCK_RELEASED ["me","l","k"]"#]
    );
    let ip = Command::ClearUserSync("id".into());
    assert_eq!(writer.handle(Input::Send { command: ip.clone() }), ["c1< CLEAR_USER_SYNC id"]);
    writer.lose();
    assert_eq!(writer.handle(Input::Send { command: up }), ["p0,p1< REMOTE_SERVER_UP hs2"]);
    let not_sent = writer.handle(Input::Send { command: ip });
    assert!(not_sent.len() == 1 && not_sent[0].starts_with("NotSent"), "{not_sent:?}");
}

#[test]
fn rows_and_positions_of_the_application_go_nowhere() {
    let mut writer = on_bus(&[("s", 3)]);
    writer.accept(0, NEWEST);
    for line in ["RDATA s me 4 [1]", "POSITION s me 3 9", "RDATA s other 4 [1]"] {
        let not_sent = writer.handle(Input::Send { command: command(line) });
        assert!(not_sent.len() == 1 && not_sent[0].contains("OnlyFromLog"), "{not_sent:?}");
    }
}

#[test]
fn who_only_observes_passes_nothing_on() {
    let mut observer = unconnected(&[], |config| config.observe_only = true);
    observer.accept(0, NEWEST);
    observer.accept(1, NEWEST);
    assert_eq!(observer.says(0, "REMOTE_SERVER_UP hs2"), ["p0 said REMOTE_SERVER_UP hs2"]);
}

#[test]
fn a_batch_that_cuts_off_whoever_gets_it_is_said() {
    let row = format!("[\"{}\"]", "x".repeat(200));
    // With the names of stream and instance, and 32 bytes around them.
    let bytes_of_three = 3 * u32::try_from(row.len() + 3 + 32).expect("a short row");
    for (rows, pending, bytes, long) in [
        (3, 3, 1_000, false),
        (3, 2, 1_000, true),
        (3, 3, bytes_of_three, false),
        (3, 3, bytes_of_three - 1, true),
        // Enough for the greeting; and a single row always fits.
        (1, 3, 150, false),
    ] {
        let batch = vec![row.as_str(); rows];
        let mut server = server_with(&[("s", 0)], |config| {
            config.publish.peer_pending_max = pending;
            config.publish.peer_pending_bytes_max = bytes;
        });
        let said = |lines: &[String]| lines.iter().any(|line| line.contains("BatchTooLong"));
        assert!(!said(&server.append("s", 1, &batch)), "there is nobody");
        server.accept(0, NEWEST);
        server.takes(0, 2);
        let sent = server.append("s", 2, &batch);
        assert!(sent.iter().any(|line| line.starts_with("p0< RDATA s me")), "{sent:?}");
        assert_eq!(said(&sent), long, "{rows} rows, {pending} commands, {bytes} bytes: {sent:?}");
        assert_eq!(sent.iter().any(|line| line.contains("Failed to keep up")), long, "{sent:?}");
    }
}

#[test]
fn one_peer_too_many_is_told_so() {
    let mut server = server_with(&[], |config| config.publish.peers_max = 1);
    server.accept(0, NEWEST);
    assert_eq!(
        server.accept(1, NEWEST),
        ["p1 connected, 1.22", "p1< ERROR Too many connections", "close p1", "p1 is one too many"]
    );
    server.leaves(0);
    assert_eq!(server.accept(2, NEWEST).len(), 3, "there is room again");
}

#[test]
fn without_a_server_name_nobody_can_be_greeted() {
    let mut server = server_with(&[], |config| config.server_name = None);
    let shown = server.accept(0, NEWEST);
    assert_eq!(shown[1..3], ["p0< ERROR No server name is configured here", "close p0"]);
}

#[test]
fn a_shutdown_closes_every_connection_after_what_is_left_and_then_it_is_over() {
    let mut writer = on_bus(&[("s", 0)]);
    writer.accept(0, NEWEST);
    writer.accept(1, OLDEST);
    writer.holds_reads = true;
    writer.append("s", 1, &["[1]"]);
    assert_eq!(writer.handle(Input::Shutdown), NOTHING);
    assert_eq!(
        writer.answer_next(),
        [
            "c1< RDATA s me 1 [1]",
            "p0< RDATA s me 1 [1]",
            "close c1",
            "close p0",
            "p1< ERROR server shutting down",
            "close p1",
        ]
    );
    assert_eq!(writer.accept(2, NEWEST), ["close p2"], "too late");
    assert_eq!(writer.says(0, "REPLICATE "), NOTHING);
    assert_eq!(writer.leaves(0), ["p0 disconnected"]);
    assert_eq!(writer.lose(), NOTHING);
    assert_eq!(writer.leaves(2), NOTHING);
    assert_eq!(writer.leaves(1), ["p1 disconnected", "stopped"]);
    assert!(writer.bench.node.is_stopped());
    assert_eq!(writer.accept(3, NEWEST), ["close p3"]);
    assert_eq!(writer.leaves(3), NOTHING);
}

#[test]
fn inputs_of_connections_that_do_not_exist_are_misuse() {
    let mut server = server(&[("s", 0)]);
    server.accept(5, NEWEST);
    let dialect = NEWEST;
    for conn in [peer(5), peer(4), ConnectionId::new(1)] {
        let accepted = server.try_handle(Input::Accepted { conn, dialect });
        assert_eq!(accepted, Err(Misuse::ConnectionIdInUse(conn)));
    }
    for conn in [peer(6), ConnectionId::new(1)] {
        let command = Command::Ping(ByteString::new());
        for input in [
            Input::Received { conn, command },
            Input::Connected { conn },
            Input::Disconnected { conn, reason: String::new() },
            Input::LineTooLong { conn },
            Input::Sent { conn, count: 1 },
        ] {
            assert_eq!(server.try_handle(input), Err(Misuse::UnknownConnection(conn)));
        }
    }
    for count in [0, 3] {
        let sent = server.try_handle(Input::Sent { conn: peer(5), count });
        assert_eq!(sent, Err(Misuse::NothingToConfirm(peer(5))));
    }
    server.takes(5, 2);
}

#[test]
fn an_observer_publishes_nothing_to_peers_either() {
    let mut server = server_with(&[("s", 4)], |config| config.observe_only = true);
    server.accept(0, NEWEST);
    assert_eq!(server.append("s", 5, &["[]"]), NOTHING);
    assert_eq!(server.says(0, "REPLICATE "), NOTHING);
}
