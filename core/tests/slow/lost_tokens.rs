//! A token that is lost with its PUBLISH, at any place of a stream (F12): how long it takes until its
//! rows are delivered, in simulated time.
//!
//! Ten thousand recordings are made up from seeds: one writer or three, which append tokens of one
//! sequence at random and send each at once; all lines of one token are taken out. Nothing else is
//! wrong. The writers answer every fetch at once.

use std::{collections::BTreeMap, time::Duration};

use synrepl_core::{
    Action, Config, Event, Input, Origin, Timestamp,
    stream::{Page, Row, Token},
};

use crate::bench::Bench;

const CASES: u64 = 10_000;
const TOKENS: i64 = 40;
/// What is to be found by then.
const SOON: Duration = Duration::from_secs(15);

/// A fixed sequence of numbers.
struct Numbers(u64);

impl Numbers {
    /// Returns a number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// What became of the lost token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Found(Duration),
    /// Its writer sent nothing for half that time, so that nothing could show the loss. It was found
    /// soon after what it sent then.
    ShownLate,
    /// Its writer sent nothing more: there is nothing that shows the loss.
    NothingShowsIt,
    /// It was delivered later, or never.
    Late,
}

struct Run {
    bench: Bench,
    stream: &'static str,
    /// Whether a writer's page has the rows of all.
    is_shared: bool,
    /// The writers' log: the writer of each token, and its rows.
    log: BTreeMap<i64, (u64, Vec<String>)>,
    lost: Option<(i64, Timestamp)>,
    /// The last token of each writer that is committed.
    sent: BTreeMap<u64, i64>,
    found: Option<Duration>,
}

impl Run {
    fn new(stream: &'static str, writers: u64, seed: u64) -> Self {
        let mut config = Config::default();
        config.seed = seed;
        let mut run = Self {
            bench: Bench::connected(config),
            stream,
            is_shared: stream == "device_lists",
            log: BTreeMap::new(),
            lost: None,
            sent: BTreeMap::new(),
            found: None,
        };
        for writer in 0..writers {
            run.hear(&format!("POSITION {stream} w{writer} 0 0"));
            run.sent.insert(writer, 0);
        }
        run
    }

    fn hear(&mut self, line: &str) {
        let actions = self.bench.hear(line);
        self.act(actions);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.bench.now + time;
        while self.bench.is_due_by(end) {
            let actions = self.bench.handle(Input::Tick);
            self.act(actions);
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is of interest")]
    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Fetch { query, source, span } => {
                    let writer = source.instance()[1..].parse().expect("a writer's number");
                    assert!(span.upto.get() <= self.sent[&writer], "{source} has not sent {span}");
                    let page = self.page(writer, span.from.get(), span.upto);
                    let result = Ok(page);
                    let actions = self.bench.handle(Input::Fetched { query, result });
                    self.act(actions);
                }
                Action::Notify(Event::Rows { token, rows, origin, .. }) => {
                    let is_lost = self.lost.is_some_and(|(lost, _)| lost == token.get());
                    assert_eq!(is_lost, origin == Origin::Hole, "{token}");
                    let (_, all) = &self.log[&token.get()];
                    assert_eq!(rows.iter().map(Row::as_str).collect::<Vec<_>>(), *all);
                    if let Some((_, at)) = self.lost.filter(|_| is_lost) {
                        let after = self.bench.now.saturating_since(at);
                        assert_eq!(self.found.replace(after), None, "{token} came twice");
                    }
                }
                Action::Notify(Event::Gap { span, .. }) => panic!("a gap {span}"),
                _ => {}
            }
        }
    }

    fn page(&self, writer: u64, from: i64, upto: Token) -> Page {
        let rows = self.log.range(from + 1..=upto.get());
        let rows = rows.filter(|(_, (by, _))| self.is_shared || *by == writer);
        let rows = rows.flat_map(|(token, (_, rows))| {
            rows.iter().map(|row| (Token::new(*token), Row::from(row.as_str())))
        });
        Page { updates: rows.collect(), upto, limited: false }
    }

    /// A writer appends a token and sends it.
    fn append(&mut self, token: i64, writer: u64, rows: u64, is_lost: bool) {
        let texts: Vec<_> = (0..rows).map(|row| format!("[{token},{row}]")).collect();
        self.log.insert(token, (writer, texts.clone()));
        self.sent.insert(writer, token);
        if is_lost {
            self.lost = Some((token, self.bench.now));
            return;
        }
        let (last, first) = texts.split_last().expect("a token has rows");
        for row in first {
            self.hear(&format!("RDATA {} w{writer} batch {row}", self.stream));
        }
        self.hear(&format!("RDATA {} w{writer} {token} {last}", self.stream));
    }
}

