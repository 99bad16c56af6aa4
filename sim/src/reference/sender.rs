//! The model of Synapse's sender (`protocol.md` 5.2 to 5.5): one loop over all own streams, which
//! every write, command and timer pokes.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use synrepl_core::{
    Action, ByteString, Channel, Config, ConnectionId, Input, Misuse, ReadId, Timestamp,
    stream::{LogError, Page, Positions, Row, Span, Token},
    wire::{Command, Position, Rdata, Replicate},
};

use super::{Announcing, Rules, Silence};
use crate::machine::Machine;

/// The interval at which a process with `events` reads its log even if nothing pokes it.
const POKE_EVERY: Duration = Duration::from_secs(1);
/// The rows that are requested from a log at once.
const ROWS_TARGET: u32 = 100;
/// The first delay of a reconnection (`protocol.md` 1.3), without growth and jitter.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// A model of Synapse's sender, to take the place of a [`Node`](synrepl_core::Node) that writes.
///
/// It handles `Connected`, `Disconnected`, `Received`, `Appended`, `LogRead` and `Tick`, and emits
/// `Connect`, `Send` and `ReadLog`. Like the original it never learns whether a command arrived.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sender {
    rules: Rules,
    instance: ByteString,
    streams: BTreeMap<ByteString, Own>,
    link: Link,
    should_announce: bool,
    pending: bool,
    /// The present pass of the loop; `None` when it does not run.
    looping: Option<Pass>,
    poke_at: Option<Timestamp>,
    actions: VecDeque<Action>,
    ids: u64,
}

/// The tokens of one own stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Own {
    /// The token up to which rows were sent or announced.
    last: Token,
    /// The highest token that may be announced, of this or another writer.
    current: Token,
    /// The token of the last own write.
    written: Token,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Link {
    Connecting(ConnectionId),
    Up(ConnectionId),
    Down { retry_at: Timestamp },
    Stopped,
}

/// One pass of the loop over the streams.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pass {
    left: VecDeque<ByteString>,
    /// The read of a log that it waits for, with the token up to which was announced before.
    look: Option<(ReadId, ByteString, Token)>,
}

impl Sender {
    /// Creates a sender of the own streams of these settings, each announced up to its token. Its
    /// first action is a `Connect`.
    pub fn new(rules: Rules, config: &Config) -> Self {
        let own = |token: Token| Own { last: token, current: token, written: token };
        let mut sender = Self {
            rules,
            instance: config.instance.as_str().into(),
            streams: config
                .publish
                .own_streams
                .iter()
                .map(|(stream, token)| (stream.as_str().into(), own(*token)))
                .collect(),
            link: Link::Stopped,
            should_announce: true,
            pending: false,
            looping: None,
            poke_at: None,
            actions: VecDeque::new(),
            ids: 0,
        };
        sender.connect();
        sender
    }

    fn looks_every_second(&self) -> bool {
        self.rules.silence != Silence::Kept && self.streams.contains_key("events")
    }

    fn on_tick(&mut self, now: Timestamp) {
        if matches!(self.link, Link::Down { retry_at } if retry_at <= now) {
            self.connect();
        }
        if self.poke_at.is_some_and(|at| at <= now) {
            self.poke_at = None;
            self.poke();
        }
    }

