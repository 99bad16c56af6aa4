//! A recording of the Redis of a real deployment, and the comparison of a follower's lines with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    Failure, Source,
    delivered::{BURSTS, LOOSE, SHARED},
    deployment::Message,
    follow::Line,
    held::{RowText, row_text},
    writers::RESETTABLE,
};

/// A token and its rows, in order.
pub type Batch = (i64, Vec<RowText>);

/// The recording `modern-redis.jsonl`.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// Every message, in order.
    pub messages: Vec<Message>,
}

/// The rows of one source, by the recording or by the lines of a follower.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The batches of each epoch; a new epoch begins whenever the tokens start over.
    pub epochs: Vec<Vec<Batch>>,
    /// The number of rows in all epochs.
    pub row_count: usize,
    /// The number of these that were fetched.
    pub fetched_count: usize,
}

/// The rows and commands of a deployment, by the recording or by the lines of a follower.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The rows of each source.
    pub sources: BTreeMap<Source, Told>,
    /// The number of times that each command came that is neither RDATA nor POSITION.
    pub commands: BTreeMap<String, usize>,
    /// A sentence for each gap, and for any other fault.
    pub wrong: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Record {
    ch: String,
    m: String,
}

/// The parts of an RDATA: source, token (none for `batch`) and row.
fn rdata(message: &Message) -> Option<(Source, Option<i64>, &str)> {
    let text = std::str::from_utf8(&message.text).ok()?.strip_prefix("RDATA ")?;
    let mut words = text.splitn(4, ' ');
    let source = Source::new(words.next()?, words.next()?);
    let token = words.next()?;
    Some((source, if token == "batch" { None } else { Some(token.parse().ok()?) }, words.next()?))
}

impl Capture {
    /// Reads the recording.
    ///
    /// # Errors
    /// Fails if the recording is not there or not what it should be.
    pub fn read() -> Result<Self, Failure> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/modern-redis.jsonl");
        let text = fs::read_to_string(&path).map_err(|error| format!("{path:?}: {error}"))?;
        let mut messages = Vec::new();
        for line in text.lines() {
            let record: Record = serde_json::from_str(line)?;
            messages.push(Message::new(&record.ch, record.m));
        }
        mark_sends(&mut messages);
        Ok(Self { messages })
    }

    /// The first place from `first` on inside a send of `stream`: at least one of its messages lies
    /// before it and at least one behind it. The place is the number of messages before it.
    pub fn amid_a_send(&self, stream: &str, first: usize) -> Option<usize> {
        let is_amid =
            |message: &Message| message.amid.as_ref().is_some_and(|source| source.stream == stream);
        Some(first + self.messages.get(first..)?.iter().position(is_amid)? + 1)
    }

    /// The first place from `first` on that is followed by a message that begins with `start`.
    pub fn before(&self, start: &str, first: usize) -> Option<usize> {
        let begins = |message: &Message| message.text.starts_with(start.as_bytes());
        Some(first + self.messages.get(first..)?.iter().position(begins)?)
    }

    /// The account that the lines of a follower must give if it misses nothing.
    pub fn account(&self, channels: &[&str]) -> Account {
        let mut account = Account::default();
        let mut batches: BTreeMap<Source, Vec<RowText>> = BTreeMap::new();
        let mut last: BTreeMap<Source, i64> = BTreeMap::new();
        let heard = self.messages.iter().filter(|of| channels.contains(&of.channel.as_str()));
        for message in heard {
            let text = String::from_utf8_lossy(&message.text);
            if let Some((source, token, row)) = rdata(message) {
                let row = serde_json::from_str::<Value>(row).map_or_else(
                    |error| format!("the recording's own row is bad: {error}"),
                    |row| row_text(&row),
                );
                let told = account.sources.entry(source.clone()).or_default();
                told.row_count += 1;
                let batch = batches.entry(source.clone()).or_default();
                batch.push(row);
                if let Some(token) = token {
                    told.add((token, std::mem::take(batch)));
                    last.insert(source, token);
                }
            } else if let Some(position) = text.strip_prefix("POSITION ") {
                let mut words = position.split(' ');
                let mut word = || words.next().unwrap_or_default();
                let source = Source::new(word(), word());
                let (_prev, new) = (word(), word());
                let new = new.parse::<i64>().unwrap_or_default();
                let told = account.sources.entry(source.clone()).or_default();
                let resettable = RESETTABLE.contains(&source.stream.as_str());
                if resettable && last.get(&source).is_some_and(|last| new < *last) {
                    told.epochs.push(Vec::new());
                }
                last.insert(source, new);
            } else {
                let name = text.split(' ').next().unwrap_or_default();
                *account.commands.entry(name.to_owned()).or_default() += 1;
            }
        }
        account
    }
}

