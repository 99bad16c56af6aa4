//! The account of the demonstration. Rows written, acknowledgements and events enter; a table
//! leaves that compares what was written with what each follower was given.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::json;
use synrepl_core::{
    Event, Origin,
    stream::{Span, Token},
};

/// A row of the demonstration, by its stream and its number there.
pub(super) type RowId = (String, u64);

/// The rows that the writer was given, and which of them it acknowledged.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The value is true once the row was acknowledged. A row that never was may be in the log or
    /// not: the writer was killed before it answered.
    rows: BTreeMap<RowId, bool>,
}

impl Written {
    pub(super) fn hand_over(&mut self, row: RowId) {
        self.rows.insert(row, false);
    }

    pub(super) fn acknowledge(&mut self, row: RowId) {
        self.rows.insert(row, true);
    }

    /// The rows that were acknowledged.
    pub(super) fn acknowledged(&self) -> impl Iterator<Item = &RowId> {
        self.rows.iter().filter(|(_, acknowledged)| **acknowledged).map(|(row, _)| row)
    }
}

/// The deliveries to one follower.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// The number of times that each row was delivered.
    times: BTreeMap<RowId, u32>,
    /// The last token of each stream.
    tokens: BTreeMap<String, Token>,
    pub(super) fetched: u64,
    pub(super) connections_lost: u64,
    /// A sentence for each row that the writer did not write, each gap, and each token that did not
    /// rise.
    pub(super) wrong: Vec<String>,
}

/// The most sentences that are kept about faults.
const WRONG_MAX: usize = 20;

impl Delivered {
    /// Records an event.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others bring no rows")]
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::Rows { source, token, rows, origin, .. } => {
                let stream = source.stream();
                if self.tokens.get(stream).is_some_and(|last| last >= token) {
                    self.note(format!("{stream}: token {token} came after one that is not lower"));
                }
                self.tokens.insert(stream.to_owned(), *token);
                for row in rows.iter() {
                    let Ok((number, _)) = serde_json::from_str::<(u64, &str)>(row.as_str()) else {
                        self.note(format!("{stream}: a row that was not written: {row:.60?}"));
                        continue;
                    };
                    *self.times.entry((stream.to_owned(), number)).or_default() += 1;
                    self.fetched += u64::from(*origin == Origin::CatchUp);
                }
            }
            Event::Gap { source, span: Span { from, upto }, .. } => {
                self.note(format!("{source}: rows in ({from}, {upto}] could not be had"));
            }
            Event::Disconnected { retry_at: Some(_), .. } => self.connections_lost += 1,
            _ => {}
        }
    }

    fn note(&mut self, wrong: String) {
        if self.wrong.len() < WRONG_MAX {
            self.wrong.push(wrong);
        }
    }

    fn has(&self, row: &RowId) -> bool {
        self.times.contains_key(row)
    }

    /// The number of different rows that were delivered.
    pub(super) fn rows(&self) -> usize {
        self.times.len()
    }
}

/// The result: the totals, and one line per follower.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    written: usize,
    faults: u64,
    lines: Vec<Line>,
    wrong: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Line {
    follower: &'static str,
    delivered: usize,
    fetched: u64,
    cut: u64,
    lost: usize,
    repeated: u64,
}

