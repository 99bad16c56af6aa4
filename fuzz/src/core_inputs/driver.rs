//! A simulated driver that keeps the contract, before a world that keeps no rules: choices and the
//! node's actions enter, inputs leave.

use std::collections::BTreeSet;

use synrepl_core::{
    Action, Config, ConnectionId, FetchId, Input, ReadId, Timestamp, Transport, WaitId,
    stream::{FetchError, Page, Source, Span, Token},
    wire::Command,
};

use super::{
    accepted::AcceptedConnections,
    logs::{Asked, Log, Logs, OWN_STREAMS},
    world::{self, STREAMS, WRITERS, small_token},
};
use crate::choices::Choices;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Down,
    Connecting(ConnectionId),
    Up(ConnectionId),
    /// The node has closed it; whether it was established before.
    Closing(ConnectionId, bool),
}

struct Fetch {
    query: FetchId,
    from: Token,
    upto: Token,
}

/// Decodes inputs that fit the node's actions so far.
pub(super) struct Driver {
    pub(super) now: Timestamp,
    pub(super) link: Link,
    transport: Transport,
    is_wide: bool,
    /// Whether the server has not sent its name yet.
    server_is_silent: bool,
    /// The commands sent on our own connection and not yet reported as gone out.
    pub(super) unreported: u32,
    fetches: Vec<Fetch>,
    /// The cancelled fetches, whose responses may still come.
    cancelled: Vec<FetchId>,
    reads: Vec<(ReadId, Asked)>,
    /// The reads that were answered.
    answered: Vec<ReadId>,
    pub(super) accepted: AcceptedConnections,
    pub(super) logs: Logs,
    waits: BTreeSet<WaitId>,
    waits_ever: u64,
}

impl Driver {
    pub(super) fn new(config: &Config, is_wide: bool) -> Self {
        let mut logs = Logs::default();
        for (stream, end) in &config.publish.own_streams {
            logs.insert(stream, Log::ending_at(*end));
        }
        Self {
            now: Timestamp::ZERO,
            link: Link::Down,
            transport: config.transport,
            is_wide,
            server_is_silent: true,
            unreported: 0,
            fetches: Vec::new(),
            cancelled: Vec::new(),
            reads: Vec::new(),
            answered: Vec::new(),
            accepted: AcceptedConnections::default(),
            logs,
            waits: BTreeSet::new(),
            waits_ever: 0,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing is to be done for the others")]
    pub(super) fn on_actions(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Connect { conn } => {
                    self.link = Link::Connecting(*conn);
                    self.unreported = 0;
                    self.server_is_silent = true;
                }
                Action::Close { conn } if conn.is_accepted() => self.accepted.on_close(*conn),
                Action::Close { conn } => {
                    self.link = Link::Closing(*conn, matches!(self.link, Link::Up(_)));
                }
                Action::Send { conn, .. } if conn.is_accepted() => self.accepted.on_send(*conn),
                Action::Send { .. } => self.unreported += 1,
                Action::Broadcast { audience, .. } => {
                    audience.connections().iter().for_each(|conn| self.accepted.on_send(*conn));
                }
                Action::Fetch { query, span: Span { from, upto }, .. } => {
                    self.fetches.push(Fetch { query: *query, from: *from, upto: *upto });
                }
                Action::CancelFetch { query } => {
                    self.fetches.retain(|fetch| fetch.query != *query);
                    self.cancelled.push(*query);
                }
                Action::ReadLog { query, stream, span: Span { from, upto }, rows_max } => {
                    let (stream, rows_max) = (stream.to_string(), *rows_max as usize);
                    let asked = Asked { stream, from: *from, upto: *upto, rows_max };
                    self.reads.push((*query, asked));
                }
                _ => {}
            }
        }
    }

