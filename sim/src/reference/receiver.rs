//! The model of Synapse's receiver (`protocol.md` 4.3 to 4.7), which keys its queues, its batches
//! and its set of connected streams by stream, not by source.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use synrepl_core::{
    Action, Channel, Config, ConnectionId, Event, FetchId, Input, Misuse, Origin, Start, Timestamp,
    stream::{CATALOGUE, FetchError, Page, Positions, Row, Rows, Source, Span, Token, traits},
    wire::{Command, Position, Rdata, Replicate},
};

use super::{Missing, Rules, known::Known};
use crate::machine::Machine;

/// The first delay of a reconnection (`protocol.md` 1.3), without growth and jitter.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// A model of Synapse's receiver, to take the place of a [`Node`](synrepl_core::Node).
///
/// Drain [`poll_action`](Self::poll_action) after each [`handle`](Self::handle), as with a node. It
/// emits these events of a node: `Rows` for rows that are applied, `Position` for the position
/// after them, `Live` when a writer's POSITION has been handled, and `Reset` when the position of a
/// stream in memory is set back. Like the original it has no limits, keeps no positions of its own
/// over a restart, and neither waits for positions nor writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receiver {
    rules: Rules,
    instance: String,
    start: Start,
    known: Known,
    notified: Positions,
    link: Link,
    /// The streams of which a POSITION of any writer was handled on this connection.
    connected: BTreeSet<String>,
    batches: BTreeMap<String, Vec<Row>>,
    queues: BTreeMap<String, Queue>,
    fetches: BTreeMap<FetchId, String>,
    apply_fails: bool,
    actions: VecDeque<Action>,
    ids: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Link {
    Connecting(ConnectionId),
    Up(ConnectionId),
    Down { retry_at: Timestamp },
    Stopped,
}

