//! A driver that keeps its contract, and a world that does not keep any.

use std::collections::BTreeSet;

use bytes::Bytes;
use synrepl_core::{
    Action, ConnectionId, Input, QueryId, Timestamp, WaitId,
    stream::{FetchError, Page, Row, Source, Token},
    wire::{
        BadRow, Command, DecodeError, DecodeErrorKind, Decoder, LockReleased, Position, Rdata,
        Replicate,
    },
};

use crate::choices::Choices;

/// One of each class, and one that is not known.
pub(super) const STREAMS: [&str; 9] = [
    "events",
    "receipts",
    "typing",
    "backfill",
    "caches",
    "device_lists",
    "profile_updates",
    "federation",
    "from_the_future",
];

/// The last one is our own name.
pub(super) const WRITERS: [&str; 4] = ["w0", "w1", "w2", "synrepl"];

/// Mostly small, so that tokens meet; sometimes at an end of the range.
pub(super) fn small_token(choices: &mut Choices<'_>) -> Token {
    Token::new(match choices.byte() {
        255 => i64::MAX,
        254 => i64::MIN,
        253 => -1,
        252 => i64::MAX - 1,
        251 => 1_000_000,
        byte => i64::from(byte % 24),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    Connecting(ConnectionId),
    Up(ConnectionId),
    /// Asked to close before or after it was made.
    Closing(ConnectionId, bool),
}

struct Fetch {
    query: QueryId,
    from: Token,
    upto: Token,
}

/// Decodes inputs that fit what the node has asked for so far.
pub(super) struct Driver {
    now: Timestamp,
    link: Link,
    fetches: Vec<Fetch>,
    /// Cancelled before their answer came, which may still come.
    cancelled: Vec<QueryId>,
    waits: BTreeSet<WaitId>,
    waits_ever: u64,
}

impl Default for Driver {
    fn default() -> Self {
        Self {
            now: Timestamp::ZERO,
            link: Link::Down,
            fetches: Vec::new(),
            cancelled: Vec::new(),
            waits: BTreeSet::new(),
            waits_ever: 0,
        }
    }
}

impl Driver {
    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing is to be done for the others")]
    pub(super) fn on_actions(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Connect { conn } => self.link = Link::Connecting(*conn),
                Action::Close { conn } => {
                    self.link = Link::Closing(*conn, matches!(self.link, Link::Up(_)));
                }
                Action::Fetch { query, from, upto, .. } => {
                    self.fetches.push(Fetch { query: *query, from: *from, upto: *upto });
                }
                Action::CancelFetch { query } => {
                    self.fetches.retain(|fetch| fetch.query != *query);
                    self.cancelled.push(*query);
                }
                _ => {}
            }
        }
    }

    /// The next input and its time. What needs something that is not there becomes a step towards
    /// having it.
    pub(super) fn next_input(
        &mut self,
        choices: &mut Choices<'_>,
        timeout: Option<Timestamp>,
    ) -> (Timestamp, Input) {
        let input = self.decoded(choices, timeout);
        (self.now, input)
    }

    fn decoded(&mut self, choices: &mut Choices<'_>, timeout: Option<Timestamp>) -> Input {
        match choices.below(32) {
            1 => Input::Tick,
            2 => {
                let ms = choices.one_of(&[1, 100, 700, 3_000]);
                self.now = Timestamp::from_micros(self.now.as_micros() + ms * 1_000);
                Input::Tick
            }
            3 => self.disconnected(timeout),
            4..=10 => self.received(choices, timeout, rdata),
            11..=15 => self.received(choices, timeout, position),
            16 | 17 => self.received(choices, timeout, batch_row),
            18..=22 => {
                self.fetched(choices, timeout, |choices, fetch| Ok(good_page(choices, fetch)))
            }
            23 => self.fetched(choices, timeout, |choices, _| Ok(any_page(choices))),
            24 => self.fetched(choices, timeout, |choices, _| Err(fetch_error(choices))),
            25 => match self.cancelled.pop() {
                Some(query) => Input::Fetched { query, result: Ok(any_page(choices)) },
                None => self.step(timeout),
            },
            26 => match self.usable() {
                Some(conn) => Input::Malformed { conn, error: bad_row(choices) },
                None => self.step(timeout),
            },
            27 => match self.usable() {
                Some(conn) => raw_line(choices, conn),
                None => self.step(timeout),
            },
            28 => self.received(choices, timeout, other_command),
            29 => Input::Send { command: other_command(choices) },
            30 => self.wait(choices),
            31 if choices.byte() == 255 => Input::Shutdown,
            _ => self.step(timeout),
        }
    }

    /// What a driver in an empty world would do: connect, or wait until the next deadline.
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
            Link::Up(_) | Link::Down => {
                self.now = timeout.unwrap_or(self.now).max(self.now);
                Input::Tick
            }
        }
    }

    fn disconnected(&mut self, timeout: Option<Timestamp>) -> Input {
        match self.link {
            Link::Connecting(conn) | Link::Up(conn) | Link::Closing(conn, _) => {
                self.link = Link::Down;
                Input::Disconnected { conn, reason: "lost".to_owned() }
            }
            Link::Down => self.step(timeout),
        }
    }

    /// The connection on which something may arrive.
    const fn usable(&self) -> Option<ConnectionId> {
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
            Some(conn) => Input::Received { conn, command: command(choices) },
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

    /// Opens a wait, or cancels one that may have ended.
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
}