/// Marks the messages behind which a send goes on: all but the last of a batch, and of a falling
/// run of tokens.
fn mark_sends(messages: &mut [Message]) {
    let mut next: BTreeMap<Source, i64> = BTreeMap::new();
    for message in messages.iter_mut().rev() {
        let Some((source, token, _)) = rdata(message) else { continue };
        match token {
            None => message.amid = Some(source),
            Some(token) => {
                let falls = next.get(&source).is_some_and(|next| *next <= token);
                if source.stream == BURSTS && falls {
                    message.amid = Some(source.clone());
                }
                next.insert(source, token);
            }
        }
    }
}

impl Told {
    fn add(&mut self, batch: Batch) {
        if self.epochs.is_empty() {
            self.epochs.push(Vec::new());
        }
        if let Some(epoch) = self.epochs.last_mut() {
            epoch.push(batch);
        }
    }

    /// Every row with its token, of all epochs.
    fn rows(&self) -> impl Iterator<Item = (i64, &RowText)> {
        let batches = self.epochs.iter().flatten();
        batches.flat_map(|(token, rows)| rows.iter().map(|row| (*token, row)))
    }
}

impl Account {
    /// The account that the lines of a follower give.
    pub fn of_lines(lines: &[Line]) -> Self {
        let mut account = Self::default();
        for line in lines {
            let Some(source) = line.source() else {
                if let Line::Command { command } = line {
                    *account.commands.entry(command.clone()).or_default() += 1;
                }
                continue;
            };
            let told = account.sources.entry(source.clone()).or_default();
            match line {
                Line::Rows { token, rows, origin, .. } => {
                    told.row_count += rows.len();
                    told.fetched_count += if origin == "catch_up" { rows.len() } else { 0 };
                    told.add((*token, rows.iter().map(row_text).collect()));
                }
                Line::Reset { .. } => told.epochs.push(Vec::new()),
                Line::Gap { from, upto, reason, .. } => {
                    account.wrong.push(format!("{source}: gap ({from}, {upto}]: {reason}"));
                }
                Line::Position { .. }
                | Line::Live { .. }
                | Line::CatchingUp { .. }
                | Line::Connected
                | Line::Disconnected
                | Line::Command { .. }
                | Line::Other => {}
            }
        }
        account
    }

    /// The faults of `delivered` if this account is the truth; empty if there are none.
    ///
    /// For a source in its writer's memory, `lost` gives the number of batches of an epoch that
    /// ended with the writer before anyone could receive or fetch them.
    pub fn compare(&self, delivered: &Self, lost: impl Fn(&Source, usize) -> usize) -> Vec<String> {
        let mut wrong = delivered.wrong.clone();
        for source in delivered.sources.keys().filter(|of| !self.sources.contains_key(*of)) {
            wrong.push(format!("{source}: nobody wrote it"));
        }
        let nothing = Told::default();
        for (source, truth) in &self.sources {
            let told = delivered.sources.get(source).unwrap_or(&nothing);
            let problem = match source.stream.as_str() {
                LOOSE => compare_loose(truth, told),
                BURSTS => compare_once(truth.rows(), told.rows()),
                stream if RESETTABLE.contains(&stream) => {
                    compare_epochs(truth, told, |epoch| lost(source, epoch))
                }
                // The writers of such a stream are compared together, below.
                stream if SHARED.contains(&stream) => compare_rising(told),
                _ => compare_list(truth, told),
            };
            wrong.extend(problem.map(|problem| format!("{source}: {problem}")));
        }
        for stream in SHARED {
            let rows = |account: &Self| -> Vec<(i64, RowText)> {
                let of_stream = account.sources.iter().filter(|(of, _)| of.stream == stream);
                let rows = of_stream.flat_map(|(_, told)| told.rows());
                rows.map(|(token, row)| (token, row.clone())).collect()
            };
            // The writers repeat each other's rows.
            let truth: BTreeSet<_> = rows(self).into_iter().collect();
            let told = rows(delivered);
            let problem = compare_once(
                truth.iter().map(|(token, row)| (*token, row)),
                told.iter().map(|(token, row)| (*token, row)),
            );
            wrong.extend(problem.map(|problem| format!("{stream} of all writers: {problem}")));
        }
        wrong
    }

