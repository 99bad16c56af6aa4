//! The log of a writer: the truth that every follower is judged against, and the pages of its fetch
//! source (`protocol.md` 6.1, 7.5).

use std::{collections::BTreeMap, ops::Bound};

use bytestring::ByteString;
use synrepl_core::{
    stream::{Order, Page, Row, Source, StreamTraits, Token, traits},
    wire::Command,
};

use crate::scenario::FetchFault;

/// What is left on the wire of a token whose rows can be missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Untold {
    /// Nothing of it reached the bus, and nobody says that there is nothing: its writer's next token
    /// leaves a hole there.
    Hole,
    /// Something passes for all of it.
    Nothing,
}

/// The log of one source: its rows, and what of them the bus has passed on.
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
    /// All rows that were ever written, by token and epoch.
    pub(crate) ever: BTreeMap<(Token, u32), Vec<Row>>,
    /// How often the writer has restarted.
    pub(crate) epoch: u32,
    /// The highest token that the writer has written or knows of.
    pub(crate) current: Token,
    /// The token up to which the writer believes to have announced or sent.
    pub(crate) last_token: Token,
    /// The highest token of this epoch in any command that reached the bus.
    pub(crate) published: Token,
    /// The highest token of this epoch that was announced on the bus.
    announced: Token,
    /// The tokens, with their epoch, whose rows can be missed without a trace on the wire, because
    /// the writer broke its side of the protocol there.
    untold: BTreeMap<(Token, u32), Untold>,
    /// Whether a command of this epoch has reached the bus.
    pub(crate) heard: bool,
    /// Whether the last row of a batch was lost, so that its first rows pass for those of the next.
    pub(crate) torn: bool,
    /// Whether the last announcement was lost on its way to the bus, and none came after it.
    pub(crate) unannounced: bool,
    /// The token of the last POSITION that the bus has passed on, or a higher one of RDATA since.
    passed_on: Token,
    /// Up to where the log was still the same, for each time that it was restored from a backup.
    pub(crate) restored_to: Vec<Token>,
    /// How many announcements were lower than what the bus had passed on before.
    pub(crate) falls: u32,
}

