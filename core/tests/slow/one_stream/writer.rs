//! A writer of the stream: what it has appended, what it sends, and where it says that it stands.

use std::collections::{BTreeMap, VecDeque};

/// Something that a writer sends.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// A row of a token, the last one of it or not.
    Row {
        token: i64,
        text: String,
        is_last: bool,
    },
    Position {
        prev: i64,
        new: i64,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) name: String,
    /// The rows that the writer holds, by token.
    pub(super) log: BTreeMap<i64, Vec<String>>,
    /// The highest token that the writer knows of.
    pub(super) end: i64,
    /// The token up to which everything was sent or queued.
    pub(super) looked: i64,
    /// The rest of one send.
    pub(super) queue: VecDeque<Line>,
    /// The token that was sent last, whole.
    pub(super) last_sent: i64,
    /// The highest token that was sent before the follower heard anything.
    pub(super) highest_sent: i64,
    /// A REPLICATE was heard and not answered.
    pub(super) is_asked: bool,
    /// The writer has to say where it stands: it has started again, or what it said was lost.
    pub(super) must_announce: bool,
}

impl Writer {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            log: BTreeMap::new(),
            end: 0,
            looked: 0,
            queue: VecDeque::new(),
            last_sent: 0,
            highest_sent: 0,
            is_asked: false,
            must_announce: false,
        }
    }

    pub(super) fn rows(&self, from: i64, upto: i64) -> Vec<(i64, Vec<String>)> {
        if upto <= from {
            return Vec::new();
        }
        self.log.range(from + 1..=upto).map(|(token, rows)| (*token, rows.clone())).collect()
    }

    pub(super) fn announcement(&self, prev: i64) -> Line {
        Line::Position { prev, new: prev }
    }

    /// Begins a send, if there is anything to send, in an order of its stream.
    pub(super) fn look(&mut self, stream: &str, on_tcp: bool, back: i64) {
        if !self.queue.is_empty() {
            return;
        }
        if std::mem::take(&mut self.must_announce) {
            self.last_sent = self.looked;
            self.queue.push_back(self.announcement(self.looked));
            return;
        }
        if self.looked >= self.end {
            return;
        }
        let goes_back = if stream == "caches" { back } else { 0 };
        let mut rows = self.rows((self.looked - goes_back).max(0), self.end);
        if stream == "backfill" {
            rows.reverse();
        } else if on_tcp {
            // Two tables, one behind the other.
            rows.sort_by_key(|(token, _)| (token % 2, *token));
        }
        let last = rows.last().map_or(self.looked, |(token, _)| *token);
        for (token, rows) in rows {
            let count = rows.len();
            for (number, text) in rows.into_iter().enumerate() {
                self.queue.push_back(Line::Row { token, text, is_last: number + 1 == count });
            }
        }
        if last < self.end && !on_tcp {
            self.queue.push_back(Line::Position { prev: last, new: self.end });
        }
        self.looked = self.end;
    }

    /// Takes the next line of the send.
    pub(super) fn next(&mut self) -> Option<Line> {
        let line = self.queue.pop_front()?;
        self.highest_sent = self.highest_sent.max(self.last_sent);
        match line {
            Line::Row { token, is_last: true, .. } => self.last_sent = token,
            Line::Position { new, .. } => self.last_sent = new,
            Line::Row { .. } => {}
        }
        Some(line)
    }

    /// Whether some, but not all, rows of a token were sent.
    pub(super) fn is_inside_batch(&self) -> bool {
        match self.queue.front() {
            Some(Line::Row { token, text, .. }) => {
                self.log.get(token).is_some_and(|rows| rows.first() != Some(text))
            }
            Some(Line::Position { .. }) | None => false,
        }
    }
}
