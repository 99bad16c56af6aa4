//! Inputs that break the contract of `Node::handle` are refused with a typed error and leave the
//! node as it was (promise C2).

use crate::bench::Bench;
use synrepl_core::{
    Config, ConnectionId, FetchId, Input, Misuse, ReadId, Timestamp, WaitId,
    stream::{Page, Source, Token},
    wire::{Command, Dialect},
};

const NOW: Timestamp = Timestamp::from_micros(10);

/// A node that has been told to make this connection.
fn connecting() -> (Bench, ConnectionId) {
    let mut bench = Bench { now: NOW, ..Bench::new(Config::default()) };
    bench.actions();
    let conn = bench.conn();
    (bench, conn)
}

#[track_caller]
fn refused(bench: &mut Bench, input: Input, expected: Misuse) {
    let before = bench.node.clone();
    assert_eq!(bench.try_hand(input), Err(expected));
    assert!(bench.node == before, "refused, and changed all the same");
    assert!(!expected.to_string().is_empty());
}

fn ping(conn: ConnectionId) -> Input {
    Input::Received { conn, command: Command::Ping("1".into()) }
}

#[test]
fn nothing_arrives_on_a_connection_before_it_is_made() {
    let (mut bench, conn) = connecting();
    refused(&mut bench, ping(conn), Misuse::WrongConnectionState(conn));
    refused(&mut bench, Input::Sent { conn, count: 1 }, Misuse::WrongConnectionState(conn));
}

#[test]
fn a_connection_is_made_once() {
    let (mut bench, conn) = connecting();
    assert_eq!(bench.try_hand(Input::Connected { conn }), Ok(()));
    refused(&mut bench, Input::Connected { conn }, Misuse::WrongConnectionState(conn));
}

#[test]
fn a_connection_that_was_not_asked_for_is_not_known() {
    let (mut bench, _) = connecting();
    let conn = ConnectionId::new(7);
    let gone = || Input::Disconnected { conn, reason: String::new() };
    for input in [Input::Connected { conn }, ping(conn), gone()] {
        refused(&mut bench, input, Misuse::UnknownConnection(conn));
    }
}

#[test]
fn an_accepted_connection_has_an_id_of_its_own() {
    let (mut bench, conn) = connecting();
    let dialect = Dialect::V1_22;
    refused(&mut bench, Input::Accepted { conn, dialect }, Misuse::ConnectionIdInUse(conn));
}

#[test]
fn lines_are_too_long_on_direct_tcp_alone() {
    let (mut bench, conn) = connecting();
    assert_eq!(bench.try_hand(Input::Connected { conn }), Ok(()));
    refused(&mut bench, Input::LineTooLong { conn }, Misuse::WrongConnectionState(conn));
}

#[test]
fn no_more_goes_out_than_was_sent() {
    let (mut bench, conn) = connecting();
    assert_eq!(bench.try_hand(Input::Connected { conn }), Ok(()));
    for count in [0, 2] {
        refused(&mut bench, Input::Sent { conn, count }, Misuse::NothingToConfirm(conn));
    }
    assert_eq!(bench.try_hand(Input::Sent { conn, count: 1 }), Ok(()), "REPLICATE");
}

#[test]
fn what_was_never_asked_for_is_not_answered() {
    let (mut bench, _) = connecting();
    for number in [0, 1] {
        let (fetch, read) = (FetchId::new(number), ReadId::new(number));
        let fetched = Input::Fetched { query: fetch, result: Ok(Page::default()) };
        refused(&mut bench, fetched, Misuse::UnknownFetch(fetch));
        let answer = Input::LogRead { query: read, result: Ok(Page::default()) };
        refused(&mut bench, answer, Misuse::UnknownRead(read));
    }
}

#[test]
fn two_open_waits_have_two_ids() {
    let (mut bench, _) = connecting();
    let wait = WaitId::new(1);
    let wait_for = || {
        let source = Source::new("events", "w");
        Input::WaitFor { wait, source, token: Token::new(9), deadline: Timestamp::from_micros(99) }
    };
    assert_eq!(bench.try_hand(wait_for()), Ok(()));
    refused(&mut bench, wait_for(), Misuse::WaitInUse(wait));
    assert_eq!(bench.try_hand(Input::CancelWait { wait }), Ok(()));
    assert_eq!(bench.try_hand(wait_for()), Ok(()), "it is free again");
}

#[test]
fn a_stream_has_a_name_that_the_wire_can_carry() {
    let (mut bench, _) = connecting();
    for stream in ["", "two words", "line\n"] {
        let appended = Input::Appended { stream: stream.into(), token: Token::new(1) };
        refused(&mut bench, appended, Misuse::BadStreamName);
    }
}

#[test]
fn time_does_not_go_back() {
    let (mut bench, _) = connecting();
    assert_eq!(bench.try_hand(Input::Tick), Ok(()));
    bench.now = Timestamp::from_micros(9);
    let back = Misuse::TimeWentBack { from: NOW, to: bench.now };
    refused(&mut bench, Input::Tick, back);
}

#[test]
fn only_the_connection_that_was_asked_for_can_be_made_or_lost() {
    let (mut bench, conn) = connecting();
    let wrong = ConnectionId::new(conn.get() + 1);
    let lost = || Input::Disconnected { conn: wrong, reason: "lost".to_owned() };
    refused(&mut bench, Input::Connected { conn: wrong }, Misuse::UnknownConnection(wrong));
    refused(&mut bench, lost(), Misuse::UnknownConnection(wrong));
    assert_eq!(bench.try_hand(Input::Connected { conn }), Ok(()));
    refused(&mut bench, Input::Connected { conn: wrong }, Misuse::UnknownConnection(wrong));
    refused(&mut bench, ping(wrong), Misuse::UnknownConnection(wrong));
}

#[test]
fn a_node_is_stopped_only_by_a_shutdown() {
    let (mut bench, conn) = connecting();
    assert_eq!(bench.try_hand(Input::Connected { conn }), Ok(()));
    assert!(!bench.node.is_stopped());
    assert_eq!(bench.try_hand(Input::Shutdown), Ok(()));
    bench.actions();
    let closed = Input::Disconnected { conn, reason: "closed".to_owned() };
    assert_eq!(bench.try_hand(closed), Ok(()));
    assert!(bench.node.is_stopped());
}
