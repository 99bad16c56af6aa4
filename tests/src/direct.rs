//! The verdict over direct TCP: compares what a follower delivered with a plain connection that
//! received everything.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Source,
    follow::{Line, Run},
    held::{RowText, Rows, row_text},
    legacy::INSTANCE,
    truth::Told,
};

/// The streams that keep every row. The others hold the state of a user, a room, ... as it is at
/// the time of a request, which may be between two states that were sent.
const LOGS: [&str; 1] = ["events"];

/// The deliveries of one stream, by the lines of all runs.
#[derive(Clone, Debug, Default)]
struct Delivered {
    /// The first position.
    first: Option<i64>,
    /// The rows of all runs.
    rows: BTreeSet<(i64, RowText)>,
    /// The rows of live origin.
    live: BTreeSet<(i64, RowText)>,
    /// The number of times that a row came in one run between two resets, at most, if more than
    /// once.
    repeats: BTreeMap<(i64, RowText), usize>,
    /// The spans that were caught up: above the first token, up to the second.
    windows: Vec<(i64, i64)>,
}

impl Delivered {
    fn read(runs: &[Run]) -> BTreeMap<String, Self> {
        let mut all: BTreeMap<String, Self> = BTreeMap::new();
        for run in runs {
            let mut counts: BTreeMap<String, BTreeMap<(i64, RowText), usize>> = BTreeMap::new();
            for line in &run.lines {
                let (Some(source), Some(position)) = (line.source(), line.position()) else {
                    continue;
                };
                let of = all.entry(source.stream.clone()).or_default();
                of.first.get_or_insert(position);
                match line {
                    Line::Rows { token, rows, origin, .. } => {
                        for row in rows {
                            let row = row_text(row);
                            let counts = counts.entry(source.stream.clone()).or_default();
                            let count = counts.entry((*token, row.clone())).or_default();
                            *count += 1;
                            if *count > 1 {
                                let most = of.repeats.entry((*token, row.clone())).or_default();
                                *most = (*count).max(*most);
                            }
                            if origin == "live" {
                                of.live.insert((*token, row.clone()));
                            }
                            of.rows.insert((*token, row));
                        }
                    }
                    Line::CatchingUp { from, upto, .. } => of.windows.push((*from, *upto)),
                    Line::Live { token, .. } => {
                        if let Some(window) = of.windows.last_mut() {
                            window.1 = window.1.max(*token);
                        }
                    }
                    Line::Reset { .. } => {
                        counts.remove(&source.stream);
                    }
                    Line::Position { .. }
                    | Line::Gap { .. }
                    | Line::Connected
                    | Line::Disconnected
                    | Line::Command { .. }
                    | Line::Other => {}
                }
            }
        }
        all
    }

    fn was_caught_up(&self, token: i64) -> bool {
        self.windows.iter().any(|(from, upto)| *from < token && token <= *upto)
    }
}

/// The faults, empty if there are none: rows that the plain connection received while the follower
/// was live and that did not come, rows that came more often in a run than they were sent (a reset
/// of the stream begins a new run), and rows that were neither sent nor held.
///
/// Rows that were caught up come as the server holds them then, not as they were sent: compare
/// those with [`judge`](crate::oracle::judge).
///
/// `until` is the position of each stream when the follower was stopped at the end: rows that were
/// sent above it may not have come.
pub fn compare(
    runs: &[Run],
    told: &Told,
    held: &BTreeMap<String, Rows>,
    until: &BTreeMap<String, i64>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let delivered = Delivered::read(runs);
    for (stream, rows) in &told.rows {
        let Some(of) = delivered.get(stream) else {
            wrong.push(format!("{stream}: nothing was said of it"));
            continue;
        };
        let first = of.first.unwrap_or(i64::MAX);
        let until = until.get(stream).copied().unwrap_or(i64::MAX);
        for row in rows.iter().filter(|(token, _)| first < *token && *token <= until) {
            if !of.rows.contains(row) && !of.was_caught_up(row.0) {
                wrong.push(format!("{stream}: sent while live, never delivered: {row:?}"));
            }
        }
    }
    let none = Rows::new();
    for (stream, of) in &delivered {
        let mut sent: BTreeMap<&(i64, RowText), usize> = BTreeMap::new();
        for row in told.rows.get(stream).into_iter().flatten() {
            *sent.entry(row).or_default() += 1;
        }
        for (row, count) in &of.repeats {
            if *count > sent.get(row).copied().unwrap_or(1) {
                wrong.push(format!("{stream}: {count} times in one run: {row:?}"));
            }
        }
        let held = held.get(stream).unwrap_or(&none);
        for row in &of.rows {
            let is_live = of.live.contains(row);
            let known = sent.contains_key(row) || (held.contains(row) && !is_live);
            if !known && (is_live || LOGS.contains(&stream.as_str())) {
                wrong.push(format!("{stream}: delivered, but neither sent nor held: {row:?}"));
            }
        }
    }
    wrong
}