impl Log {
    pub(crate) fn new(source: Source, writer: usize, stream: usize) -> Self {
        let traits = traits(source.stream());
        // Streams in a database start at 1, those in memory at 0.
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
            untold: BTreeMap::new(),
            heard: false,
            torn: false,
            unannounced: false,
            passed_on: start,
            restored_to: Vec::new(),
            falls: 0,
        }
    }

    pub(super) fn is(&self, stream: &str, instance: &str) -> bool {
        self.source.stream() == stream && self.source.instance() == instance
    }

    /// Whether a command is rows or an announcement of this log.
    #[expect(clippy::wildcard_enum_match_arm, reason = "other commands are not of a log")]
    pub(crate) fn is_named_in(&self, command: &Command) -> bool {
        match command {
            Command::Rdata(rdata) => self.is(&rdata.stream, &rdata.instance),
            Command::Position(position) => self.is(&position.stream, &position.instance),
            _ => false,
        }
    }

    /// Returns the token up to which rows or an announcement bring their log.
    #[expect(clippy::wildcard_enum_match_arm, reason = "other commands are not of a log")]
    pub(crate) const fn token_in(command: &Command) -> Option<Token> {
        match command {
            Command::Rdata(rdata) => rdata.token,
            Command::Position(position) => Some(position.token),
            _ => None,
        }
    }

    /// Takes account of a command of the writer that the bus passes on.
    #[expect(clippy::wildcard_enum_match_arm, reason = "other commands are not of a log")]
    pub(crate) fn on_said(&mut self, command: &Command) {
        match command {
            Command::Position(position) => {
                self.falls += u32::from(position.token < self.passed_on);
                self.passed_on = position.token;
                self.announced = self.announced.max(position.token.min(self.current));
            }
            Command::Rdata(rdata) => {
                self.passed_on = self.passed_on.max(rdata.token.unwrap_or(self.passed_on))
            }
            _ => {}
        }
    }

    /// Returns the source.
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// Returns the highest token that the writer has written or knows of.
    pub const fn current(&self) -> Token {
        self.current
    }

    /// Returns the rows that the writer holds, by token.
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

    /// Returns the rows held in `(from, upto]`, by token.
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

    /// Returns what the log's store answers for `(from, upto]`: whole batches, until there are `rows_max`
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

    /// Returns the rows that were written under `token` in any epoch, if `row` is one of them.
    pub(crate) fn wrote(&self, token: Token, row: &Row) -> Option<&Vec<Row>> {
        self.ever
            .range((token, 0)..=(token, u32::MAX))
            .map(|(_, rows)| rows)
            .find(|rows| rows.contains(row))
    }

    /// Notes that the rows in `(from, upto]` can be missed without a trace on the wire. Returns the
    /// number of their tokens.
    pub(crate) fn excuse(&mut self, from: Token, upto: Token) -> usize {
        let tokens: Vec<_> = self.between(from, upto).map(|(token, _)| token).collect();
        tokens.iter().for_each(|token| self.excuse_token(*token));
        tokens.len()
    }

    /// Notes that messages about the tokens in `(from, upto]` got lost, and with them all that there
    /// was of those tokens, unless more is noted of them. Returns their number.
    pub(crate) fn lose(&mut self, from: Token, upto: Token) -> usize {
        let tokens: Vec<_> = self.between(from, upto).map(|(token, _)| token).collect();
        let epoch = self.epoch_of(self.epoch);
        for token in &tokens {
            self.untold.entry((*token, epoch)).or_insert(Untold::Hole);
        }
        tokens.len()
    }

    /// Notes the same of one token.
    pub(crate) fn excuse_token(&mut self, token: Token) {
        self.untold.insert((token, self.epoch_of(self.epoch)), Untold::Nothing);
    }

    /// Returns whether the rows of `token` can be missed without a trace on the wire.
    pub(crate) fn is_untold(&self, token: Token) -> bool {
        self.untold.contains_key(&(token, self.epoch_of(self.epoch)))
    }

    /// Returns whether a token got lost so that it leaves a hole.
    pub(crate) fn leaves_hole(&self, token: Token) -> bool {
        self.untold.get(&(token, self.epoch_of(self.epoch))) == Some(&Untold::Hole)
    }

    /// Returns whether a delivery under `token` that begins with `first` may be a part of a batch:
    /// rows of `token` can be missed in this epoch, or in the one that wrote `first`.
    pub(crate) fn may_be_part(&self, token: Token, first: &Row) -> bool {
        self.is_untold(token)
            || self.ever.range((token, 0)..=(token, u32::MAX)).any(|((token, life), rows)| {
                self.untold.contains_key(&(*token, self.epoch_of(*life))) && rows.contains(first)
            })
    }

    /// Returns the epoch of a life of the writer; a stream that never starts over has only one.
    fn epoch_of(&self, life: u32) -> u32 {
        if self.traits.resettable { life } else { 0 }
    }

    /// Handles a restart of the writer's process.
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

    /// The log loses its last `tokens` tokens that have rows, which are given out again. Returns the
    /// token where it stands then; `None` if its tokens do not rise, or live in memory.
    pub(crate) fn go_back(&mut self, tokens: u8) -> Option<Token> {
        if self.traits.order != Order::Rising || self.traits.resettable {
            return None;
        }
        let tokens = usize::from(tokens).clamp(1, self.entries.len().max(1));
        let lost = self.entries.keys().rev().nth(tokens - 1)?;
        let token = lost.before();
        self.entries.retain(|of, _| *of <= token);
        self.untold.retain(|(of, _), _| *of <= token);
        (self.current, self.last_token) = (token, token);
        self.published = self.published.min(token);
        self.announced = self.announced.min(token);
        self.restored_to.push(token);
        Some(token)
    }

    /// Returns the highest token that the writer ever had.
    pub(crate) fn highest_ever(&self) -> Token {
        self.ever.keys().next_back().map_or(self.current, |(token, _)| self.current.max(*token))
    }

    /// Handles the first start of the writer, on a stream that others have brought to `current`.
    pub(crate) fn appear(&mut self, current: Token) {
        (self.current, self.last_token) = (current, current);
        (self.published, self.announced) = (current, current);
    }

    /// Returns the token up to which all rows have reached the bus or were announced there. In a
    /// burst, whose tokens fall, only an announcement shows that.
    pub(crate) fn told_up_to(&self) -> Token {
        if self.traits.order == Order::Bursts { self.announced } else { self.published }
    }
}

/// Returns the page that the fetch source of `log`'s writer responds with. `all` are the logs of
/// the stream, whose rows are in the page as well if the stream has shared fetches.
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

/// Applies a fault to a page; faults that do not concern pages leave it as it is. `below` gives the
/// writer's rows in a range.
pub(crate) fn spoiled(
    fault: FetchFault,
    source: &Source,
    mut page: Page,
    (from, upto): (Token, Token),
    below: impl FnOnce(Token, Token) -> Page,
) -> Page {
    match fault {
        // Where pages may reach beyond the requested range, this is no fault.
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