/// Plays one recording.
fn play(stream: &'static str, writers: u64, seed: u64) -> Outcome {
    let mut numbers = Numbers(seed);
    let mut run = Run::new(stream, writers, seed);
    // All is settled, as nearly always.
    run.pass(Duration::from_secs(10));
    let mean_ms = 10_u64.pow(1 + u32::try_from(numbers.below(3)).expect("a small one"));
    let lost = 1 + i64::try_from(numbers.below(TOKENS as u64)).expect("a small one");
    let mut lost_by = None;
    let mut shown_after = None;
    for token in 1..=TOKENS {
        run.pass(Duration::from_millis(1 + numbers.below(2 * mean_ms)));
        let (writer, rows) = (numbers.below(writers), 1 + numbers.below(3));
        run.append(token, writer, rows, token == lost);
        // A shared page shows the rows of whoever wrote them.
        if token == lost {
            lost_by = Some(writer);
        } else if let Some((_, at)) = run.lost
            && (run.is_shared || lost_by == Some(writer))
        {
            shown_after.get_or_insert_with(|| run.bench.now.saturating_since(at));
        }
    }
    run.pass(Duration::from_secs(60));
    match (run.found, shown_after) {
        (Some(after), _) if after <= SOON => Outcome::Found(after),
        (None, None) => Outcome::NothingShowsIt,
        (Some(after), Some(shown)) if shown > SOON / 2 && after - shown <= SOON => {
            Outcome::ShownLate
        }
        (Some(_) | None, Some(_)) | (Some(_), None) => Outcome::Late,
    }
}

#[test]
fn a_lost_token_is_delivered_within_fifteen_seconds_wherever_it_stands() {
    for (stream, writers) in [("events", 1), ("events", 3), ("device_lists", 3), ("receipts", 2)] {
        let mut outcomes: Vec<_> = (0..CASES / 4).map(|seed| play(stream, writers, seed)).collect();
        outcomes.sort_unstable();
        let count = |of: Outcome| outcomes.iter().filter(|outcome| **outcome == of).count();
        let excused = (count(Outcome::ShownLate), count(Outcome::NothingShowsIt));
        let late = count(Outcome::Late);
        let found: Vec<_> = outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Outcome::Found(after) => Some(after.as_secs_f64()),
                Outcome::ShownLate | Outcome::NothingShowsIt | Outcome::Late => None,
            })
            .collect();
        let at = |percent: usize| found[(found.len() - 1) * percent / 100];
        println!(
            "{stream}, {writers} writers: {} found, half after {:.1} s, 95 % after {:.1} s, all \
             after {:.1} s; {late} later; {} that their writer shows later; {} that nothing shows",
            found.len(),
            at(50),
            at(95),
            at(100),
            excused.0,
            excused.1
        );
        assert!(late * 100 <= found.len() + late, "{stream}: {late} of {} were late", found.len());
        // The last tokens of each writer.
        let few = usize::try_from(CASES / 4).expect("a small one") / 10;
        assert!(excused.0 + excused.1 <= few, "{stream}: {excused:?} of them cannot be seen");
    }
}