    fn connect(&mut self) {
        self.ids += 1;
        let conn = ConnectionId::new(self.ids);
        self.link = Link::Connecting(conn);
        self.actions.push_back(Action::Connect { conn });
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest does not concern a sender")]
    fn on_command(&mut self, command: &Command) {
        match command {
            Command::Replicate(_) => self.announce(),
            // The writers of a stream share one sequence of tokens, so while no write of ours is in
            // flight, a token that another writer has reached may be announced by us, too.
            Command::Rdata(Rdata { stream, instance, token: Some(token), .. })
            | Command::Position(Position { stream, instance, token, .. }) => {
                if *instance == self.instance || self.rules.silence == Silence::Kept {
                    return;
                }
                if let Some(own) = self.streams.get_mut(stream)
                    && *token > own.current
                    && !synrepl_core::stream::traits(stream).resettable
                {
                    own.current = *token;
                }
                self.poke();
            }
            _ => {}
        }
    }

    fn announce(&mut self) {
        match self.rules.announcing {
            Announcing::AtOnce => {
                let streams: Vec<_> =
                    self.streams.iter().map(|(name, own)| (name.clone(), own.current)).collect();
                for (stream, current) in streams {
                    self.send_position(stream, current, current);
                }
            }
            Announcing::InOrder => {
                self.should_announce = true;
                self.poke();
            }
        }
    }

    fn poke(&mut self) {
        if !matches!(self.link, Link::Up(_)) {
            // Rows written without a connection are never sent or announced.
            self.streams.values_mut().for_each(|own| own.last = own.current);
            return;
        }
        let announce = self.rules.announcing == Announcing::InOrder && self.should_announce;
        if !announce && self.streams.values().all(|own| own.last == own.current) {
            return;
        }
        self.pending = true;
        if self.looping.is_none() {
            self.run_loop();
        }
    }

    /// Runs the loop until there is nothing left to send, or it waits for a read of a log.
    fn run_loop(&mut self) {
        loop {
            let Some(pass) = &mut self.looping else {
                if !std::mem::take(&mut self.pending) {
                    return;
                }
                if self.rules.announcing == Announcing::InOrder
                    && std::mem::take(&mut self.should_announce)
                {
                    let streams: Vec<_> =
                        self.streams.iter().map(|(name, own)| (name.clone(), own.last)).collect();
                    for (stream, last) in streams {
                        self.send_position(stream, last, last);
                    }
                }
                let left = self.streams.keys().cloned().collect();
                self.looping = Some(Pass { left, look: None });
                continue;
            };
            if pass.look.is_some() {
                return;
            }
            let Some(stream) = pass.left.pop_front() else {
                self.looping = None;
                continue;
            };
            self.look(stream);
        }
    }

    /// Requests the unsent rows of one stream, or announces that there are none.
    fn look(&mut self, stream: ByteString) {
        let Some(own) = self.streams.get_mut(&stream) else { return };
        if own.last == own.current {
            return;
        }
        let (prev, current) = (own.last, own.current);
        if self.rules.knows_own_writes && prev >= own.written {
            own.last = current;
            // A process that wrote no row of `caches` does not announce it: every process writes
            // it.
            if &*stream != "caches" {
                self.send_position(stream, prev, current);
            }
            return;
        }
        self.ids += 1;
        let query = ReadId::new(self.ids);
        if let Some(pass) = &mut self.looping {
            pass.look = Some((query, stream.clone(), prev));
        }
        let rows_max = ROWS_TARGET;
        self.actions.push_back(Action::ReadLog {
            query,
            stream,
            span: Span::new(prev, current),
            rows_max,
        });
    }

    fn on_log_read(&mut self, query: ReadId, result: Result<Page, LogError>) {
        let Some(pass) = &mut self.looping else { return };
        let Some((_, stream, prev)) = pass.look.take_if(|(wanted, ..)| *wanted == query) else {
            return;
        };
        match result {
            Ok(page) => {
                self.on_rows(stream, prev, page);
                self.run_loop();
            }
            // An error ends the loop, and the next poke starts it again.
            Err(_) => {
                self.looping = None;
                self.pending = false;
            }
        }
    }

    fn on_rows(&mut self, stream: ByteString, prev: Token, page: Page) {
        let Page { updates, upto, limited } = page;
        if let Some(own) = self.streams.get_mut(&stream) {
            own.last = upto;
        }
        self.pending |= limited;
        let Some(last) = updates.last().map(|(token, _)| *token) else {
            let announces = match self.rules.silence {
                Silence::Kept => false,
                Silence::BrokenForEvents => &*stream == "events",
                Silence::Broken => true,
            };
            if announces {
                self.send_position(stream, prev, upto);
            }
            return;
        };
        for (token, row) in marked(updates) {
            let (stream, instance) = (stream.clone(), self.instance.clone());
            self.send(Command::Rdata(Rdata { stream, instance, token, row }));
        }
        if self.rules.closes_after_rows && last < upto {
            self.send_position(stream, last, upto);
        }
    }

    fn send_position(&mut self, stream: ByteString, prev: Token, token: Token) {
        let instance = self.instance.clone();
        self.send(Command::Position(Position {
            stream,
            instance,
            prev,
            token,
            ends_catch_up: false,
        }));
    }

    /// Sends a command if there is a connection, and drops it otherwise.
    fn send(&mut self, command: Command) {
        if let Link::Up(conn) = self.link {
            self.actions.push_back(Action::Send { conn, channel: Channel::Main, command });
        }
    }
}

impl Machine for Sender {
    /// Handles an input. Those that concern only followers do nothing.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest does not concern a sender")]
    fn handle(&mut self, now: Timestamp, input: Input) -> Result<(), Misuse> {
        match input {
            Input::Connected { conn } if self.link == Link::Connecting(conn) => {
                self.link = Link::Up(conn);
                self.send(Command::Replicate(Replicate::Everything));
                self.announce();
            }
            Input::Disconnected { conn, .. } if matches!(self.link, Link::Connecting(c) | Link::Up(c) if c == conn) =>
            {
                self.link = Link::Down { retry_at: now + RECONNECT_AFTER };
            }
            Input::Received { conn, command } if self.link == Link::Up(conn) => {
                self.on_command(&command);
            }
            Input::Appended { stream, token } => {
                let own = self.streams.entry(stream).or_insert(Own {
                    last: Token::START,
                    current: Token::START,
                    written: Token::START,
                });
                own.written = own.written.max(token);
                own.current = own.current.max(token);
                self.poke();
            }
            Input::LogRead { query, result } => self.on_log_read(query, result),
            Input::Tick => self.on_tick(now),
            Input::Shutdown => {
                if let Link::Connecting(conn) | Link::Up(conn) = self.link {
                    self.actions.push_back(Action::Close { conn });
                }
                self.link = Link::Stopped;
                self.looping = None;
            }
            _ => {}
        }
        if self.poke_at.is_none() && self.looks_every_second() {
            self.poke_at = Some(now + POKE_EVERY);
        }
        Ok(())
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Returns the time at which a `Tick` is due.
    fn poll_timeout(&self) -> Option<Timestamp> {
        match self.link {
            Link::Down { retry_at } => {
                Some(self.poke_at.map_or(retry_at, |poke_at| poke_at.min(retry_at)))
            }
            Link::Connecting(_) | Link::Up(_) => self.poke_at,
            Link::Stopped => None,
        }
    }

    fn positions(&self) -> Positions {
        Positions::new()
    }
}

/// Returns the rows with their tokens on the wire: a row whose next row has the same token goes out
/// as `batch`.
fn marked(updates: Vec<(Token, Row)>) -> impl Iterator<Item = (Option<Token>, Row)> {
    let mut updates = updates.into_iter().peekable();
    std::iter::from_fn(move || {
        let (token, row) = updates.next()?;
        let shared = updates.peek().is_some_and(|(next, _)| *next == token);
        Some(((!shared).then_some(token), row))
    })
}
