//! Own streams on the bus: promises P1 to P4, confirmations, and logs that fail.

use crate::writer::{NOTHING, Writer, config, on_bus, on_bus_with, server, unconnected};
use synrepl_core::{
    Input, MainChannel, Misuse, ReadId, Transport,
    stream::{Page, Row, Token},
    wire::Command,
};

#[test]
fn p1_rows_of_one_token_go_out_in_one_run_and_only_the_last_has_the_number() {
    let mut writer = on_bus(&[("s", 4)]);
    assert_eq!(
        writer.append("s", 5, &["[1]", "[2]", "[3]"]),
        ["c1< RDATA s me batch [1]", "c1< RDATA s me batch [2]", "c1< RDATA s me 5 [3]"]
    );
    assert_eq!(writer.append("s", 6, &["[4]"]), ["c1< RDATA s me 6 [4]"]);
}

#[test]
fn p1_a_log_is_read_in_pages_one_at_a_time() {
    let mut writer = on_bus_with(&[("s", 0)], |config| config.publish.log_rows_max = 2);
    writer.holds_reads = true;
    writer.fill("s", 1..=3);
    assert_eq!(writer.append("s", 4, &["[]"]), ["read q1 s 0..4"]);
    assert_eq!(writer.append("s", 5, &["[]"]), NOTHING, "the next page is asked for later");
    assert_eq!(
        writer.answer_next(),
        ["c1< RDATA s me 1 []", "c1< RDATA s me 2 []", "read q2 s 2..5"]
    );
    assert_eq!(
        writer.answer_next(),
        ["c1< RDATA s me 3 []", "c1< RDATA s me 4 []", "read q3 s 4..5"]
    );
    assert_eq!(writer.answer_next(), ["c1< RDATA s me 5 []"]);
}

#[test]
fn p1_streams_take_turns_and_only_so_many_pages_are_under_way() {
    let mut writer = on_bus_with(&[], |config| config.publish.log_rows_max = 1);
    writer.holds_reads = true;
    for stream in ["a", "b", "c", "d", "e", "f"] {
        writer.write(stream, 1, &["[]"]);
        writer.append(stream, 2, &["[]"]);
    }
    let under_way = |writer: &Writer| {
        writer.reads.iter().map(|read| read.stream.clone()).collect::<Vec<_>>().concat()
    };
    assert_eq!(under_way(&writer), "abcd");
    writer.answer_next();
    assert_eq!(under_way(&writer), "bcde");
    writer.answer_next();
    writer.answer_next();
    writer.answer_next();
    assert_eq!(under_way(&writer), "efab", "all have had a turn before the first has another");
}

#[test]
fn p2_tokens_that_moved_without_rows_are_said_with_what_went_before() {
    let mut writer = on_bus(&[("s", 4)]);
    writer.write("s", 5, &["[1]"]);
    assert_eq!(writer.append("s", 9, &[]), ["c1< RDATA s me 5 [1]", "c1< POSITION s me 5 9"]);
    assert_eq!(writer.append("s", 12, &[]), ["c1< POSITION s me 9 12"]);
    assert_eq!(writer.append("s", 11, &[]), NOTHING, "a lower end says nothing");
}

#[test]
fn p3_after_a_lost_connection_rows_go_out_again_from_the_last_one_confirmed() {
    let mut writer = on_bus(&[("s", 0)]);
    writer.append("s", 1, &["[1]"]);
    writer.append("s", 2, &["[2a]", "[2b]"]);
    // REPLICATE, POSITION and the first two rows, of which the second is half a batch.
    assert_eq!(writer.sent(4), ["published s 1"]);
    assert_eq!(
        writer.reconnect(),
        [
            "c2< REPLICATE",
            "c2< POSITION s me 1 1",
            "c2< RDATA s me batch [2a]",
            "c2< RDATA s me 2 [2b]",
        ]
    );
    assert_eq!(writer.sent(3), NOTHING, "half a batch is nothing");
    assert_eq!(writer.sent(1), ["published s 2"]);
}

#[test]
fn p3_where_tokens_can_start_over_rows_are_not_sent_again_but_announced() {
    let mut writer = on_bus(&[("typing", 0)]);
    writer.append("typing", 1, &["[1]"]);
    writer.append("typing", 2, &["[2]"]);
    assert_eq!(writer.sent(3), ["published typing 1"]);
    assert_eq!(writer.reconnect(), ["c2< REPLICATE", "c2< POSITION typing me 2 2"]);
    assert_eq!(writer.sent(1), NOTHING);
    assert_eq!(writer.sent(1), ["published typing 2"]);
}

