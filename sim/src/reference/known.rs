//! The positions of the other writers, as a process of Synapse knows them (`protocol.md` 4.6, 4.10
//! H11 and 8.1).

use std::collections::{BTreeMap, BTreeSet};

use synrepl_core::stream::{Positions, Token, traits};

use super::Rules;

/// The positions of all streams, as one process knows them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Known {
    rules: Rules,
    generators: BTreeMap<String, Generator>,
}

/// The positions of the writers that share one generator of tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Generator {
    writers: BTreeMap<String, Token>,
    /// The token up to which every token is known to be written, by any writer.
    persisted: Token,
    /// The tokens above `persisted` that are known to be written.
    above: BTreeSet<Token>,
}

impl Known {
    /// Returns the positions that were in the database when the process started.
    pub(super) fn at_start(rules: Rules, positions: &Positions) -> Self {
        let mut known = Self { rules, generators: BTreeMap::new() };
        for (source, token) in positions.iter() {
            let (stream, instance) = (source.stream(), source.instance());
            if !traits(stream).resettable {
                let generator =
                    known.generators.entry(rules.generator(stream).to_owned()).or_default();
                let position = generator.writers.entry(instance.to_owned()).or_default();
                *position = token.max(*position);
            }
        }
        for generator in known.generators.values_mut() {
            generator.persisted = generator.writers.values().copied().min().unwrap_or_default();
        }
        known
    }

    /// Returns whether any position of this stream is known.
    pub(super) fn has(&self, stream: &str) -> bool {
        self.generators.contains_key(self.rules.generator(stream))
    }

    /// Returns the position of this writer, as far as it is known.
    pub(super) fn current(&self, stream: &str, instance: &str) -> Token {
        if stream == "federation" {
            // Only the owner of the queue has a position; for all others it stays at the start.
            return Token::START;
        }
        let Some(generator) = self.generators.get(self.rules.generator(stream)) else {
            return Token::START;
        };
        let own = generator.writers.get(instance).copied();
        if traits(stream).resettable {
            return own.unwrap_or_default();
        }
        let known = own.unwrap_or(generator.persisted);
        if self.rules.counts_what_all_reached { known.max(generator.persisted) } else { known }
    }

    /// Moves the position of this writer to `token`; back only in streams that live in memory.
    pub(super) fn advance(&mut self, stream: &str, instance: &str, token: Token) {
        let generator = self.generators.entry(self.rules.generator(stream).to_owned()).or_default();
        let position = generator.writers.entry(instance.to_owned()).or_default();
        if traits(stream).resettable {
            *position = token;
            return;
        }
        *position = token.max(*position);
        generator.above.insert(token);
        let reached = generator.writers.values().copied().min().unwrap_or_default();
        generator.persisted = generator.persisted.max(reached);
        while generator.above.contains(&generator.persisted.advanced_by(1)) {
            generator.persisted = generator.persisted.advanced_by(1);
        }
        generator.above = generator.above.split_off(&generator.persisted.advanced_by(1));
    }
}

#[cfg(test)]
mod tests {
    use synrepl_core::stream::Source;

    use super::*;

    fn token(number: i64) -> Token {
        Token::new(number)
    }

    #[test]
    fn a_run_without_holes_counts_for_writers_that_stayed_behind() {
        let mut positions = Positions::new();
        positions.set(&Source::new("events", "a"), token(4));
        positions.set(&Source::new("events", "b"), token(4));
        let mut known = Known::at_start(Rules::V1_157, &positions);
        known.advance("events", "a", token(5));
        assert_eq!(known.current("events", "b"), token(5));
        known.advance("events", "a", token(7));
        assert_eq!(known.current("events", "b"), token(5), "6 is not known to be written");
        let mut older = Known::at_start(Rules::V1_60, &positions);
        older.advance("events", "a", token(5));
        assert_eq!(older.current("events", "b"), token(4));
    }

    #[test]
    fn a_position_falls_only_in_streams_that_live_in_memory() {
        let mut known = Known::at_start(Rules::V1_157, &Positions::new());
        for stream in ["typing", "receipts"] {
            known.advance(stream, "a", token(9));
            known.advance(stream, "a", token(2));
        }
        assert_eq!(known.current("typing", "a"), token(2));
        assert_eq!(known.current("receipts", "a"), token(9));
    }

    #[test]
    fn the_position_of_federation_never_moves() {
        let mut known = Known::at_start(Rules::V1_157, &Positions::new());
        known.advance("federation", "master", token(9));
        assert_eq!(known.current("federation", "master"), Token::START);
    }
}
