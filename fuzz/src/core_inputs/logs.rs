//! The logs of own streams: appends enter, and pages that keep the contract, or break it, leave.

use std::collections::BTreeMap;

use synrepl_core::stream::{LogError, Page, Row, Token};

use super::world::small_token;
use crate::choices::Choices;

/// The own streams: a rising one, a resettable one, one with acknowledgements, and an unknown one.
pub(super) const OWN_STREAMS: [&str; 4] = ["events", "typing", "federation", "own_of_ours"];

/// A row longer than the small value of `row_bytes_max`.
const LONG_ROW: &str = r#"["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]"#;

/// The batches of a stream by token, complete up to `end`.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) end: Token,
    batches: BTreeMap<Token, Vec<Row>>,
}

/// A page that the node requested.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) stream: String,
    pub(super) from: Token,
    pub(super) upto: Token,
    pub(super) rows_max: usize,
}

impl Log {
    /// Returns a log that ends at `end`. A long one holds only its last batch.
    pub(super) fn ending_at(end: Token) -> Self {
        let mut log = Self { end, batches: BTreeMap::new() };
        let last = end.get();
        if last > 24 {
            log.put(end, 2);
        } else {
            (1..=last).filter(|token| token % 3 != 0).for_each(|token| {
                log.put(Token::new(token), usize::from(token % 3 == 2) + 1);
            });
        }
        log
    }

    fn put(&mut self, token: Token, rows: usize) {
        let row = |nth| Row::from(format!("[{token},{nth}]").as_str());
        self.batches.insert(token, (0..rows).map(row).collect());
    }

    /// Adds batches and tokens without rows, and returns the new end.
    pub(super) fn append(&mut self, choices: &mut Choices<'_>) -> Token {
        for _ in 0..choices.below(4) {
            let shape = choices.byte();
            let step = i64::from(shape & 3).max(1);
            let Some(token) = self.end.get().checked_add(step) else { break };
            self.end = Token::new(token);
            match shape >> 2 & 7 {
                // A token without rows.
                7 => {}
                6 => {
                    self.put(self.end, 2);
                    self.batches.entry(self.end).or_default().push(Row::from(LONG_ROW));
                }
                rows => self.put(self.end, usize::from(rows) + 1),
            }
        }
        if choices.byte() == 255 {
            self.end = Token::new(i64::MAX);
        }
        self.end
    }

    pub(super) fn batch(&self, token: Token) -> Option<&[Row]> {
        self.batches.get(&token).map(Vec::as_slice)
    }

    /// Returns the batches in `(from, upto]`, in order.
    pub(super) fn between(
        &self,
        from: Token,
        upto: Token,
    ) -> impl Iterator<Item = (Token, &[Row])> {
        let all = (from < upto).then(|| {
            self.batches.range((std::ops::Bound::Excluded(from), std::ops::Bound::Included(upto)))
        });
        all.into_iter().flatten().map(|(token, rows)| (*token, rows.as_slice()))
    }

    /// Returns a page as a store gives it: whole batches, as many as fit or, by `shape`, fewer.
    pub(super) fn page(&self, asked: &Asked, shape: u8) -> Page {
        let mut page = Page { updates: Vec::new(), upto: asked.upto, limited: false };
        let batches_max = if shape & 1 == 1 { usize::from(shape >> 4) + 1 } else { usize::MAX };
        for (nth, (token, rows)) in self.between(asked.from, asked.upto).enumerate() {
            if nth > 0 && (nth >= batches_max || page.updates.len() >= asked.rows_max) {
                // The page ends at its last batch, or just before the next one.
                let last = page.updates.last().map(|(last, _)| *last);
                page.upto = last.filter(|_| shape & 2 == 0).unwrap_or_else(|| token.before());
                page.limited = true;
                return page;
            }
            page.updates.extend(rows.iter().map(|row| (token, row.clone())));
        }
        page
    }

    /// Returns a page that breaks one rule of the contract.
    pub(super) fn bad_page(&self, asked: &Asked, choices: &mut Choices<'_>) -> Page {
        let mut page = self.page(asked, 0);
        let row = Row::from("[0]");
        match choices.below(5) {
            0 => page.upto = asked.from,
            1 if asked.upto.get() < i64::MAX => page.upto = asked.upto.advanced_by(1),
            2 => page.updates.insert(0, (asked.from, row)),
            3 => {
                // The last row falls, or is not above `from`.
                page.updates.push((asked.upto, row.clone()));
                page.updates.push((asked.upto.before(), row));
            }
            4 if asked.upto.get() < i64::MAX => {
                page.updates.push((asked.upto.advanced_by(1), row));
            }
            _ => page.upto = small_token(choices).min(asked.from),
        }
        page
    }
}

/// The logs of all own streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Logs {
    all: BTreeMap<String, Log>,
}

impl Logs {
    pub(super) fn get(&self, stream: &str) -> Option<&Log> {
        self.all.get(stream)
    }

    pub(super) fn insert(&mut self, stream: &str, log: Log) {
        self.all.insert(stream.to_owned(), log);
    }

    /// Returns the log of this stream, which is created if it is new.
    pub(super) fn entry(&mut self, stream: &str) -> &mut Log {
        self.all.entry(stream.to_owned()).or_insert_with(|| Log::ending_at(Token::START))
    }

    pub(super) fn good(&self, asked: &Asked, shape: u8) -> Result<Page, LogError> {
        match self.get(&asked.stream) {
            Some(log) => Ok(log.page(asked, shape)),
            None => Err(failed(asked)),
        }
    }

    pub(super) fn bad(&self, asked: &Asked, choices: &mut Choices<'_>) -> Result<Page, LogError> {
        match self.get(&asked.stream) {
            Some(log) if choices.below(2) == 0 => Ok(log.bad_page(asked, choices)),
            Some(_) | None => Err(failed(asked)),
        }
    }
}

fn failed(asked: &Asked) -> LogError {
    LogError { stream: asked.stream.clone(), message: "no".to_owned() }
}