#[test]
fn p3_a_second_loss_before_the_announcement_went_out_changes_nothing() {
    for (stream, again) in [("s", vec!["c3< RDATA s me 1 [1]"]), ("typing", vec![])] {
        let mut writer = on_bus(&[(stream, 0)]);
        writer.sent(2);
        writer.append(stream, 1, &["[1]"]);
        writer.reconnect();
        let at = if again.is_empty() { 1 } else { 0 };
        let mut expected =
            vec!["c3< REPLICATE".to_owned(), format!("c3< POSITION {stream} me {at} {at}")];
        expected.extend(again.into_iter().map(str::to_owned));
        assert_eq!(writer.reconnect(), expected);
    }
}

#[test]
fn p3_a_stream_that_started_over_is_announced_there_until_somebody_may_have_heard_it() {
    let mut writer = on_bus(&[("typing", 0)]);
    writer.append("typing", 1, &["[1]"]);
    // Where a follower stands at 1 in the epoch before, `POSITION typing me 1 1` would be nothing
    // new, and the row at 1 would never come.
    let again = ["c2< REPLICATE", "c2< POSITION typing me 0 0", "c2< RDATA typing me 1 [1]"];
    assert_eq!(writer.reconnect(), again);
    assert_eq!(writer.sent(2), NOTHING);
    assert_eq!(writer.reconnect(), ["c3< REPLICATE", "c3< POSITION typing me 1 1"]);
}

#[test]
fn p3_rows_that_were_appended_while_disconnected_go_out_on_the_next_connection() {
    let mut writer = unconnected(&[("s", 0)], |_| {});
    assert_eq!(writer.append("s", 1, &["[1]"]), NOTHING);
    assert_eq!(
        writer.connect(),
        ["c1< REPLICATE", "c1< POSITION s me 0 0", "c1< RDATA s me 1 [1]"]
    );
}

#[test]
fn p3_a_page_that_was_asked_for_before_the_loss_leaves_no_hole() {
    let mut writer = on_bus_with(&[("s", 0)], |config| config.publish.log_rows_max = 2);
    writer.fill("s", 1..=3);
    writer.holds_reads = true;
    writer.append("s", 4, &["[]"]);
    assert_eq!(writer.answer_next().last().expect("goes on"), "read q2 s 2..4");
    writer.lose();
    writer.wait(10_000);
    assert_eq!(writer.connect(), ["c2< REPLICATE", "c2< POSITION s me 0 0"]);
    assert_eq!(writer.answer_next(), ["read q3 s 0..4"], "the page begins above what is sure");
    assert_eq!(
        writer.answer_next(),
        ["c2< RDATA s me 1 []", "c2< RDATA s me 2 []", "read q4 s 2..4"]
    );
}

#[test]
fn p4_every_own_stream_is_announced_on_every_connection() {
    let mut writer = unconnected(&[("a", 3), ("b", 7)], |_| {});
    assert_eq!(
        writer.connect(),
        ["c1< REPLICATE", "c1< POSITION a me 3 3", "c1< POSITION b me 7 7"]
    );
    assert_eq!(
        writer.reconnect(),
        ["c2< REPLICATE", "c2< POSITION a me 3 3", "c2< POSITION b me 7 7"]
    );
}

#[test]
fn p4_an_announcement_never_runs_ahead_of_rows_that_are_still_unsent() {
    let mut writer = on_bus(&[("s", 4)]);
    writer.sent(2);
    writer.holds_reads = true;
    writer.append("s", 5, &["[1]"]);
    assert_eq!(writer.hear("REPLICATE "), ["c1< POSITION s me 4 4"]);
    assert_eq!(writer.answer_next(), ["c1< RDATA s me 5 [1]"]);
}

#[test]
fn p4_a_new_stream_is_announced_before_its_first_row() {
    let mut writer = on_bus(&[]);
    assert_eq!(writer.append("s", 1, &["[1]"]), ["c1< POSITION s me 0 0", "c1< RDATA s me 1 [1]"]);
}

#[test]
fn p4_one_announcement_answers_all_who_asked_before_it_went_out() {
    let mut writer = on_bus(&[("a", 3), ("b", 7)]);
    assert_eq!(writer.hear("REPLICATE "), NOTHING, "the one at the connection still stands");
    assert_eq!(writer.sent(1), NOTHING, "the REPLICATE before it");
    assert_eq!(writer.hear("REPLICATE "), NOTHING);
}

