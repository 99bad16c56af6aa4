//! The hazards of `protocol.md` 4.10: each shows with the rules of the eras that it names.

use synrepl_core::wire::Decoder;

use super::*;

/// A receiver on a bus, with its open fetches and its events.
struct Bench {
    receiver: Receiver,
    conn: ConnectionId,
    fetches: Vec<(FetchId, Source, i64, i64)>,
    events: Vec<Event>,
}

const ERAS: [Rules; 3] = [Rules::V1_18, Rules::V1_60, Rules::V1_157];

impl Bench {
    /// Creates a connected receiver whose database holds these positions.
    fn new(rules: Rules, positions: &[(&str, &str, i64)]) -> Self {
        let mut config = Config::default();
        config.start = Start::Beginning;
        for (stream, instance, token) in positions {
            config.positions.set(&Source::new(stream, instance), Token::new(*token));
        }
        let mut bench = Self {
            receiver: Receiver::new(rules, &config),
            conn: ConnectionId::new(0),
            fetches: Vec::new(),
            events: Vec::new(),
        };
        bench.connect();
        bench
    }

    fn connect(&mut self) {
        self.drain();
        self.give(Input::Connected { conn: self.conn });
    }

    fn give(&mut self, input: Input) {
        self.receiver.handle(Timestamp::ZERO, input).unwrap();
        self.drain();
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "other actions are not looked at")]
    fn drain(&mut self) {
        while let Some(action) = self.receiver.poll_action() {
            match action {
                Action::Connect { conn } => self.conn = conn,
                Action::Fetch { query, source, span: Span { from, upto } } => {
                    self.fetches.push((query, source, from.get(), upto.get()));
                }
                Action::Notify(event) => self.events.push(event),
                Action::Close { .. } => {
                    self.give(Input::Disconnected { conn: self.conn, reason: "closed".into() });
                }
                _ => {}
            }
        }
    }

    fn hear(&mut self, lines: &[&str]) {
        for line in lines {
            let command = Decoder::new().decode(&line.as_bytes().to_vec().into()).unwrap();
            self.give(Input::Received { conn: self.conn, command });
        }
    }

    /// Responds to the oldest fetch, which must be for this range.
    fn answer(&mut self, range: (i64, i64), updates: &[(i64, &str)]) {
        self.answer_page(range, updates, range.1, false);
    }

    fn answer_page(
        &mut self,
        range: (i64, i64),
        updates: &[(i64, &str)],
        upto: i64,
        limited: bool,
    ) {
        let (query, _, from, to) = self.fetches.remove(0);
        assert_eq!((from, to), range);
        let updates =
            updates.iter().map(|(token, row)| (Token::new(*token), Row::from(*row))).collect();
        let page = Page { updates, upto: Token::new(upto), limited };
        self.give(Input::Fetched { query, result: Ok(page) });
    }

    fn fail(&mut self) {
        let (query, ..) = self.fetches.remove(0);
        let error = FetchError::TimedOut { endpoint: "http://writer".to_owned(), after_ms: 1 };
        self.give(Input::Fetched { query, result: Err(error) });
    }

    /// Returns the applied rows as `instance token row row ...`.
    fn applied(&self) -> Vec<String> {
        let mut applied = Vec::new();
        for event in &self.events {
            if let Event::Rows { source, token, rows, .. } = event {
                let rows: Vec<_> = rows.iter().map(Row::as_str).collect();
                applied.push(format!("{} {token} {}", source.instance(), rows.join(" ")));
            }
        }
        applied
    }

    fn current(&self, stream: &str, instance: &str) -> i64 {
        self.receiver.current(&Source::new(stream, instance)).get()
    }
}

fn two_writers(rules: Rules) -> Bench {
    let mut bench = Bench::new(rules, &[("events", "a", 1), ("events", "b", 1)]);
    bench.hear(&["POSITION events a 1 1", "POSITION events b 1 1"]);
    bench
}

#[test]
fn h1_batches_of_two_writers_are_glued_together() {
    for rules in ERAS {
        let mut bench = two_writers(rules);
        bench.hear(&["RDATA events a batch [1]", "RDATA events b 3 [3]", "RDATA events a 2 [2]"]);
        assert_eq!(bench.applied(), ["b 3 [1] [3]", "a 2 [2]"]);
    }
}

#[test]
fn h2_a_position_of_another_writer_drops_half_a_batch() {
    for rules in ERAS {
        let mut bench = two_writers(rules);
        bench.hear(&["RDATA events a batch [1]", "POSITION events b 1 4"]);
        if rules.missing == Missing::TokenDiffers {
            bench.answer((1, 4), &[]);
        }
        bench.hear(&["RDATA events a 2 [2]"]);
        assert_eq!(bench.applied(), ["a 2 [2]"]);
        assert_eq!(bench.current("events", "a"), 2, "its position passes over the lost row");
    }
}

#[test]
fn h2_a_position_that_is_discarded_leaves_the_batch_alone() {
    let mut bench = two_writers(Rules::V1_157);
    bench.hear(&["RDATA events a batch [1]", "POSITION events b 1 1", "RDATA events a 2 [2]"]);
    assert_eq!(bench.applied(), ["a 2 [1] [2]"]);
}

