//! The audit: whichever rows of a send get lost, it delivers each of them once, and moves no
//! position (promises F2, F3 and F6).

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests say what they expect"
)]

use std::{collections::BTreeMap, time::Duration};

use crate::bench::Bench;
use synrepl_core::{
    Action, Config, Event, Input, Node, Origin, Transport,
    stream::{Page, Row, Source, Span, Token},
};

/// The writer's log: tokens with their rows.
const LOG: [(i64, &[&str]); 4] =
    [(11, &["[1]", "[2]"]), (12, &["[3]"]), (13, &["[4]", "[5]", "[6]"]), (15, &["[7]"])];
const ROWS: usize = 7;
const PERIOD: Duration = Duration::from_secs(8);

struct Run {
    bench: Bench,
    stream: &'static str,
    page_rows_max: usize,
    delivered: BTreeMap<(Token, Row), u32>,
    last_found: Option<Token>,
}

impl Run {
    /// A source that is live at 10.
    fn new(stream: &'static str, page_rows_max: usize) -> Self {
        let mut config = Config::default();
        config.audit.audit_every = Some(PERIOD);
        Self::configured(stream, page_rows_max, config)
    }

    fn configured(stream: &'static str, page_rows_max: usize, mut config: Config) -> Self {
        // A look into a hole would find it first.
        config.holes.look_into_holes = false;
        let bench = Bench::connected(config);
        let delivered = BTreeMap::new();
        let mut run = Self { bench, stream, page_rows_max, delivered, last_found: None };
        run.line(&format!("POSITION {stream} w 10 10"));
        run
    }

    fn line(&mut self, line: &str) {
        let actions = self.bench.hear(line);
        self.act(actions);
    }

    /// Time for four looks.
    fn pass(&mut self) {
        for _ in 0..4 {
            let actions = self.bench.pass(PERIOD * 5 / 4);
            self.act(actions);
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Fetch { query, span: Span { from, upto }, .. } => {
                    let result = Ok(self.page(from, upto));
                    let actions = self.bench.handle(Input::Fetched { query, result });
                    self.act(actions);
                }
                Action::Notify(Event::Rows { token, rows, origin, position, .. }) => {
                    self.on_rows(token, rows.to_vec(), origin, position);
                }
                _ => {}
            }
        }
    }

    fn on_rows(&mut self, token: Token, rows: Vec<Row>, origin: Origin, position: Token) {
        if origin == Origin::Audit {
            assert!(self.last_found < Some(token), "{token} after {:?}", self.last_found);
            assert!(token <= position, "{token} above {position}");
            assert_eq!(Some(position), self.position(), "the position stays");
            self.last_found = Some(token);
        }
        for row in rows {
            *self.delivered.entry((token, row)).or_default() += 1;
        }
    }

    fn position(&self) -> Option<Token> {
        self.bench.node.positions().get(&Source::new(self.stream, "w"))
    }

    /// A page of the log, in the manner of the stream.
    fn page(&self, from: Token, upto: Token) -> Page {
        let within = |token: i64| from.get() < token && token <= upto.get();
        let mut updates: Vec<_> = LOG
            .iter()
            .filter(|(token, _)| within(*token))
            .flat_map(|(token, rows)| rows.iter().map(|row| (Token::new(*token), Row::from(*row))))
            .collect();
        if self.stream == "backfill" {
            updates.reverse();
        }
        let limited = updates.len() > self.page_rows_max;
        updates.truncate(self.page_rows_max);
        let upto = if limited { updates.last().unwrap().0 } else { upto };
        Page { updates, upto, limited }
    }
}

/// Sends the log but for the rows whose bit is set in `lost`.
fn send(run: &mut Run, lost: u32) {
    let mut number = 0;
    for (token, rows) in LOG {
        for (index, row) in rows.iter().enumerate() {
            let last = index + 1 == rows.len();
            let token = if last { token.to_string() } else { "batch".to_owned() };
            if lost & (1 << number) == 0 {
                run.line(&format!("RDATA {} w {token} {row}", run.stream));
            }
            number += 1;
        }
    }
    // What comes next hides every loss.
    run.line(&format!("POSITION {} w 15 16", run.stream));
}

#[test]
fn whichever_rows_get_lost_each_of_them_is_delivered_and_none_twice() {
    for stream in ["events", "receipts", "typing", "backfill", "device_lists", "from_the_future"] {
        for (lost, page_rows_max) in (0..1_u32 << ROWS).flat_map(|lost| [(lost, 3), (lost, 100)]) {
            let mut run = Run::new(stream, page_rows_max);
            send(&mut run, lost);
            let position = run.position();
            run.pass();
            assert_eq!(run.position(), position);
            for (token, row) in
                LOG.iter().flat_map(|(token, rows)| rows.iter().map(move |row| (token, row)))
            {
                let key = (Token::new(*token), Row::from(*row));
                let came = run.delivered.get(&key).copied();
                assert_eq!(came, Some(1), "{row} at {token} of {stream}, lost {lost:07b}");
            }
        }
    }
}

#[test]
fn where_nothing_gets_lost_nothing_is_found() {
    for stream in
        ["events", "receipts", "typing", "backfill", "caches", "device_lists", "to_device"]
    {
        let mut run = Run::new(stream, 3);
        send(&mut run, 0);
        run.pass();
        let stats = run.bench.node.stats();
        assert_eq!(stats.rows_audited, 0, "{stream}");
        assert!(stats.fetches > 0, "{stream}: it was looked");
    }
}

#[test]
fn without_it_nothing_is_asked_or_remembered() {
    let mut config = Config::default();
    config.continuity.continuity = false;
    let mut run = Run::configured("events", 100, config);
    send(&mut run, 0b10);
    run.pass();
    let stats = run.bench.node.stats();
    assert_eq!((stats.fetches, stats.audit_rows_now), (0, 0));
}

#[test]
fn a_setting_that_cannot_work_is_refused_with_what_to_do() {
    let refused = |change: fn(&mut Config)| {
        let mut config = Config::default();
        config.audit.audit_every = Some(Duration::from_secs(1));
        assert_eq!(config.validate(), Ok(()), "the least that is allowed");
        change(&mut config);
        Node::new(config).expect_err("it cannot work").to_string()
    };
    let soon = refused(|config| config.audit.audit_every = Some(Duration::from_millis(999)));
    assert!(soon.contains("audit_every") && soon.contains("below 1 s"), "{soon}");
    let oldest = refused(|config| config.transport = Transport::Tcp("1.12".parse().unwrap()));
    assert!(oldest.contains("audit_every") && oldest.contains("leave it out"), "{oldest}");
    for none in [
        refused(|config| config.audit.audit_rows_max = 0),
        refused(|config| config.audit.audit_tokens_max = 0),
    ] {
        assert!(none.contains("must be at least 1"), "{none}");
    }
}