#[test]
fn p4_who_asks_when_half_of_an_announcement_has_gone_out_gets_one_of_its_own() {
    let both = ["c1< POSITION a me 3 3", "c1< POSITION b me 7 7"];
    let mut writer = on_bus(&[("a", 3), ("b", 7)]);
    assert_eq!(writer.sent(2), NOTHING);
    assert_eq!(writer.hear("REPLICATE "), both);
    assert_eq!(writer.hear("REPLICATE "), NOTHING, "nothing of the second has gone out");
    // It comes back to us before its answer does: who asks now may have come too late for it.
    assert_eq!(writer.hear("POSITION b me 7 7"), NOTHING);
    assert_eq!(writer.hear("REPLICATE "), NOTHING, "that is of the first, which began with a");
    assert_eq!(writer.hear("POSITION a me 3 3"), NOTHING);
    assert_eq!(writer.hear("REPLICATE "), both);
}

#[test]
fn p4_the_announcement_of_a_new_stream_does_not_stand_for_all() {
    let mut writer = on_bus(&[("a", 3)]);
    writer.sent(2);
    assert_eq!(writer.append("b", 0, &[]), ["c1< POSITION b me 0 0"]);
    assert_eq!(writer.hear("REPLICATE "), ["c1< POSITION a me 3 3", "c1< POSITION b me 0 0"]);
}

#[test]
fn no_more_is_read_while_too_much_is_unconfirmed() {
    let mut writer = on_bus_with(&[("s", 0)], |config| {
        config.publish.unconfirmed_max = 4;
        config.publish.log_rows_max = 1;
    });
    writer.fill("s", 1..=5);
    // REPLICATE and POSITION are two of the four.
    assert_eq!(writer.append("s", 6, &["[]"]), ["c1< RDATA s me 1 []", "c1< RDATA s me 2 []"]);
    assert_eq!(writer.append("s", 7, &["[]"]), NOTHING);
    assert_eq!(writer.sent(1), ["c1< RDATA s me 3 []"]);
    assert_eq!(
        writer.sent(3),
        ["published s 2", "c1< RDATA s me 4 []", "c1< RDATA s me 5 []", "c1< RDATA s me 6 []"]
    );
}

#[test]
fn commands_of_the_application_are_confirmed_in_their_place() {
    let mut writer = on_bus(&[("s", 0)]);
    writer.sent(2);
    writer.handle(Input::Send { command: Command::RemoteServerUp("hs2".into()) });
    writer.append("s", 1, &["[1]"]);
    assert_eq!(writer.sent(1), NOTHING);
    assert_eq!(writer.sent(1), ["published s 1"]);
}

#[test]
fn one_event_tells_of_all_rows_of_a_stream_that_went_out_together() {
    let mut writer = on_bus(&[("a", 0), ("b", 0)]);
    writer.append("a", 1, &["[]"]);
    writer.append("b", 1, &["[]"]);
    writer.append("a", 2, &["[]"]);
    writer.append("b", 4, &[]);
    assert_eq!(writer.sent(7), ["published a 2", "published b 4"]);
}

#[test]
fn a_log_that_cannot_be_read_is_tried_again_and_the_others_go_on() {
    let mut writer = on_bus(&[("a", 0), ("b", 0)]);
    writer.holds_reads = true;
    assert_eq!(writer.append("a", 1, &["[1]"]), ["read q1 a 0..1"]);
    let burning =
        |attempt| format!("failed {attempt}: the log of stream \"a\" cannot be read: disk on fire");
    assert_eq!(writer.fail_next(), [burning(1)]);
    assert_eq!(writer.append("a", 2, &["[2]"]), NOTHING, "not before its time");
    assert_eq!(writer.append("b", 1, &["[1]"]), ["read q2 b 0..1"]);
    assert_eq!(writer.answer_next(), ["c1< RDATA b me 1 [1]"]);
    assert_eq!(writer.wait(200), ["read q3 a 0..2"]);
    assert_eq!(writer.fail_next(), [burning(2)]);
    assert_eq!(writer.wait(149), NOTHING, "the delay has doubled");
    assert_eq!(writer.wait(200), ["read q4 a 0..2"]);
    assert_eq!(writer.answer_next(), ["c1< RDATA a me 1 [1]", "c1< RDATA a me 2 [2]"]);
    writer.append("a", 3, &["[3]"]);
    assert_eq!(writer.fail_next(), [burning(1)], "a page ends the failures in a row");
}