#[test]
fn h3_rdata_of_b_before_its_position_loses_what_b_wrote_before() {
    for rules in ERAS {
        let mut bench = Bench::new(rules, &[("events", "a", 1), ("events", "b", 1)]);
        // B wrote 2 and 3 before the subscription; its row at 4 comes before its announcement.
        bench.hear(&["POSITION events a 1 1", "RDATA events b 4 [4]", "POSITION events b 4 4"]);
        assert!(bench.fetches.is_empty(), "nothing is missing, by the rules");
        assert_eq!(bench.applied(), ["b 4 [4]"]);
        assert_eq!(bench.current("events", "b"), 4);
    }
}

#[test]
fn h4_a_failed_catch_up_leaves_every_writer_of_the_stream_unheard() {
    for rules in ERAS {
        let mut bench = two_writers(rules);
        bench.hear(&["POSITION events b 3 3"]);
        bench.fail();
        bench.hear(&["RDATA events a 4 [4]", "RDATA events b 5 [5]"]);
        assert!(bench.applied().is_empty());
        // A handled POSITION of B connects the stream again; A's row at 4 stays lost.
        bench.hear(&["POSITION events b 5 5"]);
        bench.answer((1, 5), &[(3, "[3]"), (5, "[5]")]);
        bench.hear(&["RDATA events a 6 [6]"]);
        assert_eq!(bench.applied(), ["b 3 [3]", "b 5 [5]", "a 6 [6]"]);
    }
}

#[test]
fn h5_a_lost_message_is_invisible_once_the_next_has_come() {
    for rules in ERAS {
        let mut bench = two_writers(rules);
        bench.hear(&["RDATA events a 3 [3]", "POSITION events a 3 3"]);
        assert!(bench.fetches.is_empty(), "2 was lost on the way");
        assert_eq!(bench.applied(), ["a 3 [3]"]);
    }
}

#[test]
fn h5_a_lost_message_is_found_if_a_position_comes_next() {
    for rules in ERAS {
        let mut bench = two_writers(rules);
        bench.hear(&["POSITION events a 2 2"]);
        bench.answer((1, 2), &[(2, "[2]")]);
        assert_eq!(bench.applied(), ["a 2 [2]"]);
    }
}

#[test]
fn h6_a_command_whose_rows_raise_is_lost_with_its_rows() {
    for rules in ERAS {
        let mut bench = two_writers(rules);
        bench.receiver.fail_next_apply();
        bench.hear(&["RDATA events a 2 [2]", "RDATA events a 3 [3]"]);
        assert_eq!(bench.applied(), ["a 3 [3]"]);
    }
}

#[test]
fn h7_before_1_16_rows_are_applied_twice() {
    let run = |rules| {
        let mut bench = Bench::new(rules, &[("events", "a", 1)]);
        bench.hear(&["POSITION events a 3 3", "RDATA events a 3 [3]"]);
        bench.answer((1, 3), &[(3, "[3]")]);
        bench.applied()
    };
    assert_eq!(run(Rules::V1_15), ["a 3 [3]", "a 3 [3]"]);
    assert_eq!(run(Rules::V1_18), ["a 3 [3]"]);
}

#[test]
fn h8_twin_streams_of_one_generator_hide_each_others_rows() {
    let run = |rules| {
        let twins = [("account_data", "master", 1), ("tag_account_data", "master", 1)];
        let mut bench = Bench::new(rules, &twins);
        bench.hear(&[
            "POSITION account_data master 1 1",
            "POSITION tag_account_data master 1 1",
            "RDATA account_data master 3 [3]",
            "RDATA tag_account_data master 2 [2]",
        ]);
        bench.applied()
    };
    assert_eq!(run(Rules::V1_18), ["master 3 [3]"]);
    assert_eq!(run(Rules::V1_60), ["master 3 [3]"]);
    assert_eq!(run(Rules::V1_157), ["master 3 [3]", "master 2 [2]"]);
}

#[test]
fn h9_rows_announced_before_they_are_sent_are_fetched_and_then_dropped() {
    for rules in [Rules::V1_60, Rules::V1_157] {
        let mut bench = two_writers(rules);
        bench.hear(&["POSITION events a 3 3"]);
        bench.answer((1, 3), &[(2, "[2]"), (3, "[3]")]);
        bench.hear(&["RDATA events a 2 [2]", "RDATA events a 3 [3]"]);
        assert_eq!(bench.applied(), ["a 2 [2]", "a 3 [3]"]);
    }
}

#[test]
fn h10_rows_of_a_restarted_writer_in_memory_are_never_delivered() {
    for rules in ERAS {
        let mut bench = Bench::new(rules, &[]);
        bench.hear(&["POSITION typing t 0 0", "RDATA typing t 100 [100]"]);
        // The writer starts over and has written 1 to 3 by the time the receiver is connected
        // again.
        bench.hear(&["RDATA typing t 2 [2]", "POSITION typing t 3 3"]);
        bench.answer((100, 3), &[]);
        assert_eq!(bench.current("typing", "t"), 3);
        bench.hear(&["RDATA typing t 4 [4]"]);
        assert_eq!(bench.applied(), ["t 100 [100]", "t 4 [4]"]);
    }
}