    /// A table of what was written and delivered, for people.
    pub fn table(&self, delivered: &Self) -> String {
        let mut table = format!(
            "{:<32}{:>9}{:>11}{:>9}{:>8}\n",
            "source", "recorded", "delivered", "fetched", "resets"
        );
        let nothing = Told::default();
        for (source, truth) in &self.sources {
            let told = delivered.sources.get(source).unwrap_or(&nothing);
            // Writing to a string does not fail.
            let _ = writeln!(
                table,
                "{:<32}{:>9}{:>11}{:>9}{:>8}",
                source.to_string(),
                truth.row_count,
                told.row_count,
                told.fetched_count,
                told.epochs.len().saturating_sub(1),
            );
        }
        for (name, count) in &self.commands {
            let told = delivered.commands.get(name).copied().unwrap_or_default();
            let _ = writeln!(table, "{name:<32}{count:>9}{told:>11}");
        }
        table
    }
}

/// A fault, unless the batches are the same in the same order.
fn compare_list(truth: &Told, told: &Told) -> Option<String> {
    let mut truth = truth.epochs.iter().flatten();
    let mut told = told.epochs.iter().flatten();
    loop {
        match (truth.next(), told.next()) {
            (None, None) => return None,
            (expected, got) if expected == got => {}
            (expected, got) => return Some(format!("expected {expected:?}, delivered {got:?}")),
        }
    }
}

/// A fault, unless the tokens rise.
fn compare_rising(told: &Told) -> Option<String> {
    let tokens: Vec<_> = told.epochs.iter().flatten().map(|(token, _)| *token).collect();
    let falls = tokens.windows(2).find(|pair| pair[0] >= pair[1])?;
    Some(format!("{} came after {}", falls[1], falls[0]))
}