/// The highest token of each stream in these lines.
pub fn reached(lines: &[Line]) -> BTreeMap<String, i64> {
    let mut reached = BTreeMap::new();
    for line in lines {
        let token = if let Line::Rows { token, .. } = line { Some(*token) } else { None };
        if let (Some(Source { stream, instance }), Some(token)) =
            (line.source(), token.max(line.position()))
            && instance == INSTANCE
        {
            let at = reached.entry(stream).or_insert(token);
            *at = token.max(*at);
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::follow::SavedPositions;

    fn line(mut value: Value) -> Line {
        value["stream"] = "events".into();
        value["instance"] = INSTANCE.into();
        serde_json::from_value(value).unwrap()
    }

    fn rows(token: i64, origin: &str) -> Line {
        line(json!({
            "type": "rows", "token": token, "rows": [token], "origin": origin, "position": token,
        }))
    }

    fn live(token: i64) -> Line {
        line(json!({"type": "live", "token": token}))
    }

    fn told(tokens: &[i64]) -> Told {
        let mut told = Told::default();
        for token in tokens {
            told.take(&format!("RDATA events {token} {token}"), true).unwrap();
        }
        told
    }

    fn verdict(lines: Vec<Line>, sent: &[i64], held: &[i64]) -> Vec<String> {
        let held = held.iter().map(|token| (*token, token.to_string())).collect();
        let held = BTreeMap::from([("events".to_owned(), held)]);
        let until = BTreeMap::from([("events".to_owned(), 8)]);
        compare(&[Run { saved: SavedPositions::new(), lines }], &told(sent), &held, &until)
    }

    #[test]
    fn what_was_sent_while_live_must_come() {
        let lines = || vec![live(3), rows(4, "live"), rows(6, "live")];
        assert_eq!(verdict(lines(), &[2, 4, 6, 9], &[]), Vec::<String>::new(), "9 is too late");
        let wrong = verdict(lines(), &[4, 5, 6], &[]);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(wrong[0].contains("never delivered: (5,"), "{wrong:?}");
    }

    #[test]
    fn what_was_caught_up_may_have_been_superseded() {
        let catching_up = line(json!({"type": "catching_up", "from": 4, "upto": 6}));
        let lines = vec![live(3), rows(4, "live"), catching_up, rows(6, "catch_up"), live(7)];
        assert_eq!(verdict(lines.clone(), &[4, 5, 6, 7], &[6]), Vec::<String>::new());
        let wrong = verdict(lines, &[4, 5, 6, 8], &[6]);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
    }

    #[test]
    fn a_row_may_come_as_often_as_it_was_sent() {
        let twice = || vec![live(3), rows(4, "live"), rows(4, "live")];
        assert_eq!(verdict(twice(), &[4, 4], &[]), Vec::<String>::new());
        assert_eq!(verdict(twice(), &[4], &[]).len(), 1);
    }

    #[test]
    fn a_row_may_come_again_after_a_reset_alone() {
        let reset = line(json!({"type": "reset", "token": 0}));
        let again = vec![live(3), rows(4, "live"), reset, rows(4, "catch_up")];
        assert_eq!(verdict(again, &[4], &[4]), Vec::<String>::new());
        let without = vec![live(3), rows(4, "live"), rows(4, "catch_up")];
        assert_eq!(verdict(without, &[4], &[4]).len(), 1);
    }

    #[test]
    fn a_row_that_was_neither_sent_nor_held_is_found() {
        assert_eq!(verdict(vec![live(3), rows(4, "catch_up")], &[], &[]).len(), 1);
        assert_eq!(verdict(vec![live(3), rows(4, "catch_up")], &[], &[4]), Vec::<String>::new());
        assert_eq!(verdict(vec![live(3), rows(4, "live")], &[], &[4]).len(), 1);
    }
}
