//! The log of a stream, and the reads of it that a node asks for.

use std::collections::BTreeMap;

use synrepl_core::{
    Action, Input, ReadId,
    stream::{LogError, Page, Row, Span, Token},
};

/// Batches of rows, each under its token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    batches: BTreeMap<i64, Vec<Row>>,
    /// The highest token, whether it has rows or not.
    pub(crate) end: i64,
}

impl Log {
    /// Writes rows under a token. No rows: the token went elsewhere.
    pub(crate) fn put(&mut self, token: i64, rows: Vec<Row>) {
        self.end = self.end.max(token);
        if !rows.is_empty() {
            self.batches.entry(token).or_default().extend(rows);
        }
    }

    /// The batches in `(from, upto]`.
    pub(crate) fn range(&self, from: i64, upto: i64) -> Vec<(i64, Vec<Row>)> {
        let batches = self.batches.range(from + 1..).take_while(|(token, _)| **token <= upto);
        batches.map(|(token, rows)| (*token, rows.clone())).collect()
    }

    /// A page of whole batches: no further one begins behind `rows_max` rows.
    pub(crate) fn page(&self, span: Span, rows_max: usize) -> Page {
        let mut page = Page { updates: Vec::new(), upto: span.upto, limited: false };
        for (token, rows) in self.range(span.from.get(), span.upto.get()) {
            if page.updates.len() >= rows_max {
                return Page { upto: Token::new(token - 1), limited: true, ..page };
            }
            page.updates.extend(rows.into_iter().map(|row| (Token::new(token), row)));
        }
        page
    }
}

/// A read of a log by stream.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) query: ReadId,
    pub(crate) stream: String,
    span: Span,
    rows_max: u32,
}

impl Read {
    /// The read that this action is, if it is one.
    pub(crate) fn of(action: &Action) -> Option<Self> {
        let Action::ReadLog { query, stream, span, rows_max } = action else { return None };
        let (query, stream) = (*query, stream.to_string());
        Some(Self { query, stream, span: *span, rows_max: *rows_max })
    }

    pub(crate) fn answer(&self, logs: &BTreeMap<String, Log>) -> Input {
        let page = logs[&self.stream].page(self.span, self.rows_max as usize);
        Input::LogRead { query: self.query, result: Ok(page) }
    }

    pub(crate) fn fail(self) -> Input {
        let error = LogError { stream: self.stream, message: "disk on fire".to_owned() };
        Input::LogRead { query: self.query, result: Err(error) }
    }
}