#[test]
fn nothing_of_a_page_that_breaks_its_contract_is_sent() {
    for (tokens, upto, rule) in [
        (&[1_i64, 3, 2][..], 3, "behind one at 3"),
        (&[1, 4], 3, "beyond its end 3"),
        (&[1], 4, "beyond 3"),
        (&[], 0, "does not move on"),
        (&[0, 1], 3, "not above 0"),
    ] {
        let mut writer = on_bus(&[("s", 0)]);
        writer.holds_reads = true;
        writer.append("s", 3, &[]);
        let updates =
            tokens.iter().map(|token| (Token::new(*token), Row::from("[]"))).collect::<Vec<_>>();
        let page = Page { updates, upto: Token::new(upto), limited: false };
        let query = writer.reads.remove(0).query;
        let shown = writer.handle(Input::LogRead { query, result: Ok(page) });
        assert!(shown.len() == 1 && shown[0].contains(rule), "{shown:?}");
        assert_eq!(writer.wait(200), ["read q2 s 0..3"]);
    }
}

#[test]
fn own_commands_that_come_back_are_echoes() {
    let mut writer = on_bus(&[("s", 4)]);
    writer.append("s", 5, &["[1]", "[2]"]);
    for line in ["POSITION s me 4 4", "RDATA s me batch [1]", "RDATA s me 5 [2]"] {
        assert_eq!(writer.hear(line), NOTHING, "{line}");
    }
    assert_eq!(writer.stats().echoes, 3);
}

#[test]
fn somebody_else_with_our_name_is_noticed_by_what_we_never_sent() {
    for line in ["POSITION s me 6 6", "RDATA s me 6 []", "RDATA other me 1 []"] {
        let mut writer = on_bus(&[("s", 4)]);
        writer.append("s", 5, &["[1]"]);
        let warned = writer.hear(line);
        assert!(warned.len() == 1 && warned[0].starts_with("DuplicateInstance"), "{warned:?}");
    }
}

#[test]
fn an_observer_publishes_nothing() {
    let mut writer = unconnected(&[("s", 4)], |config| config.observe_only = true);
    assert_eq!(writer.connect(), NOTHING);
    assert_eq!(writer.append("s", 5, &["[1]"]), NOTHING);
    assert_eq!(writer.append("new", 5, &["[1]"]), NOTHING);
    assert_eq!(writer.hear("REPLICATE "), NOTHING);
}

#[test]
fn a_client_of_direct_tcp_sends_no_rows_of_its_own() {
    let mut writer = unconnected(&[("s", 4)], |config| {
        config.transport = Transport::Tcp("1.66".parse().expect("a release"))
    });
    writer.connect();
    assert_eq!(writer.append("s", 5, &["[1]"]), NOTHING);
}

#[test]
fn a_node_without_a_connection_of_its_own_makes_none() {
    let mut writer = server(&[("s", 4)]);
    assert_eq!(writer.bench.conn, None);
    assert_eq!(writer.append("s", 5, &["[1]"]), NOTHING);
    assert_eq!(writer.handle(Input::Shutdown), ["stopped"]);
}

#[test]
fn more_own_streams_than_allowed_are_refused_and_said_once() {
    let mut writer = on_bus_with(&[("a", 1)], |config| config.publish.own_streams_max = 2);
    assert_eq!(writer.append("b", 0, &[]).len(), 1);
    let shown = writer.append("c", 1, &["[]"]);
    assert!(shown.len() == 1 && shown[0].starts_with("TooManyStreams"), "{shown:?}");
    assert_eq!(writer.append("d", 1, &["[]"]), NOTHING);
    let mut config = config(&[("a", 1)]);
    config.publish.own_streams_max = 0;
    let error = synrepl_core::Node::new(config).expect_err("one is too many").to_string();
    assert!(error.contains("own_streams_max"), "{error}");
}

#[test]
fn a_shutdown_sends_what_the_logs_hold_before_it_closes() {
    let mut writer = on_bus_with(&[("s", 0)], |config| {
        config.publish.log_rows_max = 1;
        config.publish.unconfirmed_max = 3;
    });
    writer.write("s", 1, &["[1]"]);
    assert_eq!(writer.append("s", 2, &["[2]"]), ["c1< RDATA s me 1 [1]"]);
    assert_eq!(writer.handle(Input::Shutdown), NOTHING, "the bus can take no more yet");
    assert_eq!(writer.append("s", 3, &["[3]"]), NOTHING, "too late");
    for line in ["REPLICATE ", "POSITION other w 4 4", "RDATA other w 5 [1]", "RDATA other w x []"]
    {
        assert_eq!(writer.hear(line), NOTHING, "nothing is taken in any more");
    }
    assert_eq!(writer.sent(3), ["published s 1", "c1< RDATA s me 2 [2]", "close c1"]);
    assert_eq!(writer.sent(1), ["published s 2"]);
    assert_eq!(writer.lose(), ["stopped"]);
    assert!(writer.bench.node.is_stopped());
}

