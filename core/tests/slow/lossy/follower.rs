//! A follower on the bus: a node, with its deliveries.

use std::collections::{BTreeMap, VecDeque};

use synrepl_core::{
    Action, Config, Event, FetchId, Input, Start,
    stream::{FetchError, Row, Source, Span},
    wire::Command,
};

use super::Outcome;
use crate::{bench::Bench, writer::log::Log};

/// A fetch under way.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    query: FetchId,
    source: Source,
    span: Span,
}

pub(crate) struct Follower {
    pub(crate) bench: Bench,
    pub(crate) inbox: VecDeque<Command>,
    pub(crate) fetches: Vec<Fetch>,
    /// What it said on the bus.
    pub(crate) outbox: Vec<Command>,
    /// By stream, since the last reset.
    pub(crate) delivered: BTreeMap<String, Vec<(i64, Vec<Row>)>>,
}

impl Follower {
    pub(crate) fn new(number: usize) -> Self {
        let mut config = Config::default();
        config.instance = format!("follower{number}");
        config.start = Start::Beginning;
        let mut follower = Self {
            bench: Bench::new(config),
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
        self.bench.up && self.inbox.is_empty() && self.fetches.is_empty() && self.outbox.is_empty()
    }

    pub(crate) fn handle(&mut self, input: Input) -> Outcome {
        self.bench.try_hand(input).map_err(|misuse| misuse.to_string())?;
        self.drain()
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest changes nothing here")]
    fn drain(&mut self) -> Outcome {
        while let Some(action) = self.bench.poll() {
            match action {
                Action::Send { command, .. } => self.outbox.push(command),
                Action::Fetch { query, source, span } => {
                    self.fetches.push(Fetch { query, source, span });
                }
                Action::CancelFetch { query } => self.fetches.retain(|fetch| fetch.query != query),
                Action::Notify(Event::Rows { source, token, rows, .. }) => {
                    let stream = self.delivered.entry(source.stream().to_owned()).or_default();
                    if stream.last().is_some_and(|(last, _)| *last >= token.get()) {
                        return Err(format!("F1, F3: {source} {token} after {stream:?}"));
                    }
                    stream.push((token.get(), rows.to_vec()));
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

    pub(crate) fn connect(&mut self) -> Outcome {
        self.handle(Input::Tick)?;
        if !self.bench.is_connecting() {
            return Ok(());
        }
        self.handle(self.bench.made())
    }

    pub(crate) fn cut(&mut self) -> Outcome {
        if !self.bench.up {
            return Ok(());
        }
        self.inbox.clear();
        self.handle(self.bench.lost())
    }

    /// Takes the next message, if there is one.
    pub(crate) fn deliver(&mut self) -> Outcome {
        let Some(command) = self.inbox.pop_front() else { return Ok(()) };
        self.handle(Input::Received { conn: self.bench.conn(), command })
    }

    /// Answers the oldest fetch from the writer's log.
    pub(crate) fn answer(&mut self, logs: &BTreeMap<String, Log>, fails: bool) -> Outcome {
        if self.fetches.is_empty() {
            return Ok(());
        }
        let Fetch { query, source, span } = self.fetches.remove(0);
        let result = if fails {
            Err(FetchError::TimedOut { endpoint: "http://w".to_owned(), after_ms: 1 })
        } else {
            Ok(logs[source.stream()].page(span, usize::MAX))
        };
        self.handle(Input::Fetched { query, result })
    }
}
