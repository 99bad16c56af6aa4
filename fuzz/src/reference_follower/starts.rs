//! The start of a source without a position (`Config::start`, `Config::settling_for`).

use std::collections::BTreeMap;

use synrepl_core::{
    Config, Start, Timestamp,
    stream::{Token, traits},
};

/// The tokens at which streams were first followed.
pub(super) struct Starts {
    start: Start,
    settles_at: Option<Timestamp>,
    /// The highest token of each stream at its start, and whether it was saved, which makes it
    /// final.
    baselines: BTreeMap<String, (Token, bool)>,
}

impl Starts {
    pub(super) fn new(config: &Config) -> Self {
        let highest = |stream| config.positions.highest(stream).map(|token| (token, true));
        let saved = config.positions.iter().filter_map(|(source, _)| {
            let stream = source.stream();
            highest(stream).map(|baseline| (stream.to_owned(), baseline))
        });
        Self { start: config.start, settles_at: None, baselines: saved.collect() }
    }

    pub(super) fn on_connected(&mut self, now: Timestamp, config: &Config) {
        self.settles_at.get_or_insert(now + config.connection.settling_for);
    }

    /// Returns the start of a source whose writer is at `current`. A writer that appears later
    /// starts at the stream's baseline, so that its first rows are not skipped.
    pub(super) fn of(&mut self, now: Timestamp, stream: &str, current: Token) -> Token {
        let settling = self.settles_at.is_none_or(|at| now < at);
        match self.baselines.get(stream) {
            _ if self.start == Start::Beginning => Token::START,
            Some((_, saved)) if (*saved || !settling) && traits(stream).resettable => Token::START,
            Some((baseline, saved)) if *saved || !settling => current.min(*baseline),
            known => {
                let highest = known.map_or(current, |(baseline, _)| current.max(*baseline));
                self.baselines.insert(stream.to_owned(), (highest, false));
                current
            }
        }
    }
}
