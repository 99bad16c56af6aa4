//! The logs of a deployment's writers. The lines that they publish on Redis enter; pages for
//! catch-up requests leave, with the peculiarities of Synapse's (`docs/seen.md`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use crate::{
    Source,
    delivered::{BURSTS, LOOSE},
};

/// The number of rows in one page.
const PAGE_ROWS: usize = 100;
/// The streams that live in the writer's memory: a lower position means that the stream started
/// over.
pub const RESETTABLE: [&str; 3] = ["federation", "presence_federation", "typing"];
/// The streams of which every writer answers with the rows of all.
const HELD_BY_ALL: [&str; 2] = ["profile_updates", "sticky_events"];
/// The streams whose pages end at the end of a token. Others may end inside one.
const WHOLE_TOKENS: [&str; 2] = ["events", "presence_federation"];

/// The logs of all writers.
#[derive(Clone, Debug, Default)]
pub struct Writers {
    logs: BTreeMap<Source, Log>,
}

#[derive(Clone, Debug, Default)]
struct Log {
    /// The position that the writer announced; `None` before the first.
    announced: Option<i64>,
    /// The rows as they are on the wire, in the order in which they were written.
    rows: Vec<(i64, String)>,
    /// The rows whose token is not known yet.
    batch: Vec<String>,
}

/// An answer to a catch-up request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Held {
    /// The body of a page.
    Page(String),
    /// The stream is not known.
    UnknownStream,
}

impl Writers {
    /// Records a line that a writer publishes or is about to publish. Lines that are neither RDATA
    /// nor POSITION, or not well formed, change nothing.
    pub fn take(&mut self, line: &str) {
        let mut words = line.splitn(5, ' ');
        let mut next = || words.next().unwrap_or_default();
        let (name, stream, instance, token, rest) = (next(), next(), next(), next(), next());
        let source = Source::new(stream, instance);
        match (name, token, token.parse::<i64>(), rest.parse::<i64>()) {
            ("RDATA", "batch", _, _) => {
                self.logs.entry(source).or_default().batch.push(rest.to_owned());
            }
            ("RDATA", _, Ok(token), _) => {
                let log = self.logs.entry(source).or_default();
                let batch = std::mem::take(&mut log.batch);
                log.rows.extend(batch.into_iter().map(|row| (token, row)));
                log.rows.push((token, rest.to_owned()));
                log.announced = log.announced.map(|announced| announced.max(token));
            }
            ("POSITION", _, Ok(_), Ok(new)) => {
                let resettable = RESETTABLE.contains(&source.stream.as_str());
                let log = self.logs.entry(source).or_default();
                let started_over = resettable && log.announced.is_some_and(|at| new < at);
                if started_over {
                    *log = Log::default();
                }
                log.announced = log.announced.max(Some(new));
            }
            _ => {}
        }
    }

    /// The position of each source that was announced.
    pub fn announced(&self) -> BTreeMap<Source, i64> {
        self.logs
            .iter()
            .filter_map(|(source, log)| Some((source.clone(), log.announced?)))
            .collect()
    }

    /// One page of `source` in `(from, upto]`, as `source.instance` answers.
    pub fn page(&self, source: &Source, from: i64, upto: i64) -> Held {
        let known =
            |other: &Source| other.stream == source.stream && self.logs[other].announced.is_some();
        if !self.logs.keys().any(known) {
            return Held::UnknownStream;
        }
        let stream = source.stream.as_str();
        let held_by_all = HELD_BY_ALL.contains(&stream);
        let mut rows = Vec::new();
        let mut seen = BTreeSet::new();
        for (of, log) in &self.logs {
            if of.stream != stream || (of.instance != source.instance && !held_by_all) {
                continue;
            }
            let above = log.rows.iter().filter(|(token, _)| *token > from);
            // Pages of `caches` ignore the end of the span that was requested.
            let wanted = above.filter(|(token, _)| *token <= upto || stream == LOOSE);
            rows.extend(wanted.filter(|row| seen.insert(*row)));
        }
        rows.sort_by_key(|(token, _)| *token);
        if stream == BURSTS {
            rows.reverse();
        }
        let mut end = rows.len().min(PAGE_ROWS);
        if WHOLE_TOKENS.contains(&stream) {
            let cut_inside = |end: usize| end < rows.len() && rows[end].0 == rows[end - 1].0;
            while end > 0 && cut_inside(end) {
                end += 1;
            }
        }
        let limited = end < rows.len();
        let complete = if limited { rows[end - 1].0 } else { upto };
        rows.truncate(end);
        Held::Page(page_text(&rows, complete, limited))
    }
}

