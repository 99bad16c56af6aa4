//! The deliveries of a follower over all its runs. Its lines enter; rows and positions by source
//! leave, and every violation that shows without the writers' logs.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Source,
    follow::{Line, Run},
    held::{RowText, Rows, row_text},
};

/// Streams of several writers whose logs answer with the rows of all of them.
pub const SHARED: [&str; 2] = ["profile_updates", "sticky_events"];
/// The stream that repeats rows and whose tokens go back.
pub const LOOSE: &str = "caches";
/// The stream whose tokens fall inside one send.
pub const BURSTS: &str = "backfill";

/// The deliveries of one source.
#[derive(Clone, Debug, Default)]
pub struct Delivered {
    /// The first position.
    pub first: i64,
    /// The last position.
    pub last: i64,
    /// The number of times that its tokens started over.
    pub resets: usize,
    /// The rows since the last reset.
    pub rows: Rows,
    /// The number of rows over all epochs, with repeats.
    pub row_count: usize,
    /// The number of rows over all epochs that were fetched.
    pub caught_up_count: usize,
    /// The token of the last row or position; a row at or below it would be a repeat.
    floor: Option<i64>,
    /// The rows of this run, for streams whose tokens do not rise.
    of_run: Rows,
    resets_before_run: usize,
}

/// The deliveries of all sources.
#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    sources: BTreeMap<Source, Delivered>,
    violations: Vec<String>,
    unclosed: Vec<&'static str>,
}

impl Deliveries {
    /// Reads the runs of one follower, each resumed from what the one before had saved.
    pub fn read(runs: &[Run]) -> Self {
        Self::read_with_unclosed(runs, &[])
    }

    /// Reads as [`Self::read`] does, where the tokens of these streams may fall and repeat. The
    /// number of times that a row came is not checked in these: the writers of some repeat rows
    /// themselves.
    pub fn read_with_unclosed(runs: &[Run], unclosed: &[&'static str]) -> Self {
        let mut all = Self { unclosed: unclosed.to_vec(), ..Self::default() };
        for run in runs {
            all.begin_run(run);
            let mut shared = BTreeSet::new();
            for line in &run.lines {
                all.take(line, &mut shared);
            }
        }
        all
    }

    /// The deliveries of each source.
    pub fn sources(&self) -> &BTreeMap<Source, Delivered> {
        &self.sources
    }

    /// The faults that show whatever the writers hold: gaps, repeats, falling tokens, positions
    /// that went back, rows at or below a position.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Whether this row of this stream was delivered under any writer.
    pub fn has_under_any_writer(&self, stream: &str, row: &(i64, RowText)) -> bool {
        self.sources.iter().any(|(source, of)| source.stream == stream && of.rows.contains(row))
    }

    fn begin_run(&mut self, run: &Run) {
        for (source, of) in &mut self.sources {
            of.of_run.clear();
            let saved = run.saved.get(&source.stream).and_then(|of| of.get(&source.instance));
            let Some(&saved) = saved else {
                self.violations.push(format!("{source}: its position was not saved"));
                continue;
            };
            // A position from before a reset may still stand in the file after a SIGKILL.
            if saved > of.last && of.resets == of.resets_before_run {
                self.violations.push(format!(
                    "{source}: saved position {saved} is above the last one, {}",
                    of.last
                ));
            }
            // Rows that were printed before their position was saved may be printed again.
            of.last = saved;
            of.floor = Some(saved);
            of.resets_before_run = of.resets;
        }
    }

    fn take(&mut self, line: &Line, shared: &mut BTreeSet<(String, i64, RowText)>) {
        let (Some(source), Some(position)) = (line.source(), line.position()) else {
            return;
        };
        let violations = &mut self.violations;
        let order = match source.stream.as_str() {
            LOOSE => Order::Any,
            stream if stream == BURSTS || self.unclosed.contains(&stream) => Order::Bursts,
            _ => Order::Rising,
        };
        let of = self.sources.entry(source.clone()).or_insert_with(|| Delivered {
            // If rows come before any position, the follower began just below them.
            first: if let Line::Rows { token, .. } = line { token - 1 } else { position },
            ..Delivered::default()
        });
        match line {
            Line::Rows { token, rows, origin, .. } => {
                of.row_count += rows.len();
                of.caught_up_count += if origin == "catch_up" { rows.len() } else { 0 };
                of.check_order(&source, order, *token, position, violations);
                for row in rows {
                    let row = (*token, row_text(row));
                    if source.stream == BURSTS && !of.of_run.insert(row.clone()) {
                        violations.push(format!("{source}: twice in one run: {row:?}"));
                    }
                    if SHARED.contains(&source.stream.as_str())
                        && !shared.insert((source.stream.clone(), row.0, row.1.clone()))
                    {
                        violations.push(format!("{source}: twice, by two writers: {row:?}"));
                    }
                    of.rows.insert(row);
                }
            }
            Line::Reset { token, .. } => {
                of.resets += 1;
                of.rows.clear();
                of.floor = Some(*token);
            }
            Line::Gap { from, upto, reason, .. } => {
                violations.push(format!("{source}: gap ({from}, {upto}]: {reason}"));
            }
            Line::Position { .. }
            | Line::Live { .. }
            | Line::CatchingUp { .. }
            | Line::Connected
            | Line::Disconnected
            | Line::Command { .. }
            | Line::Other => {}
        }
        if position < of.last && !matches!(line, Line::Reset { .. }) && of.has_position() {
            violations.push(format!("{source}: position went back from {} to {position}", of.last));
        }
        of.last = position;
        of.floor = of.floor.max(Some(position));
    }
}

/// The order that the tokens of a stream keep.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Rising,
    Bursts,
    Any,
}

impl Delivered {
    const fn has_position(&self) -> bool {
        self.floor.is_some()
    }

    /// Checks that a token is delivered once and above all before it, and is the position then. A
    /// burst may fall, but not to a position or below; in `caches` any order is right.
    fn check_order(
        &self,
        source: &Source,
        order: Order,
        token: i64,
        position: i64,
        violations: &mut Vec<String>,
    ) {
        if order == Order::Rising && position != token {
            violations.push(format!("{source}: position {position} with the rows of {token}"));
        }
        if order != Order::Any && self.floor.is_some_and(|floor| token <= floor) {
            violations.push(format!(
                "{source}: rows of {token} came at or below {}",
                self.floor.unwrap_or_default()
            ));
        }
    }
}
