//! A process that is killed while it appends, again and again: acknowledged batches stay, and no
//! token is reused.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
};

use synrepl::{
    Row, Span, Token,
    core::ByteString,
    log::{LogStore as _, SqliteLog, SqliteOptions},
};

use crate::program::{self, STREAMS};

const LIVES: u64 = 20;
const SEED: u64 = 0x5eed;

/// A batch: the life of the process that appended it, its number there, and its number of rows.
type Batch = (u64, u64, u64);

/// The batches that were acknowledged, or found in the log: each must stay as it is.
#[derive(Default)]
struct Known(BTreeMap<(String, i64), Batch>);

impl Known {
    fn learn(&mut self, stream: &str, token: i64, batch: Batch) {
        let before = self.0.insert((stream.to_owned(), token), batch);
        assert!(
            before.is_none_or(|before| before == batch),
            "{stream} {token} was {before:?} and is {batch:?}"
        );
    }
}

pub(crate) fn acknowledged_batches_outlive_the_process_and_tokens_are_never_reused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut known = Known::default();
    let mut chance = SEED;
    for life in 1..=LIVES {
        // The process is killed under load or at rest.
        let kill = match next(&mut chance) % 3 {
            0 => Kill::AtRest(1 + next(&mut chance) % 3),
            _ => Kill::Answered(1 + next(&mut chance) % 3_000),
        };
        append_and_kill(&path, life, kill, &mut known);
        // Where the log is not opened in between, the next life has to repair what the kill left
        // behind.
        if next(&mut chance).is_multiple_of(2) || life == LIVES {
            compare(&path, &mut known);
        }
    }
    assert!(known.0.len() > 3_000, "{} batches in all", known.0.len());
}

/// The next number of xorshift, so that the moments of the kills depend on the seed alone.
fn next(chance: &mut u64) -> u64 {
    *chance ^= *chance << 13;
    *chance ^= *chance >> 7;
    *chance ^= *chance << 17;
    *chance
}

/// The moment of a kill.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// This many appends were answered, and others are under way.
    Answered(u64),
    /// The process has rested this many times, and no append is under way.
    AtRest(u64),
}

fn append_and_kill(path: &Path, life: u64, kill: Kill, known: &mut Known) {
    let arguments = ["append-for-ever", path.to_str().unwrap(), &life.to_string()];
    let mut child = crate::program(&arguments).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let (mut answered, mut rests, mut killed) = (0, 0, false);
    // Every line that was printed before the kill counts, also one that is read only afterwards,
    // but not a line that the kill has cut.
    while lines.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
        let words: Vec<_> = line.trim_end().split(' ').collect();
        match words[..] {
            [stream, token, number, rows] => {
                let batch = (life, number.parse().unwrap(), rows.parse().unwrap());
                known.learn(stream, token.parse().unwrap(), batch);
                answered += 1;
            }
            _ => {
                assert_eq!(line, "idle\n");
                rests += 1;
            }
        }
        let due = match kill {
            Kill::Answered(answers) => answered >= answers,
            Kill::AtRest(times) => rests >= times,
        };
        if due && !killed {
            child.kill().unwrap();
            killed = true;
        } else if words == ["idle"] && !killed {
            stdin.write_all(b"\n").unwrap();
        }
        line.clear();
    }
    assert!(killed, "it ended by itself after {answered} answers");
    child.wait().unwrap();
}

/// Compares all batches of the log with those that are known, and adds the new ones to them.
fn compare(path: &Path, known: &mut Known) {
    let log = SqliteLog::open(path, SqliteOptions::default()).unwrap();
    let mut found = Known::default();
    for stream in STREAMS {
        let mut last_number = (0, None);
        for (token, rows) in batches(&log, stream) {
            let batch = whole(&rows);
            found.learn(stream, token, batch);
            let (life, number, _) = batch;
            assert!((life, Some(number)) > last_number, "{stream} {token} is out of order");
            last_number = (life, Some(number));
        }
        let last = found.0.keys().filter(|(name, _)| name == stream).map(|(_, token)| *token).max();
        assert_eq!(log.streams()[stream].get(), last.unwrap());
    }
    for (at, batch) in &known.0 {
        assert_eq!(found.0.get(at), Some(batch), "{at:?} was acknowledged");
    }
    for ((stream, token), batch) in found.0 {
        known.learn(&stream, token, batch);
    }
}

/// All batches of a stream. Checks that their tokens follow each other without a hole.
fn batches(log: &SqliteLog, stream: &'static str) -> Vec<(i64, Vec<Row>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut batches = Vec::<(i64, Vec<Row>)>::new();
    let mut from = Token::START;
    loop {
        let read =
            log.read(ByteString::from_static(stream), Span::new(from, Token::new(i64::MAX)), 100);
        let page = runtime.block_on(read).unwrap();
        for (token, row) in page.updates {
            match batches.last_mut() {
                Some((last, rows)) if *last == token.get() => rows.push(row),
                last => {
                    assert_eq!(token.get(), last.map_or(0, |(last, _)| *last) + 1);
                    batches.push((token.get(), vec![row]));
                }
            }
        }
        if !page.limited {
            return batches;
        }
        from = page.upto;
    }
}

/// The batch of these rows. Checks that they are all of it, in order.
fn whole(rows: &[Row]) -> Batch {
    let (life, number, _, count): (u64, u64, u64, u64) = rows[0].parse().unwrap();
    let expected: Vec<_> =
        (0..count).map(|index| Row::from(&*program::row(life, number, index, count))).collect();
    assert_eq!(rows, expected);
    (life, number, count)
}