#[test]
fn h10_before_1_16_the_position_is_not_even_set_back() {
    let mut bench = Bench::new(Rules::V1_15, &[]);
    bench.hear(&["POSITION typing t 0 0", "RDATA typing t 100 [100]", "POSITION typing t 3 3"]);
    bench.answer((100, 3), &[]);
    assert_eq!(bench.current("typing", "t"), 100);
}

#[test]
fn h11_every_position_of_federation_fetches_the_whole_queue_again() {
    for rules in ERAS {
        let mut bench = Bench::new(rules, &[]);
        for _ in 0..2 {
            bench.hear(&["POSITION federation master 5 5"]);
            bench.answer((0, 5), &[(4, "[4]"), (5, "[5]")]);
        }
        let round = ["master 4 [4]", "master 5 [5]"];
        assert_eq!(bench.applied(), [round, round].concat());
    }
}

#[test]
fn h13_of_falling_tokens_only_the_first_is_applied() {
    for rules in ERAS {
        let mut bench = Bench::new(rules, &[("backfill", "a", 1)]);
        bench.hear(&[
            "POSITION backfill a 1 1",
            "RDATA backfill a 4 [4]",
            "RDATA backfill a 3 [3]",
            "RDATA backfill a 2 [2]",
        ]);
        assert_eq!(bench.applied(), ["a 4 [4]"]);
    }
}

#[test]
fn h14_a_position_of_an_unknown_stream_ends_the_connection_since_1_97() {
    for (rules, connections) in [(Rules::V1_60, 1), (Rules::V1_157, 2)] {
        let mut bench = Bench::new(rules, &[]);
        bench.hear(&["POSITION from_the_future a 1 1"]);
        if let Some(at) = bench.receiver.poll_timeout() {
            bench.receiver.handle(at, Input::Tick).unwrap();
            bench.connect();
        }
        let connected = |event: &&Event| matches!(event, Event::Connected { .. });
        assert_eq!(bench.events.iter().filter(connected).count(), connections);
    }
}

#[test]
fn h15_a_token_that_two_pages_split_is_applied_in_two_parts() {
    for rules in ERAS {
        let mut bench = Bench::new(rules, &[("receipts", "a", 1)]);
        bench.hear(&["POSITION receipts a 2 2"]);
        bench.answer_page((1, 2), &[(2, "[1]")], 2, true);
        assert!(bench.fetches.is_empty(), "the rest of 2 cannot be asked for");
        assert_eq!(bench.applied(), ["a 2 [1]"]);
    }
}

#[test]
fn a_lagging_position_fetches_in_e2_but_not_in_e3() {
    for (rules, fetches) in [(Rules::V1_60, 1), (Rules::V1_157, 0)] {
        let mut bench = two_writers(rules);
        bench.hear(&["RDATA events a 3 [3]", "POSITION events a 2 4"]);
        assert_eq!(bench.fetches.len(), fetches);
    }
}

#[test]
fn rows_that_wait_for_a_catch_up_of_their_stream_are_applied_behind_it() {
    for rules in ERAS {
        let mut bench = Bench::new(rules, &[("receipts", "a", 1)]);
        bench.hear(&[
            "POSITION receipts a 5 5",
            "RDATA receipts a 6 [6]",
            "RDATA receipts a 7 [7]",
        ]);
        bench.answer_page((1, 5), &[(2, "[2]")], 3, true);
        bench.answer((3, 5), &[(4, "[41]"), (4, "[42]")]);
        assert_eq!(bench.applied(), ["a 2 [2]", "a 4 [41] [42]", "a 6 [6]", "a 7 [7]"]);
    }
}

#[test]
fn rows_that_waited_on_a_lost_connection_are_dropped() {
    for rules in ERAS {
        let mut bench = Bench::new(rules, &[("receipts", "a", 1)]);
        bench.hear(&["POSITION receipts a 5 5", "RDATA receipts a 6 [6]"]);
        bench.give(Input::Disconnected { conn: bench.conn, reason: "lost".into() });
        bench.answer((1, 5), &[(5, "[5]")]);
        assert_eq!(bench.applied(), ["a 5 [5]"]);
        bench.receiver.handle(bench.receiver.poll_timeout().unwrap(), Input::Tick).unwrap();
        bench.connect();
        bench.hear(&["POSITION receipts a 6 6"]);
        bench.answer((5, 6), &[(6, "[6]")]);
        assert_eq!(bench.applied(), ["a 5 [5]", "a 6 [6]"]);
    }
}

#[test]
fn own_rows_and_unknown_streams_are_ignored() {
    for rules in ERAS {
        let mut bench = Bench::new(rules, &[]);
        bench.hear(&[
            "POSITION events synrepl 1 1",
            "RDATA events synrepl 2 [2]",
            "RDATA from_the_future a 2 [2]",
        ]);
        assert!(bench.applied().is_empty() && bench.fetches.is_empty());
    }
}
