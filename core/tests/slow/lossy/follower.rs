//! A follower on the bus: a node, with its deliveries.

use std::collections::{BTreeMap, VecDeque};

use synrepl_core::{
    Action, Config, ConnectionId, Event, FetchId, Input, Node, Start, Timestamp,
    stream::{FetchError, Page, Row, Source, Span, Token},
    wire::Command,
};

use super::log::Log;

/// A fetch under way.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    query: FetchId,
    source: Source,
    from: Token,
    upto: Token,
}

pub(crate) struct Follower {
    node: Node,
    conn: ConnectionId,
    pub(crate) up: bool,
    pub(crate) inbox: VecDeque<Command>,
    pub(crate) fetches: Vec<Fetch>,
    /// What it said on the bus.
    pub(crate) outbox: Vec<Command>,
    /// By stream, since the last reset.
    pub(crate) delivered: BTreeMap<String, Vec<(i64, Vec<String>)>>,
}

impl Follower {
    pub(crate) fn new(number: usize) -> Self {
        let mut config = Config::default();
        config.instance = format!("follower{number}");
        config.start = Start::Beginning;
        let mut follower = Self {
            node: Node::new(config).expect("a good configuration"),
            conn: ConnectionId::new(0),
            up: false,
            inbox: VecDeque::new(),
            fetches: Vec::new(),
            outbox: Vec::new(),
            delivered: BTreeMap::new(),
        };
        follower.drain().expect("nothing is delivered yet");
        follower
    }

    /// It is connected, and nothing is under way to it.
    pub(crate) fn is_idle(&self) -> bool {
        self.up && self.inbox.is_empty() && self.fetches.is_empty() && self.outbox.is_empty()
    }

    pub(crate) fn handle(&mut self, now: Timestamp, input: Input) -> Result<(), String> {
        self.node.handle(now, input).map_err(|misuse| misuse.to_string())?;
        self.drain()
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest changes nothing here")]
    fn drain(&mut self) -> Result<(), String> {
        while let Some(action) = self.node.poll_action() {
            match action {
                Action::Connect { conn } => self.conn = conn,
                Action::Send { command, .. } => self.outbox.push(command),
                Action::Fetch { query, source, span: Span { from, upto } } => {
                    self.fetches.push(Fetch { query, source, from, upto });
                }
                Action::CancelFetch { query } => self.fetches.retain(|fetch| fetch.query != query),
                Action::Notify(Event::Rows { source, token, rows, .. }) => {
                    let stream = self.delivered.entry(source.stream().to_owned()).or_default();
                    if stream.last().is_some_and(|(last, _)| *last >= token.get()) {
                        return Err(format!("F1, F3: {source} {token} after {stream:?}"));
                    }
                    let rows = rows.iter().map(|row| row.as_str().to_owned()).collect();
                    stream.push((token.get(), rows));
                }
                Action::Notify(Event::Reset { source, .. }) => {
                    self.delivered.remove(source.stream());
                }
                Action::Notify(Event::Gap { source, .. }) => {
                    return Err(format!("gap in {source}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn connect(&mut self, now: Timestamp) -> Result<(), String> {
        self.handle(now, Input::Tick)?;
        if self.up || self.conn.get() == 0 {
            return Ok(());
        }
        self.up = true;
        self.handle(now, Input::Connected { conn: self.conn })
    }

    pub(crate) fn cut(&mut self, now: Timestamp) -> Result<(), String> {
        if !std::mem::take(&mut self.up) {
            return Ok(());
        }
        self.inbox.clear();
        let conn = std::mem::replace(&mut self.conn, ConnectionId::new(0));
        self.handle(now, Input::Disconnected { conn, reason: "cut".to_owned() })
    }

    /// Takes the next message; false if there is none.
    pub(crate) fn deliver(&mut self, now: Timestamp) -> Result<bool, String> {
        let Some(command) = self.inbox.pop_front() else { return Ok(false) };
        self.handle(now, Input::Received { conn: self.conn, command })?;
        Ok(true)
    }

    /// Answers the oldest fetch from the writer's log.
    pub(crate) fn answer(
        &mut self,
        now: Timestamp,
        logs: &BTreeMap<String, Log>,
        fails: bool,
    ) -> Result<bool, String> {
        if self.fetches.is_empty() {
            return Ok(false);
        }
        let Fetch { query, source, from, upto } = self.fetches.remove(0);
        let result = if fails {
            Err(FetchError::TimedOut { endpoint: "http://w".to_owned(), after_ms: 1 })
        } else {
            let batches = logs[source.stream()].range(from.get(), upto.get());
            let updates = batches
                .into_iter()
                .flat_map(|(token, rows)| {
                    rows.into_iter().map(move |row| (Token::new(token), Row::from(row.as_str())))
                })
                .collect();
            Ok(Page { updates, upto, limited: false })
        };
        self.handle(now, Input::Fetched { query, result })?;
        Ok(true)
    }
}
