//! The world of a run: writers and fetch sources that keep the rules, and a bus that breaks.
//! Choices and actions enter, inputs leave.

use synrepl_core::{
    Action, Config, ConnectionId, FetchId, Input, Timestamp,
    stream::{FetchError, Page, Source, Span, Token, traits},
    wire::{BadRow, Command, DecodeError, DecodeErrorKind},
};

use super::writers::{self, Name, SOURCES, Writers};
use crate::choices::Choices;

/// A fetch in flight.
struct Fetch {
    query: FetchId,
    name: Name,
    from: Token,
    upto: Token,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    Down,
    Connecting(ConnectionId),
    Up(ConnectionId),
}

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) writers: Writers,
    link: Link,
    fetches: Vec<Fetch>,
    cancelled: Vec<FetchId>,
    /// Whether requests on the bus get lost.
    loses_requests: bool,
    /// Whether a fetch may be given up, so that each failure may lead to a gap.
    gives_up: bool,
    /// The sources of which a gap may be reported.
    pub(super) may_gap: Vec<Name>,
}

impl World {
    /// Decodes writers with past rows, and saved positions that fit them.
    pub(super) fn decoded(config: &mut Config, choices: &mut Choices<'_>) -> Self {
        let mut writers = Writers::new();
        let absent = choices.word();
        for _ in 0..choices.below(24) {
            writers.append(usize::from(choices.byte()) % SOURCES.len(), 1);
        }
        for at in 0..SOURCES.len() {
            writers.skip(at);
            writers.all[at].is_started = absent >> at & 1 == 0;
        }
        for _ in 0..choices.below(4) {
            let (stream, instance) = choices.one_of(&SOURCES[..10]);
            let token = i64::from(choices.byte()).min(writers.end(stream).get());
            config.positions.set(&Source::new(stream, instance), Token::new(token));
        }
        Self {
            now: Timestamp::ZERO,
            writers,
            link: Link::Down,
            fetches: Vec::new(),
            cancelled: Vec::new(),
            loses_requests: false,
            gives_up: config.catch_up.fetch_attempts_max.is_some(),
            may_gap: Vec::new(),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing is to be done for the others")]
    pub(super) fn on_action(&mut self, action: &Action) {
        match action {
            Action::Connect { conn } => self.link = Link::Connecting(*conn),
            Action::Send { command: Command::Replicate(_), .. } if !self.loses_requests => {
                self.writers.all.iter_mut().for_each(|writer| writer.must_announce = true);
            }
            Action::Fetch { query, source, span: Span { from, upto } } => {
                let fetch = Fetch { query: *query, name: named(source), from: *from, upto: *upto };
                self.fetches.push(fetch);
            }
            Action::CancelFetch { query } => {
                self.fetches.retain(|fetch| fetch.query != *query);
                self.cancelled.push(*query);
            }
            _ => {}
        }
    }

    /// Lets something happen, and returns the input to which it leads, if any.
    pub(super) fn next_input(
        &mut self,
        choices: &mut Choices<'_>,
        timeout: Option<Timestamp>,
    ) -> Option<Input> {
        let op = choices.below(24);
        let at = usize::from(choices.byte()) % SOURCES.len();
        match op {
            1..=4 => {
                for _ in 0..1 + choices.below(4) {
                    self.writers.append(at, 1 + choices.below(3));
                }
                None
            }
            5..=10 => self.sent_by(at, choices.byte() % 4),
            11..=14 => self.fetched(choices),
            15 => self.garbled(at),
            16 => {
                let conn = match self.link {
                    Link::Up(conn) | Link::Connecting(conn) => conn,
                    Link::Down => return self.step(timeout),
                };
                self.link = Link::Down;
                Some(Input::Disconnected { conn, reason: "lost".to_owned() })
            }
            17 => {
                let ms = choices.one_of(&[1, 300, 2_500, 70_000]);
                self.now = Timestamp::from_micros(self.now.as_micros() + ms * 1_000);
                Some(Input::Tick)
            }
            18 => {
                // The writer loses its connection, and the commands that it had not sent.
                self.writers.skip(at);
                None
            }
            19 if self.writers.all[at].is_started => {
                let command = self.writers.restart(at);
                self.received(command)
            }
            20 => self.writers.announce_ahead(at).and_then(|command| self.received(command)),
            21 => {
                self.loses_requests = choices.below(2) == 1;
                None
            }
            22 => {
                self.writers.all[at].is_started = true;
                None
            }
            23 => self.cancelled.pop().map(|query| {
                let upto = Token::new(i64::from(choices.byte()));
                Input::Fetched { query, result: Ok(Page { upto, ..Page::default() }) }
            }),
            _ => self.step(timeout),
        }
    }

    /// Ends all faults.
    pub(super) fn heal(&mut self) {
        self.loses_requests = false;
        self.writers.all.iter_mut().for_each(|writer| writer.is_started = true);
    }

    /// Returns the next input without faults; `None` if only a deadline is left.
    pub(super) fn faultless_input(&mut self) -> Option<Input> {
        if !self.fetches.is_empty() {
            return self.fetched(&mut Choices::new(&[]));
        }
        match self.link {
            Link::Down => None,
            Link::Connecting(_) => self.step(None),
            Link::Up(_) => (0..SOURCES.len()).find_map(|at| self.sent_by(at, 0)),
        }
    }

    /// Returns what happens without any choice: the connection is made, or the next deadline comes.
    fn step(&mut self, timeout: Option<Timestamp>) -> Option<Input> {
        if let Link::Connecting(conn) = self.link {
            self.link = Link::Up(conn);
            return Some(Input::Connected { conn });
        }
        self.now = self.now.max(timeout?);
        Some(Input::Tick)
    }

    /// Returns the input of a command; none without a connection.
    fn received(&self, command: Command) -> Option<Input> {
        match self.link {
            Link::Up(conn) => Some(Input::Received { conn, command }),
            Link::Down | Link::Connecting(_) => None,
        }
    }

    fn sent_by(&mut self, at: usize, repeats: u8) -> Option<Input> {
        let command = self.writers.next(at, repeats)?;
        self.received(command)
    }

    /// Returns the next row of a writer as a line whose JSON is malformed.
    fn garbled(&mut self, at: usize) -> Option<Input> {
        let input = self.sent_by(at, 0)?;
        let Input::Received { conn, command: Command::Rdata(rdata) } = input else {
            return Some(input);
        };
        let (stream, instance) = (rdata.stream.to_string(), rdata.instance.to_string());
        let row = BadRow { stream, instance, token: rdata.token };
        let error = DecodeError::new(DecodeErrorKind::BadJson, 0, "a row", b"RDATA");
        Some(Input::Malformed { conn, error: error.with_row(row) })
    }

    /// Returns the response to a fetch; zeros give the complete page.
    fn fetched(&mut self, choices: &mut Choices<'_>) -> Option<Input> {
        let nth = usize::from(choices.byte()).checked_rem(self.fetches.len())?;
        let Fetch { query, name, from, upto } = self.fetches.remove(nth);
        let endpoint = || "http://writer".to_owned();
        let result = match choices.below(16) {
            15 => Err(FetchError::Unreachable { endpoint: endpoint(), message: "no".to_owned() }),
            14 => Err(FetchError::TooLarge { limit_bytes: 1 }),
            13 => Err(FetchError::NoEndpoint { instance: name.1.clone() }),
            // The page breaks the rules, but for streams whose pages may overrun.
            12 if !traits(&name.0).overruns => {
                Ok(Page { updates: Vec::new(), upto: upto.advanced_by(1), limited: false })
            }
            11 => Ok(Page { updates: Vec::new(), upto: from, limited: true }),
            _ => {
                let (page, is_split) =
                    writers::page(&self.writers.logs, &name, (from, upto), choices);
                if is_split {
                    self.may_gap.push(name.clone());
                }
                Ok(page)
            }
        };
        if matches!(result, Err(FetchError::NoEndpoint { .. })) || self.gives_up {
            self.may_gap.push(name);
        }
        Some(Input::Fetched { query, result })
    }
}

pub(super) fn named(source: &Source) -> Name {
    (source.stream().to_owned(), source.instance().to_owned())
}