/// The commands of one stream that are still to be handled, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Queue {
    waiting: VecDeque<(ConnectionId, Item)>,
    catching_up: Option<CatchUp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Item {
    Rdata(Rdata),
    Position(Position),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct CatchUp {
    conn: ConnectionId,
    source: Source,
    upto: Token,
}

impl Receiver {
    /// Creates a receiver with the name and the start of these settings, whose database held their
    /// `positions` when it started. Its first action is a `Connect`.
    ///
    /// With [`Start::Now`], a stream without a position in the database starts at the previous
    /// token of its first POSITION, as if the process had started just before.
    pub fn new(rules: Rules, config: &Config) -> Self {
        let mut receiver = Self {
            rules,
            instance: config.instance.clone(),
            start: config.start,
            known: Known::at_start(rules, &config.positions),
            notified: config.positions.clone(),
            link: Link::Stopped,
            connected: BTreeSet::new(),
            batches: BTreeMap::new(),
            queues: BTreeMap::new(),
            fetches: BTreeMap::new(),
            apply_fails: false,
            actions: VecDeque::new(),
            ids: 0,
        };
        receiver.connect();
        receiver
    }

    /// Returns the position of a writer as far as this receiver knows it.
    pub fn current(&self, source: &Source) -> Token {
        self.known.current(source.stream(), source.instance())
    }

    /// Lets the next application of rows raise an exception before the position moves, as any
    /// handler of rows in Synapse may (hazard H6). One failure at most is pending at a time.
    pub const fn fail_next_apply(&mut self) {
        self.apply_fails = true;
    }

    fn connect(&mut self) {
        self.ids += 1;
        let conn = ConnectionId::new(self.ids);
        self.link = Link::Connecting(conn);
        self.actions.push_back(Action::Connect { conn });
    }

    fn on_disconnected(&mut self, now: Timestamp, conn: ConnectionId, reason: String) {
        let (Link::Connecting(current) | Link::Up(current)) = self.link else {
            if self.link == Link::Stopped {
                self.notify(Event::Stopped);
            }
            return;
        };
        if current != conn {
            return;
        }
        // Open batches, queues and catch-ups stay as they are.
        self.connected.clear();
        let retry_at = now + RECONNECT_AFTER;
        self.link = Link::Down { retry_at };
        self.notify(Event::Disconnected { conn, reason, retry_at: Some(retry_at) });
    }

    fn on_shutdown(&mut self) {
        match self.link {
            Link::Connecting(conn) | Link::Up(conn) => {
                self.actions.push_back(Action::Close { conn });
            }
            Link::Down { .. } | Link::Stopped => self.notify(Event::Stopped),
        }
        self.link = Link::Stopped;
        for (query, _) in std::mem::take(&mut self.fetches) {
            self.actions.push_back(Action::CancelFetch { query });
        }
        self.queues.clear();
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are for other handlers")]
    fn on_command(&mut self, conn: ConnectionId, command: Command) {
        match command {
            Command::Rdata(rdata) => {
                if rdata.instance != self.instance.as_str() && is_known(&rdata.stream) {
                    let stream = rdata.stream.to_string();
                    self.enqueue(conn, stream, Item::Rdata(rdata));
                }
            }
            Command::Position(position) => {
                if position.instance == self.instance.as_str() {
                    return;
                }
                if !is_known(&position.stream) {
                    if self.rules.falls_over_unknown_streams {
                        self.actions.push_back(Action::Close { conn });
                    }
                    return;
                }
                if !self.can_discard(&position) {
                    let stream = position.stream.to_string();
                    self.enqueue(conn, stream, Item::Position(position));
                }
            }
            command => self.notify(Event::Command { command }),
        }
    }

    fn can_discard(&self, position: &Position) -> bool {
        self.rules.discards_positions
            && !traits(&position.stream).resettable
            && self.connected.contains(&*position.stream)
            && position.token <= self.known.current(&position.stream, &position.instance)
    }

    fn enqueue(&mut self, conn: ConnectionId, stream: String, item: Item) {
        self.queues.entry(stream.clone()).or_default().waiting.push_back((conn, item));
        self.work_off(&stream);
    }

    /// Handles the commands in a stream's queue until it is empty or has to wait for a fetch.
    fn work_off(&mut self, stream: &str) {
        while let Some(queue) = self.queues.get_mut(stream) {
            if queue.catching_up.is_some() {
                return;
            }
            let Some((conn, item)) = queue.waiting.pop_front() else { return };
            match item {
                Item::Rdata(rdata) => self.process_rdata(conn, rdata),
                Item::Position(position) => self.process_position(conn, &position),
            }
        }
    }

    /// Returns whether the connection that a command came on is up and the stream is connected.
    fn is_connected(&self, conn: ConnectionId, stream: &str) -> bool {
        self.link == Link::Up(conn) && self.connected.contains(stream)
    }

    fn process_rdata(&mut self, conn: ConnectionId, rdata: Rdata) {
        let Rdata { stream, instance, token, row } = rdata;
        if !self.is_connected(conn, &stream) {
            return;
        }
        let Some(token) = token else {
            self.batches.entry(stream.to_string()).or_default().push(row);
            return;
        };
        let mut rows = self.batches.remove(&*stream).unwrap_or_default();
        rows.push(row);
        if self.rules.drops_old_rdata && token <= self.known.current(&stream, &instance) {
            return;
        }
        self.apply(&Source::new(&stream, &instance), token, rows, Origin::Live);
    }

    fn process_position(&mut self, conn: ConnectionId, position: &Position) {
        if self.can_discard(position) {
            return;
        }
        let Position { stream, instance, prev, token, .. } = position;
        self.connected.remove(&**stream);
        self.batches.remove(&**stream);
        if self.start == Start::Now && !self.known.has(stream) {
            self.known.advance(stream, instance, *prev);
        }
        let current = self.known.current(stream, instance);
        let missing = match self.rules.missing {
            Missing::TokenDiffers => *token != current,
            Missing::PrevDiffers => *prev != current,
            Missing::OutsideInterval => !(*prev <= current && current <= *token),
        };
        let source = Source::new(stream, instance);
        let catch_up = CatchUp { conn, source: source.clone(), upto: *token };
        if missing && current != *token {
            self.notify(Event::CatchingUp { source, span: Span { from: current, upto: *token } });
            self.fetch(catch_up, current);
        } else {
            self.position_reached(&catch_up);
        }
    }

    fn fetch(&mut self, catch_up: CatchUp, from: Token) {
        self.ids += 1;
        let query = FetchId::new(self.ids);
        let CatchUp { source, upto, .. } = catch_up.clone();
        self.fetches.insert(query, source.stream().to_owned());
        self.actions.push_back(Action::Fetch {
            query,
            source: source.clone(),
            span: Span { from, upto },
        });
        self.queues.entry(source.stream().to_owned()).or_default().catching_up = Some(catch_up);
    }

    fn on_fetched(&mut self, query: FetchId, result: Result<Page, FetchError>) {
        let Some(stream) = self.fetches.remove(&query) else { return };
        let catch_up = self.queues.get_mut(&stream).and_then(|queue| queue.catching_up.take());
        let Some(catch_up) = catch_up else { return };
        // An exception ends the handling of this POSITION, so the stream stays unconnected.
        if let Ok(Page { updates, upto, limited }) = result
            && self.apply_page(&catch_up.source, updates)
        {
            if limited && upto != catch_up.upto {
                self.fetch(catch_up, upto);
            } else {
                self.position_reached(&catch_up);
            }
        }
        self.work_off(&stream);
    }

    /// Applies a page, neighbours with equal tokens together. Returns false if one of them raised.
    fn apply_page(&mut self, source: &Source, updates: Vec<(Token, Row)>) -> bool {
        let mut group: Option<(Token, Vec<Row>)> = None;
        for (token, row) in updates {
            match &mut group {
                Some((same, rows)) if *same == token => rows.push(row),
                _ => {
                    if let Some((token, rows)) = group.replace((token, vec![row]))
                        && !self.apply(source, token, rows, Origin::CatchUp)
                    {
                        return false;
                    }
                }
            }
        }
        group.is_none_or(|(token, rows)| self.apply(source, token, rows, Origin::CatchUp))
    }

    fn position_reached(&mut self, catch_up: &CatchUp) {
        let CatchUp { conn, source, upto } = catch_up;
        let (stream, instance) = (source.stream(), source.instance());
        let before = self.known.current(stream, instance);
        if *upto >= before || self.rules.sets_back {
            self.known.advance(stream, instance, *upto);
        }
        let token = self.known.current(stream, instance);
        if token < before {
            self.notify(Event::Reset { source: source.clone(), from: before, token });
        } else if token > before {
            self.notify(Event::Position { source: source.clone(), token });
        }
        if self.link == Link::Up(*conn) {
            self.connected.insert(stream.to_owned());
            self.notify(Event::Live { source: source.clone(), token });
        }
    }

    /// Applies rows, then moves the position. Returns false if the application raised.
    fn apply(&mut self, source: &Source, token: Token, rows: Vec<Row>, origin: Origin) -> bool {
        if std::mem::take(&mut self.apply_fails) {
            return false;
        }
        let before = self.current(source);
        self.known.advance(source.stream(), source.instance(), token);
        let position = self.current(source);
        if position < before {
            let source = source.clone();
            self.notify(Event::Reset { source, from: before, token: position });
        }
        if let Some(rows) = Rows::new(rows) {
            let source = source.clone();
            self.notify(Event::Rows { source, token, rows, origin, position });
        }
        true
    }

    fn notify(&mut self, event: Event) {
        if let Some((source, token)) = event.position() {
            self.notified.set(source, token);
        }
        self.actions.push_back(Action::Notify(event));
    }
}

impl Machine for Receiver {
    /// Handles an input. Those that concern only writers, waits or accepted peers do nothing.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest does not concern a receiver")]
    fn handle(&mut self, now: Timestamp, input: Input) -> Result<(), Misuse> {
        match input {
            Input::Connected { conn } if self.link == Link::Connecting(conn) => {
                self.link = Link::Up(conn);
                self.notify(Event::Connected { conn });
                let command = Command::Replicate(Replicate::Everything);
                self.actions.push_back(Action::Send { conn, channel: Channel::Main, command });
            }
            Input::Disconnected { conn, reason } => self.on_disconnected(now, conn, reason),
            Input::Received { conn, command } if self.link == Link::Up(conn) => {
                self.on_command(conn, command);
            }
            Input::Fetched { query, result } => self.on_fetched(query, result),
            Input::Tick => {
                if matches!(self.link, Link::Down { retry_at } if retry_at <= now) {
                    self.connect();
                }
            }
            Input::Shutdown => self.on_shutdown(),
            _ => {}
        }
        Ok(())
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Returns the time at which a `Tick` is due; only a reconnection needs one.
    fn poll_timeout(&self) -> Option<Timestamp> {
        match self.link {
            Link::Down { retry_at } => Some(retry_at),
            Link::Connecting(_) | Link::Up(_) | Link::Stopped => None,
        }
    }

    /// Returns the position of each source, as the events gave it.
    fn positions(&self) -> Positions {
        self.notified.clone()
    }
}

/// Returns whether any release of Synapse has a stream of this name.
pub(super) fn is_known(stream: &str) -> bool {
    CATALOGUE.binary_search_by_key(&stream, |(name, _)| *name).is_ok()
}
