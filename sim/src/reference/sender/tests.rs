//! The commands that other instances receive from the sender, by era.

use bytes::BytesMut;
use synrepl_core::wire::{Decoder, Dialect, encode};

use super::*;

struct Bench {
    sender: Sender,
    conn: ConnectionId,
    reads: Vec<(ReadId, String, i64, i64)>,
    sent: Vec<String>,
}

impl Bench {
    fn new(rules: Rules, streams: &[(&str, i64)]) -> Self {
        let mut config = Config::default();
        config.instance = "a".to_owned();
        for (stream, token) in streams {
            config.publish.own_streams.insert((*stream).to_owned(), Token::new(*token));
        }
        let sender = Sender::new(rules, &config);
        let (reads, sent) = (Vec::new(), Vec::new());
        let mut bench = Self { sender, conn: ConnectionId::new(0), reads, sent };
        bench.drain();
        bench
    }

    /// Creates a connected sender with nothing left to send; its first commands are discarded.
    fn connected(rules: Rules, streams: &[(&str, i64)]) -> Self {
        let mut bench = Self::new(rules, streams);
        bench.give(Input::Connected { conn: bench.conn });
        bench.sent.clear();
        bench
    }

    fn give(&mut self, input: Input) {
        self.sender.handle(Timestamp::ZERO, input).unwrap();
        self.drain();
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "other actions are not looked at")]
    fn drain(&mut self) {
        while let Some(action) = self.sender.poll_action() {
            match action {
                Action::Connect { conn } => self.conn = conn,
                Action::ReadLog { query, stream, span: Span { from, upto }, .. } => {
                    self.reads.push((query, stream.to_string(), from.get(), upto.get()));
                }
                Action::Send { command, .. } => {
                    let mut line = BytesMut::new();
                    encode(&command, Dialect::LATEST, &mut line).unwrap();
                    self.sent.push(String::from_utf8(line.to_vec()).unwrap());
                }
                _ => {}
            }
        }
    }

    fn hear(&mut self, line: &'static str) {
        let command = Decoder::new().decode(&line.into()).unwrap();
        self.give(Input::Received { conn: self.conn, command });
    }

    fn append(&mut self, stream: &'static str, token: i64) {
        self.give(Input::Appended { stream: stream.into(), token: Token::new(token) });
    }

    /// Responds to the oldest read of a log with all rows that it requested.
    fn answer(&mut self, updates: &[(i64, &str)]) {
        let (query, _, _, upto) = self.reads.remove(0);
        let updates =
            updates.iter().map(|(token, row)| (Token::new(*token), Row::from(*row))).collect();
        let page = Page { updates, upto: Token::new(upto), limited: false };
        self.give(Input::LogRead { query, result: Ok(page) });
    }
}

const ERAS: [Rules; 3] = [Rules::V1_18, Rules::V1_60, Rules::V1_157];

#[test]
fn rows_go_out_in_order_with_all_but_the_last_of_a_token_marked() {
    for rules in ERAS {
        let mut bench = Bench::connected(rules, &[("receipts", 1)]);
        bench.append("receipts", 3);
        bench.answer(&[(2, "[1]"), (2, "[2]"), (3, "[3]")]);
        let rows =
            ["RDATA receipts a batch [1]", "RDATA receipts a 2 [2]", "RDATA receipts a 3 [3]"];
        assert_eq!(bench.sent, rows);
    }
}

#[test]
fn h9_to_1_96_what_is_unsent_is_announced_first() {
    for rules in [Rules::V1_18, Rules::V1_60] {
        let mut bench = Bench::connected(rules, &[("receipts", 1)]);
        bench.append("receipts", 3);
        bench.hear("REPLICATE ");
        bench.answer(&[(2, "[2]"), (3, "[3]")]);
        let order = ["POSITION receipts a 3 3", "RDATA receipts a 2 [2]", "RDATA receipts a 3 [3]"];
        assert_eq!(bench.sent, order);
    }
}