impl Table {
    /// Compares what was written with what each follower was given. A row that was not acknowledged
    /// counts as written if any follower has it, for then it is in the log.
    pub(super) fn of(
        written: &Written,
        faults: u64,
        followers: &[(&'static str, &Delivered)],
    ) -> Self {
        let in_log: Vec<&RowId> = written
            .rows
            .iter()
            .filter(|(row, acknowledged)| {
                **acknowledged || followers.iter().any(|(_, delivered)| delivered.has(row))
            })
            .map(|(row, _)| row)
            .collect();
        let lines = followers
            .iter()
            .map(|(follower, delivered)| {
                let got = in_log.iter().filter(|row| delivered.has(row)).count();
                Line {
                    follower,
                    delivered: got,
                    fetched: delivered.fetched,
                    cut: delivered.connections_lost,
                    lost: in_log.len() - got,
                    repeated: delivered.times.values().map(|times| u64::from(times - 1)).sum(),
                }
            })
            .collect();
        let wrong = followers
            .iter()
            .flat_map(|(name, delivered)| {
                delivered.wrong.iter().map(move |wrong| format!("{name}: {wrong}"))
            })
            .collect();
        Self { written: in_log.len(), faults, lines, wrong }
    }

    /// Whether every follower has every row once and in order.
    pub(super) fn is_good(&self) -> bool {
        self.written > 0
            && self.wrong.is_empty()
            && self.lines.iter().all(|line| line.lost == 0 && line.repeated == 0)
    }

    /// The table as one JSON object. `delivered` is the lowest number of any follower; `lost`,
    /// `repeated`, `fetched` and `cut` are sums over the followers.
    pub(super) fn to_json(&self) -> String {
        let sum = |of: fn(&Line) -> u64| self.lines.iter().map(of).sum::<u64>();
        let delivered = self.lines.iter().map(|line| line.delivered).min().unwrap_or(0);
        let followers: Vec<_> = self
            .lines
            .iter()
            .map(|line| {
                json!({
                    "name": line.follower,
                    "delivered": line.delivered,
                    "fetched": line.fetched,
                    "cut": line.cut,
                    "lost": line.lost,
                    "repeated": line.repeated,
                })
            })
            .collect();
        json!({
            "written": self.written,
            "delivered": delivered,
            "lost": sum(|line| line.lost as u64),
            "repeated": sum(|line| line.repeated),
            "fetched": sum(|line| line.fetched),
            "cut": sum(|line| line.cut),
            "faults": self.faults,
            "followers": followers,
            "wrong": self.wrong,
        })
        .to_string()
    }

    /// The table as text for people.
    pub(super) fn to_text(&self) -> String {
        let mut text = format!(
            "{:<22}{:>10}{:>8}{:>10}{:>11}{:>7}{:>10}\n",
            "follower", "written", "cut", "fetched", "delivered", "lost", "repeated"
        );
        for line in &self.lines {
            let Line { follower, delivered, fetched, cut, lost, repeated } = line;
            let written = self.written;
            let _infallible = writeln!(
                text,
                "{follower:<22}{written:>10}{cut:>8}{fetched:>10}{delivered:>11}{lost:>7}{repeated:>10}"
            );
        }
        for wrong in &self.wrong {
            let _infallible = writeln!(text, "wrong: {wrong}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use synrepl_core::stream::{Row, Rows, Source};

    use super::*;

    fn row(number: u64) -> RowId {
        ("events".to_owned(), number)
    }

    fn delivery(token: i64, numbers: &[u64], origin: Origin) -> Event {
        let rows: Vec<Row> =
            numbers.iter().map(|number| Row::from(format!(r#"[{number},"x"]"#).as_str())).collect();
        let (source, token) = (Source::new("events", "writer"), Token::new(token));
        Event::Rows { source, token, rows: Rows::new(rows).unwrap(), origin, position: token }
    }

    fn table(acknowledged: &[u64], unknown: &[u64], events: [Vec<Event>; 2]) -> Table {
        let mut written = Written::default();
        for number in acknowledged {
            written.acknowledge(row(*number));
        }
        for number in unknown {
            written.hand_over(row(*number));
        }
        let delivered = events.map(|events| {
            let mut delivered = Delivered::default();
            events.iter().for_each(|event| delivered.take(event));
            delivered
        });
        Table::of(&written, 3, &[("one", &delivered[0]), ("two", &delivered[1])])
    }

    #[test]
    fn rows_that_all_have_once_and_in_order_are_a_good_result() {
        let all = || vec![delivery(1, &[0, 1], Origin::Live), delivery(2, &[2], Origin::CatchUp)];
        let table = table(&[0, 1, 2], &[], [all(), all()]);
        assert!(table.is_good(), "{table:?}");
        let json: serde_json::Value = serde_json::from_str(&table.to_json()).unwrap();
        assert_eq!((&json["written"], &json["delivered"]), (&json!(3), &json!(3)));
        assert_eq!((&json["fetched"], &json["faults"]), (&json!(2), &json!(3)));
    }

    #[test]
    fn a_missing_row_is_lost_and_one_that_comes_twice_repeated() {
        let few = vec![delivery(1, &[0], Origin::Live), delivery(2, &[0], Origin::Live)];
        let all = vec![delivery(1, &[0, 1], Origin::Live)];
        let table = table(&[0, 1], &[], [few, all]);
        assert!(!table.is_good());
        assert_eq!((table.lines[0].lost, table.lines[0].repeated), (1, 1));
        assert_eq!((table.lines[1].lost, table.lines[1].repeated), (0, 0));
    }

    #[test]
    fn a_row_without_acknowledgement_is_written_if_anyone_has_it() {
        let with = || vec![delivery(1, &[0, 1], Origin::Live)];
        let without = || vec![delivery(1, &[0], Origin::Live)];
        assert!(table(&[0], &[1], [without(), without()]).is_good());
        assert!(table(&[0], &[1], [with(), with()]).is_good());
        assert!(!table(&[0], &[1], [with(), without()]).is_good());
    }

    #[test]
    fn a_token_that_does_not_rise_is_wrong() {
        let back = vec![delivery(2, &[0], Origin::Live), delivery(1, &[1], Origin::Live)];
        let all = vec![delivery(1, &[0], Origin::Live), delivery(2, &[1], Origin::Live)];
        let table = table(&[0, 1], &[], [back, all]);
        assert!(!table.is_good() && table.wrong.len() == 1, "{table:?}");
    }

    #[test]
    fn nothing_written_is_no_good_result() {
        assert!(!table(&[], &[], [vec![], vec![]]).is_good());
    }
}
