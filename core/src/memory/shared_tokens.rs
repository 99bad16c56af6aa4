//! The memory of a stream whose writers share one sequence of tokens.

use std::collections::BTreeSet;

use crate::{config::Config, stream::Token};

/// The tokens of a stream that were delivered lately under any writer, for streams whose fetch (or
/// live rows) show one writer's rows under another's name as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SharedTokens {
    tokens: BTreeSet<Token>,
}

impl SharedTokens {
    /// Remembers the token; returns false if its rows were delivered before. Above the limit, the
    /// lowest token is forgotten.
    pub(crate) fn insert(&mut self, token: Token, config: &Config) -> bool {
        if !self.tokens.insert(token) {
            return false;
        }
        if self.tokens.len() > config.limits.shared_tokens_max as usize {
            self.tokens.pop_first();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MemoryLimits;

    #[test]
    fn the_lowest_shared_tokens_are_forgotten_first() {
        let config = Config {
            limits: MemoryLimits { shared_tokens_max: 2, ..MemoryLimits::default() },
            ..Config::default()
        };
        let mut shared = SharedTokens::default();
        for number in [3, 1, 2] {
            assert!(shared.insert(Token::new(number), &config));
        }
        assert!(!shared.insert(Token::new(3), &config));
        assert!(shared.insert(Token::new(1), &config), "1 was forgotten");
    }

    #[test]
    fn as_many_shared_tokens_are_remembered_as_are_allowed() {
        let config = Config {
            limits: MemoryLimits { shared_tokens_max: 2, ..MemoryLimits::default() },
            ..Config::default()
        };
        let mut shared = SharedTokens::default();
        assert!(shared.insert(Token::new(1), &config));
        assert!(shared.insert(Token::new(2), &config));
        assert!(!shared.insert(Token::new(1), &config), "two are allowed");
    }
}
