//! The writers of a run, which keep the rules of a running deployment (`seen.md`; `protocol.md`
//! 5.3,
//! 5.4): appends enter, commands and pages leave.

use std::collections::{BTreeMap, VecDeque};

use synrepl_core::{
    stream::{Order, Page, Row, Token, traits},
    wire::{Command, Position, Rdata},
};

use crate::choices::Choices;

/// The names of a stream and its writer.
pub(super) type Name = (String, String);

/// The sources: a stream of each class, two writers where a class has several, and our own name. One
/// writer has most of them: it says nothing of the one inside a send of the other.
pub(super) const SOURCES: [(&str, &str); 11] = [
    ("events", "w0"),
    ("events", "w1"),
    ("receipts", "w0"),
    ("typing", "w0"),
    ("backfill", "w0"),
    ("backfill", "w1"),
    ("caches", "w0"),
    ("profile_updates", "w0"),
    ("profile_updates", "w1"),
    ("from_the_future", "w0"),
    ("events", "synrepl"),
];

/// The logs of all writers.
#[derive(Default)]
pub(super) struct Logs(BTreeMap<Name, BTreeMap<Token, Vec<Row>>>);

impl Logs {
    /// Returns the rows of one writer in `(from, upto]`.
    pub(super) fn rows(
        &self,
        name: &Name,
        from: Token,
        upto: Token,
    ) -> impl Iterator<Item = (Token, &[Row])> {
        let log = self.0.get(name).into_iter().flatten();
        log.map(|(token, rows)| (*token, rows.as_slice()))
            .filter(move |(token, _)| from < *token && *token <= upto)
    }

    fn put(&mut self, name: &Name, token: Token, rows: Vec<Row>) {
        self.0.entry(name.clone()).or_default().insert(token, rows);
    }
}

/// One writer of one stream.
pub(super) struct Writer {
    pub(super) name: Name,
    /// Whether it has started; until then it neither writes nor sends anything.
    pub(super) is_started: bool,
    /// The token up to which it has sent or queued everything.
    sent: Token,
    /// The rest of one send, which no other command of the writer interrupts.
    queue: VecDeque<Command>,
    pub(super) must_announce: bool,
    order: Order,
}

/// All writers and their logs.
pub(super) struct Writers {
    pub(super) all: Vec<Writer>,
    pub(super) logs: Logs,
    /// The last token of each stream, whose writers share one sequence.
    ends: BTreeMap<String, Token>,
    rows_ever: u64,
}

impl Writers {
    pub(super) fn new() -> Self {
        let writer = |(stream, instance): (&str, &str)| Writer {
            name: (stream.to_owned(), instance.to_owned()),
            is_started: true,
            sent: Token::START,
            queue: VecDeque::new(),
            must_announce: false,
            order: traits(stream).order,
        };
        let all = SOURCES.into_iter().map(writer).collect();
        Self { all, logs: Logs::default(), ends: BTreeMap::new(), rows_ever: 0 }
    }

    pub(super) fn end(&self, stream: &str) -> Token {
        self.ends.get(stream).copied().unwrap_or_default()
    }

    /// Appends one token of this writer, with `rows` rows.
    pub(super) fn append(&mut self, at: usize, rows: u8) {
        let Self { all, logs, ends, rows_ever } = self;
        let writer = &all[at];
        if writer.is_started {
            let end = ends.entry(writer.name.0.clone()).or_default();
            *end = end.advanced_by(1);
            let numbers = *rows_ever..*rows_ever + u64::from(rows);
            *rows_ever = numbers.end;
            let rows = numbers.map(|number| Row::from(format!("[{number}]").as_str())).collect();
            logs.put(&writer.name, *end, rows);
        }
    }

    /// Drops everything that this writer has not sent yet, and the rest of a send of another of its
    /// streams.
    pub(super) fn skip(&mut self, at: usize) {
        if let Some(sending) = self.sending(at) {
            self.skip_one(sending);
        }
        self.skip_one(at);
    }

    fn skip_one(&mut self, at: usize) {
        let end = self.end(&self.all[at].name.0);
        let writer = &mut self.all[at];
        // Followers must learn of the dropped rows, and of a stream in memory that starts over.
        writer.must_announce |= writer.sent < end || !writer.queue.is_empty();
        writer.queue.clear();
        writer.sent = end;
    }

    /// Restarts the writer and returns its announcement. A stream in memory starts over.
    pub(super) fn restart(&mut self, at: usize) -> Command {
        let (stream, _) = self.all[at].name.clone();
        if traits(&stream).resettable {
            self.logs.0.remove(&self.all[at].name);
            self.ends.remove(&stream);
        }
        self.skip(at);
        self.all[at].announcement()
    }