    /// Returns the next input. If its kind is not possible yet, returns a step towards it.
    pub(super) fn next_input(
        &mut self,
        choices: &mut Choices<'_>,
        timeout: Option<Timestamp>,
    ) -> Input {
        let kinds = if self.is_wide { 64 } else { 32 };
        match choices.below(kinds) {
            1 => Input::Tick,
            2 => {
                let ms = choices.one_of(&[1, 100, 700, 3_000]);
                self.now = Timestamp::from_micros(self.now.as_micros() + ms * 1_000);
                Input::Tick
            }
            3 => self.disconnected(timeout),
            4..=10 => self.received(choices, timeout, world::rdata),
            11..=15 => self.received(choices, timeout, world::position),
            16 | 17 => self.received(choices, timeout, world::batch_row),
            18..=22 => self.fetched(choices, timeout, |choices, fetch| {
                Ok(world::good_page(choices, fetch.from, fetch.upto))
            }),
            23 => self.fetched(choices, timeout, |choices, _| Ok(world::any_page(choices))),
            24 => self.fetched(choices, timeout, |choices, _| Err(world::fetch_error(choices))),
            25 => match self.cancelled.pop() {
                Some(query) => Input::Fetched { query, result: Ok(world::any_page(choices)) },
                None => self.step(timeout),
            },
            26 => match self.usable() {
                Some(conn) => Input::Malformed { conn, error: world::bad_row(choices) },
                None => self.step(timeout),
            },
            27 => match self.usable() {
                Some(conn) => world::raw_line(choices, conn),
                None => self.step(timeout),
            },
            28 => self.received(choices, timeout, world::other_command),
            29 => Input::Send { command: world::other_command(choices) },
            30 => self.wait(choices),
            31 if choices.byte() == 255 => Input::Shutdown,
            kind @ 32.. => self.next_wide_input(kind, choices, timeout),
            _ => self.step(timeout),
        }
    }

    /// Returns an input about publishing, accepted connections or direct TCP.
    fn next_wide_input(
        &mut self,
        kind: u8,
        choices: &mut Choices<'_>,
        timeout: Option<Timestamp>,
    ) -> Input {
        let found = match kind {
            32..=36 => {
                let stream = choices.one_of(&OWN_STREAMS);
                let token = self.logs.entry(stream).append(choices);
                Some(Input::Appended { stream: stream.into(), token })
            }
            37 => {
                let stream = choices.one_of(&OWN_STREAMS);
                let token = self.logs.entry(stream).end.min(small_token(choices));
                Some(Input::Appended { stream: stream.into(), token })
            }
            38..=42 => {
                self.log_read(choices, |logs, asked, choices| logs.good(asked, choices.byte()))
            }
            43 => self.log_read(choices, Logs::bad),
            44 => self.answered.pop().map(|query| match choices.below(2) {
                0 => Input::LogRead { query, result: Ok(world::any_page(choices)) },
                // The id of a read is used as that of a fetch.
                _ => {
                    let query = FetchId::new(query.get());
                    Input::Fetched { query, result: Ok(world::any_page(choices)) }
                }
            }),
            45 | 46 => self.all_sent(choices),
            47..=49 => self.accepted.sent(choices),
            50 | 51 => Some(self.accepted.accept(choices)),
            52..=56 => self.accepted.received(choices),
            57 => self.accepted.disconnected(choices),
            58 => self.usable().and_then(|conn| {
                matches!(self.transport, Transport::Tcp(_)).then_some(Input::LineTooLong { conn })
            }),
            59 | 60 => Some(world::syncing(choices)),
            61 => Some(Input::Send { command: world::any_command(choices) }),
            62 => self
                .usable()
                .map(|conn| Input::Received { conn, command: world::any_command(choices) }),
            _ => (choices.byte() > 250).then_some(Input::Shutdown),
        };
        found.unwrap_or_else(|| self.step(timeout))
    }

    /// Returns what happens without any choice: the connection is made, or the next deadline comes.
    fn step(&mut self, timeout: Option<Timestamp>) -> Input {
        match self.link {
            Link::Connecting(conn) => {
                self.link = Link::Up(conn);
                Input::Connected { conn }
            }
            Link::Closing(conn, _) => {
                self.link = Link::Down;
                Input::Disconnected { conn, reason: "closed".to_owned() }
            }
            Link::Up(conn)
                if self.server_is_silent && matches!(self.transport, Transport::Tcp(_)) =>
            {
                self.server_is_silent = false;
                Input::Received { conn, command: Command::Server(world::SERVER.into()) }
            }
            Link::Up(_) | Link::Down => {
                self.now = timeout.unwrap_or(self.now).max(self.now);
                Input::Tick
            }
        }
    }

    /// Returns what happens without faults: commands go out and own logs are read in full. Fetches
    /// stay open, because with any token announced, a catch-up in small windows would have no end.
    pub(super) fn faultless_input(&mut self, choices: &mut Choices<'_>) -> Option<Input> {
        if !matches!(self.link, Link::Up(_) | Link::Down) {
            return Some(self.step(None));
        }
        if let (Link::Up(conn), count @ 1..) = (self.link, self.unreported) {
            self.unreported = 0;
            return Some(Input::Sent { conn, count });
        }
        self.log_read(choices, |logs, asked, _| logs.good(asked, 0))
            .or_else(|| self.accepted.closed())
            .or_else(|| self.accepted.all_sent())
    }