#[test]
fn a_shutdown_does_not_wait_for_a_log_that_cannot_be_read_or_a_connection_that_is_lost() {
    let mut writer = on_bus(&[("s", 0)]);
    writer.holds_reads = true;
    writer.append("s", 1, &["[1]"]);
    assert_eq!(writer.handle(Input::Shutdown), NOTHING);
    assert_eq!(writer.fail_next().last().expect("closes"), "close c1");

    let mut writer = on_bus(&[("s", 0)]);
    writer.holds_reads = true;
    writer.append("s", 1, &["[1]"]);
    writer.fail_next();
    assert_eq!(writer.handle(Input::Shutdown), ["close c1"]);

    let mut writer = on_bus(&[("s", 0)]);
    writer.holds_reads = true;
    writer.append("s", 1, &["[1]"]);
    assert_eq!(writer.handle(Input::Shutdown), NOTHING);
    assert_eq!(writer.lose(), ["stopped"]);
    assert_eq!(writer.wait(60_000), NOTHING);
}

#[test]
fn what_was_never_sent_cannot_have_gone_out() {
    let mut writer = on_bus(&[("s", 0)]);
    let conn = writer.bench.conn();
    for count in [0, 3, u32::MAX] {
        let misuse = writer.try_handle(Input::Sent { conn, count });
        assert_eq!(misuse, Err(Misuse::NothingToConfirm(conn)), "{count}");
    }
    writer.sent(2);
    let misuse = writer.try_handle(Input::Sent { conn, count: 1 });
    assert_eq!(misuse, Err(Misuse::NothingToConfirm(conn)));
}

#[test]
fn pages_that_were_never_asked_for_and_names_that_cannot_be_sent_are_misuse() {
    let mut writer = on_bus(&[("s", 0)]);
    let query = ReadId::new(1);
    let never_asked = Input::LogRead { query, result: Ok(Page::default()) };
    assert_eq!(writer.try_handle(never_asked), Err(Misuse::UnknownRead(query)));
    for name in ["", "a b", "a\n"] {
        let appended = Input::Appended { stream: name.into(), token: Token::new(1) };
        assert_eq!(writer.try_handle(appended), Err(Misuse::BadStreamName), "{name:?}");
    }
}

#[test]
fn a_page_that_comes_twice_is_sent_once() {
    let mut writer = on_bus(&[("s", 0)]);
    writer.holds_reads = true;
    writer.append("s", 1, &["[1]"]);
    let read = writer.reads[0].clone();
    assert_eq!(writer.answer_next(), ["c1< RDATA s me 1 [1]"]);
    let again = read.answer(&writer.logs);
    assert_eq!(writer.handle(again), NOTHING);
}

#[test]
fn p6_only_streams_that_synapse_has_from_us_go_out_where_it_listens() {
    let mut writer = unconnected(&[("typing", 3), ("logins", 4)], |config| {
        config.publish.main_channel = MainChannel::Streams(["typing".to_owned()].into())
    });
    assert_eq!(
        writer.connect(),
        ["c1< REPLICATE", "c1/synrepl< POSITION logins me 4 4", "c1< POSITION typing me 3 3",]
    );
    writer.write("logins", 5, &["[1]", "[2]"]);
    assert_eq!(
        writer.append("logins", 9, &[]),
        [
            "c1/synrepl< RDATA logins me batch [1]",
            "c1/synrepl< RDATA logins me 5 [2]",
            "c1/synrepl< POSITION logins me 5 9",
        ]
    );
    assert_eq!(writer.append("typing", 4, &["[3]"]), ["c1< RDATA typing me 4 [3]"]);
    assert_eq!(
        writer.append("events", 1, &["[4]"]),
        ["c1/synrepl< POSITION events me 0 0", "c1/synrepl< RDATA events me 1 [4]"],
        "a stream that Synapse knows has other writers there"
    );
}

#[test]
fn p6_another_writer_of_a_stream_that_takes_one_is_named_once() {
    let streams = [("typing", 3), ("receipts", 4)];
    let mut writer = unconnected(&streams, |config| {
        let named = streams.map(|(name, _)| name.to_owned());
        config.publish.main_channel = MainChannel::Streams(named.into());
    });
    writer.connect();
    let mut warned = |line| {
        let shown = writer.hear(line);
        shown.iter().any(|event| event.starts_with("OtherWriter"))
    };
    assert!(warned("POSITION typing p1 1 1"));
    assert!(!warned("POSITION typing p2 1 1"), "it is said once");
    assert!(!warned("POSITION receipts p1 1 1"), "several may write it");
    assert!(!warned("POSITION typing me 3 3"), "that is our own");
}