/// The body of a page.
pub fn page_text(rows: &[&(i64, String)], upto: i64, limited: bool) -> String {
    let mut text = "{\"updates\":[".to_owned();
    for (index, (token, row)) in rows.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}[{token},{row}]");
    }
    let _ = write!(text, "],\"upto_token\":{upto},\"limited\":{limited}}}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str]) -> Writers {
        let mut writers = Writers::default();
        for line in lines {
            writers.take(line);
        }
        writers
    }

    fn page(writers: &Writers, stream: &str, instance: &str, from: i64, upto: i64) -> String {
        match writers.page(&Source::new(stream, instance), from, upto) {
            Held::Page(text) => text,
            Held::UnknownStream => "unknown".to_owned(),
        }
    }

    #[test]
    fn a_batch_is_held_under_its_token_once_that_is_known() {
        let mut writers = after(&["POSITION events p1 1 1", "RDATA events p1 batch [1]"]);
        let empty = r#"{"updates":[],"upto_token":9,"limited":false}"#;
        assert_eq!(page(&writers, "events", "p1", 0, 9), empty);
        writers.take("RDATA events p1 4 [2, 3]");
        let whole = r#"{"updates":[[4,[1]],[4,[2, 3]]],"upto_token":9,"limited":false}"#;
        assert_eq!(page(&writers, "events", "p1", 0, 9), whole);
        assert_eq!(page(&writers, "events", "p1", 4, 9), empty);
        assert_eq!(page(&writers, "events", "p2", 0, 9), empty, "another writer's");
        assert_eq!(page(&writers, "nosuch", "p1", 0, 9), "unknown");
    }

    #[test]
    fn a_lower_position_empties_what_lived_in_memory_alone() {
        for (stream, rows) in [("typing", 0), ("receipts", 1)] {
            let line = |text: &str| text.replace('?', stream);
            let writers = after(&[
                &line("POSITION ? s1 1 1"),
                &line("RDATA ? s1 2 [0]"),
                &line("POSITION ? s1 0 0"),
            ]);
            let text = page(&writers, stream, "s1", 0, 9);
            assert_eq!(text.matches("[0]").count(), rows, "{stream}: {text}");
            assert_eq!(writers.announced()[&Source::new(stream, "s1")], 2 * (rows as i64));
        }
    }

    #[test]
    fn pages_end_as_those_of_the_real_writers_do() {
        for (stream, end, rows) in [
            ("receipts", "\"upto_token\":34,\"limited\":true}", 100),
            ("events", "\"upto_token\":34,\"limited\":true}", 102),
            ("caches", "\"upto_token\":34,\"limited\":true}", 100),
            ("backfill", "\"upto_token\":7,\"limited\":true}", 100),
        ] {
            let mut writers = after(&[&format!("POSITION {stream} p1 0 0")]);
            for number in 0..120 {
                writers.take(&format!("RDATA {stream} p1 {} [{number}]", 1 + number / 3));
            }
            let upto = if stream == LOOSE { 3 } else { 40 };
            let text = page(&writers, stream, "p1", 0, upto);
            assert!(text.ends_with(end), "{stream}: {text}");
            assert_eq!(text.matches('[').count(), 1 + 2 * rows, "{stream}");
        }
    }
}