/// A fault, unless the rows are the same, each once, in any order.
fn compare_once<'a>(
    truth: impl Iterator<Item = (i64, &'a RowText)>,
    told: impl Iterator<Item = (i64, &'a RowText)>,
) -> Option<String> {
    let mut missing: BTreeMap<_, usize> = BTreeMap::new();
    for row in truth {
        *missing.entry(row).or_default() += 1;
    }
    for row in told {
        match missing.get_mut(&row) {
            Some(count) if *count > 0 => *count -= 1,
            Some(_) => return Some(format!("delivered twice: {row:?}")),
            None => return Some(format!("never written: {row:?}")),
        }
    }
    let lost = missing.into_iter().find(|(_, count)| *count > 0)?;
    Some(format!("never delivered: {:?}", lost.0))
}

/// A fault, unless every row came at least once, and none that was never written.
fn compare_loose(truth: &Told, told: &Told) -> Option<String> {
    let truth: BTreeSet<_> = truth.rows().collect();
    let told: BTreeSet<_> = told.rows().collect();
    if let Some(lost) = truth.difference(&told).next() {
        return Some(format!("never delivered: {lost:?}"));
    }
    told.difference(&truth).next().map(|made_up| format!("never written: {made_up:?}"))
}

/// A fault, unless the batches after each reset begin an epoch of the writer, and the last delivery
/// of each epoch has all of it that could be had.
fn compare_epochs(truth: &Told, told: &Told, lost: impl Fn(usize) -> usize) -> Option<String> {
    let mut at = 0;
    let mut whole = vec![false; truth.epochs.len()];
    for told in told.epochs.iter().filter(|told| !told.is_empty()) {
        let follows = truth.epochs[at..].iter().position(|epoch| epoch.starts_with(told));
        let Some(further) = follows else {
            return Some(format!("no epoch begins with these {} batches: {told:?}", told.len()));
        };
        at += further;
        whole[at] = told.len() + lost(at) >= truth.epochs[at].len();
    }
    for (at, epoch) in truth.epochs.iter().enumerate() {
        if !whole[at] && epoch.len() > lost(at) {
            let count = epoch.len();
            return Some(format!("not all {count} batches of epoch {at} were delivered"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNELS: [&str; 1] = ["c"];

    fn capture(lines: &[&str]) -> Capture {
        let mut messages: Vec<_> = lines.iter().map(|line| Message::new("c", *line)).collect();
        mark_sends(&mut messages);
        Capture { messages }
    }

    fn told(stream: &str, epochs: &[&[(i64, &str)]]) -> Account {
        let batch = |(token, row): &(i64, &str)| (*token, vec![(*row).to_owned()]);
        let epochs: Vec<Vec<_>> =
            epochs.iter().map(|epoch| epoch.iter().map(batch).collect()).collect();
        let told = Told { epochs, ..Told::default() };
        Account { sources: [(Source::new(stream, "w"), told)].into(), ..Account::default() }
    }

    fn wrong(stream: &str, lines: &[&str], delivered: &[&[(i64, &str)]]) -> usize {
        let lines: Vec<_> = lines.iter().map(|line| line.replace('?', stream)).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        capture(&lines).account(&CHANNELS).compare(&told(stream, delivered), |_, _| 0).len()
    }

    #[test]
    fn a_send_is_a_batch_or_a_falling_run() {
        let capture = capture(&[
            "RDATA events w batch [1]",
            "RDATA events w 4 [2]",
            "RDATA events w 3 [2]",
            "RDATA backfill w 7 [1]",
            "RDATA backfill x 9 [1]",
            "RDATA backfill w 6 [1]",
            "RDATA backfill w 8 [1]",
        ]);
        let amid: Vec<_> = capture.messages.iter().map(|message| message.amid.is_some()).collect();
        assert_eq!(amid, [true, false, false, true, false, false, false]);
        assert_eq!(capture.amid_a_send("backfill", 0), Some(4));
        assert_eq!(capture.before("RDATA backfill x", 1), Some(4));
    }

    #[test]
    fn lost_and_repeated_and_made_up_rows_are_found_in_every_class_of_streams() {
        let lines = ["RDATA ? w 1 [1]", "RDATA ? w 2 [2]", "RDATA other w 1 []"];
        let other = 1; // of the stream `other` nothing was delivered
        for stream in ["events", "backfill", "caches", "typing", "profile_updates"] {
            let count = |delivered: &[(i64, &str)]| wrong(stream, &lines, &[delivered]) - other;
            assert_eq!(count(&[(1, "[1]"), (2, "[2]")]), 0, "{stream}: right");
            assert!(count(&[(2, "[2]")]) > 0, "{stream}: the first is lost");
            assert!(count(&[(1, "[1]")]) > 0, "{stream}: the last is lost");
            assert!(count(&[(1, "[1]"), (2, "[2]"), (3, "[3]")]) > 0, "{stream}: made up");
            let twice = count(&[(1, "[1]"), (1, "[1]"), (2, "[2]")]);
            assert_eq!(twice > 0, stream != LOOSE, "{stream}: twice");
        }
        assert_eq!(wrong("events", &lines, &[&[(2, "[2]"), (1, "[1]")]]) - other, 1);
        assert_eq!(wrong("backfill", &lines, &[&[(2, "[2]"), (1, "[1]")]]) - other, 0);
    }

    #[test]
    fn epochs_are_compared_one_by_one() {
        let lines = [
            "RDATA typing w 1 [1]",
            "RDATA typing w 2 [2]",
            "POSITION typing w 0 0",
            "RDATA typing w 1 [3]",
        ];
        let (first, second): (&[_], &[_]) = (&[(1, "[1]"), (2, "[2]")], &[(1, "[3]")]);
        assert_eq!(wrong("typing", &lines, &[first, second]), 0);
        assert_eq!(wrong("typing", &lines, &[&first[..1], first, second]), 0, "reset between");
        assert_eq!(wrong("typing", &lines, &[first, &first[..1], second]), 1, "not all again");
        assert_eq!(wrong("typing", &lines, &[first]), 1);
        assert_eq!(wrong("typing", &lines, &[second]), 1);
        assert_eq!(wrong("typing", &lines, &[second, first]), 1);
        let account = capture(&lines).account(&CHANNELS);
        let lost = account.compare(&told("typing", &[&first[..1], second]), |_, epoch| 1 - epoch);
        assert!(lost.is_empty(), "{lost:?}");
    }
}