    /// Returns the loss of our own connection.
    fn disconnected(&mut self, timeout: Option<Timestamp>) -> Input {
        match self.link {
            Link::Connecting(conn) | Link::Up(conn) | Link::Closing(conn, _) => {
                self.link = Link::Down;
                Input::Disconnected { conn, reason: "lost".to_owned() }
            }
            Link::Down => self.step(timeout),
        }
    }

    /// Returns the connection on which commands may arrive.
    pub(super) const fn usable(&self) -> Option<ConnectionId> {
        match self.link {
            Link::Up(conn) | Link::Closing(conn, true) => Some(conn),
            Link::Down | Link::Connecting(_) | Link::Closing(..) => None,
        }
    }

    fn received(
        &mut self,
        choices: &mut Choices<'_>,
        timeout: Option<Timestamp>,
        command: impl Fn(&mut Choices<'_>) -> Command,
    ) -> Input {
        match self.usable() {
            Some(conn) => {
                let command = command(choices);
                let command = world::in_dialect(command, self.transport, choices);
                Input::Received { conn, command }
            }
            None => self.step(timeout),
        }
    }

    fn fetched(
        &mut self,
        choices: &mut Choices<'_>,
        timeout: Option<Timestamp>,
        result: impl Fn(&mut Choices<'_>, &Fetch) -> Result<Page, FetchError>,
    ) -> Input {
        if self.fetches.is_empty() {
            return self.step(timeout);
        }
        let fetch = self.fetches.remove(usize::from(choices.byte()) % self.fetches.len());
        Input::Fetched { query: fetch.query, result: result(choices, &fetch) }
    }

    fn log_read(
        &mut self,
        choices: &mut Choices<'_>,
        result: impl Fn(&Logs, &Asked, &mut Choices<'_>) -> Result<Page, synrepl_core::stream::LogError>,
    ) -> Option<Input> {
        if self.reads.is_empty() {
            return None;
        }
        let (query, asked) = self.reads.remove(usize::from(choices.byte()) % self.reads.len());
        self.answered.push(query);
        Some(Input::LogRead { query, result: result(&self.logs, &asked, choices) })
    }

    /// Returns the report that some commands on our own connection have gone out.
    fn all_sent(&mut self, choices: &mut Choices<'_>) -> Option<Input> {
        let conn = self.usable().filter(|_| self.unreported > 0)?;
        let count = 1 + u32::from(choices.byte()) % self.unreported;
        self.unreported -= count;
        Some(Input::Sent { conn, count })
    }

    /// Returns the start of a wait, or the cancellation of one, which may have ended.
    fn wait(&mut self, choices: &mut Choices<'_>) -> Input {
        if choices.below(4) == 3 {
            let wait = self.waits.pop_first().unwrap_or(WaitId::new(0));
            return Input::CancelWait { wait };
        }
        self.waits_ever += 1;
        let wait = WaitId::new(self.waits_ever);
        self.waits.insert(wait);
        let after_ms = choices.one_of(&[1_000, 0, 10]);
        let deadline = Timestamp::from_micros(self.now.as_micros() + after_ms * 1_000);
        let source = Source::new(choices.one_of(&STREAMS), choices.one_of(&WRITERS));
        Input::WaitFor { wait, source, token: small_token(choices), deadline }
    }

    /// Returns an input that breaks the contract, with its time.
    pub(super) fn misuse(&self, choices: &mut Choices<'_>) -> (Timestamp, Input) {
        let nobody = ConnectionId::new(u64::MAX >> 20);
        let (fetch, read) = (FetchId::new(u64::MAX), ReadId::new(u64::MAX));
        let any = self.usable().or_else(|| self.accepted.any(choices)).unwrap_or(nobody);
        let pending = self.usable().map_or(0, |_| self.unreported);
        let pending = if any.is_accepted() { self.accepted.unreported(any) } else { pending };
        let input = match choices.below(12) {
            0 => Input::Sent { conn: any, count: 0 },
            1 => Input::Sent { conn: any, count: pending + 1 },
            2 => Input::Sent { conn: any, count: u32::MAX },
            3 => Input::LogRead { query: read, result: Ok(world::any_page(choices)) },
            4 => Input::Fetched { query: fetch, result: Ok(world::any_page(choices)) },
            5 => self.accepted.accept_again(choices),
            6 => Input::Appended { stream: "a b".into(), token: small_token(choices) },
            7 => Input::Connected { conn: nobody },
            8 => Input::LineTooLong { conn: nobody },
            9 => Input::Disconnected { conn: nobody, reason: String::new() },
            10 if self.now > Timestamp::ZERO => return (Timestamp::ZERO, Input::Tick),
            _ => Input::Received { conn: nobody, command: world::any_command(choices) },
        };
        (self.now, input)
    }
}
