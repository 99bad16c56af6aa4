//! What a writer has written: the truth that every follower is judged against, and the pages that
//! its fetch source answers with (`protocol.md` 6.1, 7.5).

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use bytestring::ByteString;
use synrepl_core::{
    stream::{Order, Page, Row, Source, StreamTraits, Token, traits},
    wire::Command,
};

use crate::scenario::FetchFault;

/// One (stream, writer) pair as its writer knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Log {
    pub(crate) source: Source,
    pub(crate) traits: StreamTraits,
    /// The number of the writer that writes it.
    pub(crate) writer: usize,
    /// The number of its stream. Logs of one stream share a sequence and, in some, their fetch.
    pub(crate) stream: usize,
    /// The rows that the writer still holds, by token.
    pub(crate) entries: BTreeMap<Token, Vec<Row>>,
    /// Everything that was ever written, over all restarts.
    pub(crate) ever: BTreeMap<(Token, u32), Vec<Row>>,
    /// How often the writer has started over.
    pub(crate) epoch: u32,
    /// The highest token that this writer knows of.
    pub(crate) current: Token,
    /// Announced or sent up to here, as the writer believes.
    pub(crate) last_token: Token,
    /// The highest token of this epoch that anything on the bus spoke of.
    pub(crate) published: Token,
    /// The highest token of this epoch that was announced on the bus.
    announced: Token,
    /// Tokens, with their epoch, whose rows can be missed without a trace on the wire: the writer
    /// broke its side of the protocol there.
    untold: BTreeSet<(Token, u32)>,
    /// Something was said in this epoch that reached the bus.
    pub(crate) heard: bool,
    /// The last row of a batch was lost: its first rows will pass for those of the next one.
    pub(crate) torn: bool,
    /// The last announcement was lost before the bus, and none came after it.
    pub(crate) unannounced: bool,
    /// The last token that the bus has passed on.
    said: Token,
    /// How often an announcement was lower than what the bus had passed on before.
    pub(crate) falls: u32,
}

impl Log {
    pub(crate) fn new(source: Source, writer: usize, stream: usize) -> Self {
        let traits = traits(source.stream());
        // New database streams take 1 as seen; those in memory start at 0.
        let start = if traits.resettable { Token::START } else { Token::new(1) };
        Self {
            source,
            traits,
            writer,
            stream,
            entries: BTreeMap::new(),
            ever: BTreeMap::new(),
            epoch: 0,
            current: start,
            last_token: start,
            published: start,
            announced: start,
            untold: BTreeSet::new(),
            heard: false,
            torn: false,
            unannounced: false,
            said: start,
            falls: 0,
        }
    }

    pub(super) fn is(&self, stream: &str, instance: &str) -> bool {
        self.source.stream() == stream && self.source.instance() == instance
    }

    /// Whether it is rows or an announcement of this log.
    #[expect(clippy::wildcard_enum_match_arm, reason = "other commands are not of a log")]
    pub(crate) fn is_named_in(&self, command: &Command) -> bool {
        match command {
            Command::Rdata(rdata) => self.is(&rdata.stream, &rdata.instance),
            Command::Position(position) => self.is(&position.stream, &position.instance),
            _ => false,
        }
    }

    /// The bus passes on what the writer says.
    #[expect(clippy::wildcard_enum_match_arm, reason = "other commands are not of a log")]
    pub(crate) fn on_said(&mut self, command: &Command) {
        match command {
            Command::Position(position) => {
                self.falls += u32::from(position.token < self.said);
                self.said = position.token;
                self.announced = self.announced.max(position.token.min(self.current));
            }
            Command::Rdata(rdata) => self.said = self.said.max(rdata.token.unwrap_or(self.said)),
            _ => {}
        }
    }

    /// The source that the log is of.
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// The highest token that the writer knows of.
    pub const fn current(&self) -> Token {
        self.current
    }

    /// What the writer holds, by token.
    pub fn rows(&self) -> impl Iterator<Item = (Token, &[Row])> {
        self.entries.iter().map(|(token, rows)| (*token, rows.as_slice()))
    }

    pub(crate) fn append(&mut self, token: Token, rows: u8, serial: &mut u64) {
        let rows: Vec<_> = (0..rows)
            .map(|_| {
                *serial += 1;
                Row::from_text(ByteString::from(format!("[{serial}]")))
            })
            .collect();
        self.current = token;
        self.ever.insert((token, self.epoch), rows.clone());
        self.entries.insert(token, rows);
    }

    /// What is held in `(from, upto]`.
    pub(crate) fn between(
        &self,
        from: Token,
        upto: Token,
    ) -> impl DoubleEndedIterator<Item = (Token, &Vec<Row>)> {
        let upto = upto.max(from);
        self.entries
            .range((Bound::Excluded(from), Bound::Included(upto)))
            .filter(move |(token, _)| **token > from)
            .map(|(token, rows)| (*token, rows))
    }

    /// What the log's store answers for `(from, upto]`: whole batches, until there are `rows_max`
    /// rows.
    pub(crate) fn read(&self, from: Token, upto: Token, rows_max: u32) -> Page {
        let mut page = Page { updates: Vec::new(), upto, limited: false };
        let mut last = from;
        for (token, rows) in self.between(from, upto) {
            if page.updates.len() >= rows_max as usize {
                return Page { upto: last, limited: true, ..page };
            }
            page.updates.extend(rows.iter().map(|row| (token, row.clone())));
            last = token;
        }
        page
    }

