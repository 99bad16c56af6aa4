//! Where a source starts that has no position (`Config::start`, `Config::settling_for`).

use std::collections::BTreeMap;

use synrepl_core::{
    Config, Start, Timestamp,
    stream::{Token, traits},
};

/// Where each stream was taken up.
pub(super) struct Starts {
    start: Start,
    settles_at: Option<Timestamp>,
    /// The second says that it was saved, and so is final.
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

    /// From now on, or from the start; writers that appear later have written all since then.
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
