//! The plain follower: the simplest one that keeps the promises. It reads the writer's log itself,
//! at once and in full, as soon as a command shows how far the writer has come.
//!
//! Written from the promises F1 to F10 and `protocol.md` 2.3, 4.7 and 7.5: no pages, no holding
//! queue, no retries, no limits.

use std::collections::{BTreeMap, BTreeSet};

use synrepl_core::{
    Config, Input, Timestamp,
    stream::{Order, Row, Token, traits},
    wire::{Command, Position, Rdata},
};

use super::{
    starts::Starts,
    writers::{Logs, Name},
};

/// The deliveries of one source since its last reset, in order: tokens with their rows.
pub(super) type Delivered = Vec<(Token, Vec<Row>)>;

#[derive(Default)]
pub(super) struct Source {
    pub(super) delivered: Delivered,
    /// The token up to which the source is complete; none before its first command.
    pub(super) position: Option<Token>,
    pub(super) resets: usize,
    /// Whether its position was confirmed on this connection, and all commands since could be read.
    live: bool,
    /// Whether a command could not be read; in a stream in memory, only an announcement ends that.
    suspect: bool,
    batch: Vec<Row>,
    /// The time of the last row of the batch.
    batch_at: Timestamp,
    /// The tokens of rows that came before the first announcement, and wait for it.
    unplaced: Vec<Token>,
}

pub(super) struct Naive {
    config: Config,
    pub(super) sources: BTreeMap<Name, Source>,
    starts: Starts,
}

impl Naive {
    pub(super) fn new(config: &Config) -> Self {
        let starts = Starts::new(config);
        let mut naive = Self { config: config.clone(), sources: BTreeMap::new(), starts };
        for (source, token) in config.positions.iter() {
            let (stream, writer) = (source.stream(), source.instance());
            if naive.wants(stream) {
                let source = Source { position: Some(token), ..Source::default() };
                naive.sources.insert((stream.to_owned(), writer.to_owned()), source);
            }
        }
        naive
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others deliver nothing")]
    pub(super) fn on_input(&mut self, now: Timestamp, input: &Input, logs: &Logs) {
        match input {
            Input::Connected { .. } => self.starts.on_connected(now, &self.config),
            Input::Disconnected { .. } => {
                for source in self.sources.values_mut() {
                    (source.live, source.suspect) = (false, false);
                    (source.batch, source.unplaced) = (Vec::new(), Vec::new());
                }
            }
            Input::Received { command: Command::Rdata(rdata), .. } if self.wants(&rdata.stream) => {
                self.on_row(now, rdata, logs);
            }
            Input::Received { command: Command::Position(position), .. }
                if self.wants(&position.stream) =>
            {
                self.on_position(now, position, logs);
            }
            Input::Tick => {
                let torn_after = self.config.catch_up.batch_torn_after;
                for source in self.sources.values_mut() {
                    // The writer of a batch without an end has died.
                    if !source.batch.is_empty() && source.batch_at + torn_after <= now {
                        (source.live, source.suspect) = (false, true);
                        source.batch.clear();
                    }
                }
            }
            Input::Malformed { error, .. } => {
                let name = error.row().map(|row| (row.stream.clone(), row.instance.clone()));
                // A bad line is not believed to the point of following a new source.
                if let Some(source) = name.and_then(|name| self.sources.get_mut(&name)) {
                    (source.live, source.suspect) = (false, true);
                    source.batch.clear();
                }
            }
            _ => {}
        }
    }

    fn wants(&self, stream: &str) -> bool {
        self.config.streams.as_ref().is_none_or(|wanted| wanted.contains(stream))
    }

    fn on_row(&mut self, now: Timestamp, rdata: &Rdata, logs: &Logs) {
        let name = (rdata.stream.to_string(), rdata.instance.to_string());
        if name.1 == self.config.instance {
            return;
        }
        let of = traits(&name.0);
        let source = self.sources.entry(name.clone()).or_default();
        source.batch.push(rdata.row.clone());
        source.batch_at = now;
        let Some(token) = rdata.token else { return };
        let rows = std::mem::take(&mut source.batch);
        let position = source.position.unwrap_or(Token::START);
        match of.order {
            order if !source.live => {
                if order == Order::Bursts || (of.resettable && source.suspect) {
                    source.unplaced.push(token);
                } else {
                    // The row is evidence that its writer has reached the token.
                    self.reach(now, &name, token.before(), token, logs);
                }
            }
            Order::Rising | Order::Loose if token > position => {
                source.add(token, &rows);
                source.position = Some(token);
            }
            Order::Rising if of.resettable => (source.live, source.suspect) = (false, true),
            Order::Bursts if token > position => source.add(token, &rows),
            // The row was delivered before, or lies before the start.
            Order::Rising | Order::Bursts | Order::Loose | Order::UnclosedBursts | _ => {}
        }
    }

    fn on_position(&mut self, now: Timestamp, announced: &Position, logs: &Logs) {
        let name = (announced.stream.to_string(), announced.instance.to_string());
        if name.1 == self.config.instance {
            return;
        }
        let source = self.sources.entry(name.clone()).or_default();
        source.batch.clear();
        let first = std::mem::take(&mut source.unplaced).into_iter().min();
        let from = first.map_or(announced.token, |first| first.before().min(announced.token));
        self.reach(now, &name, from, announced.token, logs);
    }

    /// Handles evidence that the writer has reached `token`. A new source starts at `from`.
    fn reach(&mut self, now: Timestamp, name: &Name, from: Token, token: Token, logs: &Logs) {
        let known = self.sources.get(name).and_then(|source| source.position);
        let mut position = known.unwrap_or_else(|| self.starts.of(now, &name.0, from));
        let Some(source) = self.sources.get_mut(name) else { return };
        let stale = known.is_some() && (!source.live || token < position);
        if traits(&name.0).resettable && stale && position > Token::START {
            position = Token::START;
            source.delivered.clear();
            source.resets += 1;
        }
        source.live = true;
        source.position = Some(position.max(token));
        for (token, rows) in logs.rows(name, position, token) {
            source.add(token, rows);
        }
    }
}

impl Source {
    /// Delivers the rows that were not delivered yet, in any order of tokens.
    fn add(&mut self, token: Token, rows: &[Row]) {
        let known: BTreeSet<_> = self.delivered.iter().flat_map(|(_, rows)| rows).collect();
        let new: Vec<_> = rows.iter().filter(|row| !known.contains(row)).cloned().collect();
        if !new.is_empty() {
            self.delivered.push((token, new));
        }
    }
}