#[test]
fn since_1_97_an_announcement_waits_for_the_rows_before_it() {
    let mut bench = Bench::connected(Rules::V1_157, &[("receipts", 1)]);
    bench.append("receipts", 3);
    bench.hear("REPLICATE ");
    bench.answer(&[(2, "[2]"), (3, "[3]")]);
    let order = ["RDATA receipts a 2 [2]", "RDATA receipts a 3 [3]", "POSITION receipts a 3 3"];
    assert_eq!(bench.sent, order);
}

#[test]
fn what_is_written_without_a_connection_is_skipped() {
    for rules in ERAS {
        let mut bench = Bench::new(rules, &[("receipts", 1)]);
        bench.append("receipts", 3);
        bench.give(Input::Connected { conn: bench.conn });
        assert!(bench.reads.is_empty());
        assert_eq!(bench.sent, ["REPLICATE ", "POSITION receipts a 3 3"]);
    }
}

#[test]
fn the_tokens_of_another_writer_are_announced_as_without_rows() {
    let mut e2 = Bench::connected(Rules::V1_60, &[("events", 1)]);
    e2.hear("RDATA events b 2 [2]");
    e2.answer(&[]);
    assert_eq!(e2.sent, ["POSITION events a 1 2"]);
    let mut e3 = Bench::connected(Rules::V1_157, &[("events", 1)]);
    e3.hear("RDATA events b 2 [2]");
    assert!(e3.reads.is_empty(), "it knows that it wrote nothing");
    assert_eq!(e3.sent, ["POSITION events a 1 2"]);
    let mut e1 = Bench::connected(Rules::V1_18, &[("events", 1)]);
    e1.hear("RDATA events b 2 [2]");
    assert!(e1.sent.is_empty());
}

#[test]
fn caches_that_others_wrote_are_passed_over_in_silence() {
    let mut bench = Bench::connected(Rules::V1_157, &[("caches", 1)]);
    bench.hear("RDATA caches b 2 [2]");
    assert!(bench.sent.is_empty() && bench.reads.is_empty());
}

#[test]
fn since_1_78_rows_that_end_below_the_current_token_are_closed_by_a_position() {
    for (rules, closed) in [(Rules::V1_60, false), (Rules::V1_157, true)] {
        let mut bench = Bench::connected(rules, &[("backfill", 1)]);
        bench.append("backfill", 4);
        bench.answer(&[(4, "[4]"), (3, "[3]"), (2, "[2]")]);
        assert_eq!(bench.sent.contains(&"POSITION backfill a 2 4".to_owned()), closed);
    }
}

#[test]
fn a_look_that_fails_ends_the_loop_until_the_next_poke() {
    for rules in ERAS {
        let mut bench = Bench::connected(rules, &[("receipts", 1)]);
        bench.append("receipts", 2);
        let (query, ..) = bench.reads.remove(0);
        let error = LogError { stream: "receipts".into(), message: "locked".into() };
        bench.give(Input::LogRead { query, result: Err(error) });
        assert!(bench.reads.is_empty() && bench.sent.is_empty());
        bench.append("receipts", 3);
        bench.answer(&[(2, "[2]"), (3, "[3]")]);
        assert_eq!(bench.sent.len(), 2);
    }
}

#[test]
fn what_is_appended_during_a_look_is_sent_by_the_next_pass() {
    for rules in ERAS {
        let mut bench = Bench::connected(rules, &[("receipts", 1)]);
        bench.append("receipts", 2);
        bench.append("receipts", 3);
        bench.answer(&[(2, "[2]")]);
        bench.answer(&[(3, "[3]")]);
        assert_eq!(bench.sent, ["RDATA receipts a 2 [2]", "RDATA receipts a 3 [3]"]);
    }
}

#[test]
fn events_are_looked_at_every_second_since_1_22() {
    for (rules, looks) in [(Rules::V1_18, false), (Rules::V1_60, true), (Rules::V1_157, true)] {
        let mut bench = Bench::connected(rules, &[("events", 1)]);
        bench.give(Input::Tick);
        assert_eq!(bench.sender.poll_timeout().is_some(), looks);
    }
}