fn row(choices: &mut Choices<'_>) -> Row {
    match choices.byte() {
        255 => Row::from(format!("[\"{}\"]", "x".repeat(60)).as_str()),
        254 => Row::from(r#"["get_user_by_access_token",["syt_abcdefghijkl"],1]"#),
        byte => Row::from(format!("[{}]", byte % 6).as_str()),
    }
}

fn rdata(choices: &mut Choices<'_>) -> Command {
    let (stream, instance) = (choices.one_of(&STREAMS), choices.one_of(&WRITERS));
    let token = Some(small_token(choices));
    Command::Rdata(Rdata {
        stream: stream.into(),
        instance: instance.into(),
        token,
        row: row(choices),
    })
}

fn batch_row(choices: &mut Choices<'_>) -> Command {
    let (stream, instance) = (choices.one_of(&STREAMS), choices.one_of(&WRITERS));
    let row = row(choices);
    Command::Rdata(Rdata { stream: stream.into(), instance: instance.into(), token: None, row })
}

fn position(choices: &mut Choices<'_>) -> Command {
    Command::Position(Position {
        stream: choices.one_of(&STREAMS).into(),
        instance: choices.one_of(&WRITERS).into(),
        prev: small_token(choices),
        token: small_token(choices),
        ends_catch_up: false,
    })
}

fn other_command(choices: &mut Choices<'_>) -> Command {
    match choices.below(4) {
        0 => Command::Replicate(Replicate::Everything),
        1 => Command::RemoteServerUp("remote.example".into()),
        2 => Command::LockReleased(LockReleased {
            instance: choices.one_of(&WRITERS).to_owned(),
            lock: "lock".to_owned(),
            key: "key".to_owned(),
        }),
        _ => Command::Ping("1".into()),
    }
}

/// A page that keeps the rules: rows in order, all in what was asked for, which it ends.
fn good_page(choices: &mut Choices<'_>, fetch: &Fetch) -> Page {
    let shape = choices.byte();
    let limited = shape & 1 == 1;
    let mut updates = Vec::new();
    let mut token = fetch.from;
    for _ in 0..shape >> 1 & 7 {
        token = token.advanced_by(u32::from(choices.below(4)));
        if token > fetch.from && token <= fetch.upto {
            updates.push((token, row(choices)));
        }
    }
    let last = updates.last().map(|(token, _)| *token);
    match last.filter(|_| limited) {
        Some(upto) => Page { updates, upto, limited },
        None => Page { updates, upto: fetch.upto, limited: false },
    }
}

/// A page of anything.
fn any_page(choices: &mut Choices<'_>) -> Page {
    let shape = choices.byte();
    let updates = (0..shape >> 1 & 7).map(|_| (small_token(choices), row(choices))).collect();
    Page { updates, upto: small_token(choices), limited: shape & 1 == 1 }
}

fn fetch_error(choices: &mut Choices<'_>) -> FetchError {
    let endpoint = "http://writer".to_owned();
    match choices.below(5) {
        0 => FetchError::TimedOut { endpoint, after_ms: 1 },
        1 => FetchError::TooLarge { limit_bytes: 1 },
        2 => FetchError::Malformed { endpoint, message: "no".to_owned() },
        3 => FetchError::NoEndpoint { instance: "w0".to_owned() },
        _ => FetchError::Unreachable { endpoint, message: "no".to_owned() },
    }
}

fn bad_row(choices: &mut Choices<'_>) -> DecodeError {
    let error = DecodeError::new(DecodeErrorKind::BadJson, 0, "a row", b"RDATA");
    let stream = choices.one_of(&STREAMS).to_owned();
    let instance = choices.one_of(&WRITERS).to_owned();
    let token = (choices.below(2) == 0).then(|| small_token(choices));
    error.with_row(BadRow { stream, instance, token })
}

/// A line of the fuzzer's own making.
fn raw_line(choices: &mut Choices<'_>, conn: ConnectionId) -> Input {
    let length = usize::from(choices.byte());
    match Decoder::new().decode(&Bytes::copy_from_slice(choices.bytes(length))) {
        Ok(command) => Input::Received { conn, command },
        Err(error) => Input::Malformed { conn, error },
    }
}