    /// What was written under `token` and has `row`, whenever that was.
    pub(crate) fn wrote(&self, token: Token, row: &Row) -> Option<&Vec<Row>> {
        self.ever
            .range((token, 0)..=(token, u32::MAX))
            .map(|(_, rows)| rows)
            .find(|rows| rows.contains(row))
    }

    /// The rows in `(from, upto]` may be missed without a trace on the wire.
    pub(crate) fn excuse(&mut self, from: Token, upto: Token) -> usize {
        let tokens: Vec<_> = self.between(from, upto).map(|(token, _)| token).collect();
        let count = tokens.len();
        let epoch = self.epoch_of(self.epoch);
        self.untold.extend(tokens.into_iter().map(|token| (token, epoch)));
        count
    }

    /// The rows of one token may be missed, as in [`Self::excuse`].
    pub(crate) fn excuse_token(&mut self, token: Token) {
        self.untold.insert((token, self.epoch_of(self.epoch)));
    }

    /// Rows at `token` may be missed.
    pub(crate) fn is_untold(&self, token: Token) -> bool {
        self.untold.contains(&(token, self.epoch_of(self.epoch)))
    }

    /// What is told at `token`, beginning with `first`, may be a part: of this epoch, or of the
    /// one that wrote it.
    pub(crate) fn may_be_part(&self, token: Token, first: &Row) -> bool {
        self.is_untold(token)
            || self.ever.range((token, 0)..=(token, u32::MAX)).any(|((token, life), rows)| {
                self.untold.contains(&(*token, self.epoch_of(*life))) && rows.contains(first)
            })
    }

    /// The epoch of a life of the writer: where tokens do not start over there is only one.
    fn epoch_of(&self, life: u32) -> u32 {
        if self.traits.resettable { life } else { 0 }
    }

    /// The process dies and comes back.
    pub(crate) fn restart(&mut self) {
        self.epoch += 1;
        if self.traits.resettable {
            self.entries.clear();
            self.heard = false;
            self.current = Token::START;
            (self.published, self.announced) = (Token::START, Token::START);
        }
        self.last_token = self.current;
    }

    /// The writer appears, on a stream that others have brought to `current`.
    pub(crate) fn appear(&mut self, current: Token) {
        (self.current, self.last_token) = (current, current);
        (self.published, self.announced) = (current, current);
    }

    /// All rows up to here have reached the bus, or are told of there. In a burst, whose tokens
    /// fall, one that has says nothing of those below it.
    pub(crate) fn told_up_to(&self) -> Token {
        if self.traits.order == Order::Bursts { self.announced } else { self.published }
    }
}

/// What the fetch source of `log`'s writer answers. `all` are the logs of the same stream, whose
/// rows it shows as well if the stream is like that.
pub(crate) fn page<'a>(
    log: &'a Log,
    all: impl Iterator<Item = &'a Log>,
    from: Token,
    upto: Token,
    rows_max: u32,
) -> Page {
    // `caches` ignores the upper token.
    let end = if log.traits.order == Order::Loose { Token::new(i64::MAX) } else { upto };
    let mut updates: Vec<(Token, Row)> = Vec::new();
    let shown = |log: &'a Log, updates: &mut Vec<(Token, Row)>| {
        for (token, rows) in log.between(from, end) {
            updates.extend(rows.iter().map(|row| (token, row.clone())));
        }
    };
    if log.traits.shared_fetch {
        for log in all {
            shown(log, &mut updates);
        }
        updates.sort_by_key(|(token, _)| *token);
    } else {
        shown(log, &mut updates);
    }
    if log.traits.order == Order::Bursts {
        updates.sort_by_key(|(token, _)| std::cmp::Reverse(*token));
    }
    let total = updates.len();
    let mut keep = total.min(rows_max as usize);
    if !log.traits.splits_tokens {
        while keep < total && keep > 0 && updates[keep].0 == updates[keep - 1].0 {
            keep += 1;
        }
    }
    updates.truncate(keep);
    if keep < total {
        let upto = updates.last().map_or(from, |(token, _)| *token);
        return Page { updates, upto, limited: true };
    }
    Page { updates, upto, limited: false }
}

/// A page as a fault leaves it; one that is not a fault of pages changes nothing. `below` is what
/// the writer answers for a range.
pub(crate) fn spoiled(
    fault: FetchFault,
    source: &Source,
    mut page: Page,
    (from, upto): (Token, Token),
    below: impl FnOnce(Token, Token) -> Page,
) -> Page {
    match fault {
        // Streams whose pages may reach beyond what was asked cannot be caught at it.
        FetchFault::Beyond if !traits(source.stream()).overruns => {
            page.upto = upto.advanced_by(5);
            page.limited = false;
        }
        FetchFault::Short => {
            page.upto = page.updates.iter().map(|(token, _)| *token).max().unwrap_or(upto);
        }
        FetchFault::TooMuch => {
            let least = Token::new(from.get().saturating_sub(4)).max(Token::START);
            let mut updates = below(least, from).updates;
            updates.append(&mut page.updates);
            page.updates = updates;
        }
        FetchFault::Stuck => page = Page { updates: Vec::new(), upto: from, limited: true },
        FetchFault::Beyond
        | FetchFault::Status
        | FetchFault::TimedOut
        | FetchFault::TooLarge
        | FetchFault::NoEndpoint
        | FetchFault::Stale => {}
    }
    page
}