    /// Returns an announcement ahead of unsent rows, as releases before 1.97 send it.
    pub(super) fn announce_ahead(&self, at: usize) -> Option<Command> {
        let writer = &self.all[at];
        let end = self.end(&writer.name.0);
        (writer.is_started && self.sending(at).is_none()).then(|| writer.position(end, end))
    }

    /// Returns the source of the same instance that is inside a send.
    fn sending(&self, at: usize) -> Option<usize> {
        let instance = &self.all[at].name.1;
        self.all.iter().position(|other| other.name.1 == *instance && !other.queue.is_empty())
    }

    /// Returns the next command of this writer: the rest of a send that it is inside of, of whatever
    /// stream. A loose stream goes back by `repeats` tokens first.
    pub(super) fn next(&mut self, at: usize, repeats: u8) -> Option<Command> {
        let at = self.sending(at).unwrap_or(at);
        let end = self.end(&self.all[at].name.0);
        let writer = &mut self.all[at];
        if !writer.is_started {
            return None;
        }
        if writer.queue.is_empty() && std::mem::take(&mut writer.must_announce) {
            return Some(writer.announcement());
        }
        if writer.queue.is_empty() && writer.sent < end {
            let goes_back = i64::from(repeats) * i64::from(writer.order == Order::Loose);
            let from = Token::new((writer.sent.get() - goes_back).max(0));
            writer.fill(from, end, &self.logs);
        }
        writer.queue.pop_front()
    }
}

impl Writer {
    fn announcement(&self) -> Command {
        self.position(self.sent, self.sent)
    }

    fn position(&self, prev: Token, token: Token) -> Command {
        let (stream, instance) = (self.name.0.as_str().into(), self.name.1.as_str().into());
        Command::Position(Position { stream, instance, prev, token, ends_catch_up: false })
    }

    /// Queues one send of all rows in `(from, end]`, in the order in which Synapse sends them.
    fn fill(&mut self, from: Token, end: Token, logs: &Logs) {
        let mut sets: Vec<_> = logs.rows(&self.name, from, end).collect();
        if self.order == Order::Bursts {
            sets.reverse();
        }
        for (token, rows) in &sets {
            for (nth, row) in rows.iter().enumerate() {
                let (stream, instance) = (self.name.0.as_str().into(), self.name.1.as_str().into());
                let token = (nth + 1 == rows.len()).then_some(*token);
                let row = row.clone();
                self.queue.push_back(Command::Rdata(Rdata { stream, instance, token, row }));
            }
        }
        let last = sets.last().map_or(self.sent, |(token, _)| *token);
        if last < end {
            self.queue.push_back(self.position(last, end));
        }
        self.sent = end;
    }
}

/// Returns the writer's page for a fetch, and whether the page may have been cut inside a token.
pub(super) fn page(
    logs: &Logs,
    name: &Name,
    (from, upto): (Token, Token),
    choices: &mut Choices<'_>,
) -> (Page, bool) {
    let of = traits(&name.0);
    let mut rows: Vec<(Token, Row)> = Vec::new();
    for (stream, writer) in SOURCES.iter().filter(|(stream, _)| *stream == name.0) {
        if *writer == name.1 || of.shared_fetch {
            let beyond = if of.order == Order::Loose { Token::new(i64::MAX) } else { upto };
            let source = ((*stream).to_owned(), (*writer).to_owned());
            for (token, set) in logs.rows(&source, from, beyond) {
                rows.extend(set.iter().map(|row| (token, row.clone())));
            }
        }
    }
    rows.sort_by_key(|(token, _)| *token);
    if of.order == Order::Bursts {
        rows.reverse();
    }
    let max = usize::from(choices.byte() % 8);
    if max == 0 || rows.len() <= max {
        return (Page { updates: rows, upto, limited: false }, false);
    }
    let whole = |rows: &[(Token, Row)], at: usize| rows[at - 1].0 != rows[at].0;
    let mut cut = max;
    while !of.splits_tokens && cut < rows.len() && !whole(&rows, cut) {
        cut += 1;
    }
    let limited = cut < rows.len();
    // A page of `caches` may overrun the request, so both kinds of cut look the same.
    let is_split = limited && (of.overruns || !whole(&rows, cut));
    rows.truncate(cut);
    let last = rows.last().map_or(upto, |(token, _)| *token);
    (Page { updates: rows, upto: if limited { last } else { upto }, limited }, is_split)
}
