//! The memory of a stream whose writers share one sequence of tokens.

use std::collections::{BTreeMap, BTreeSet};

use super::identity;
use crate::{
    config::Config,
    stream::{Row, Rows, Token},
};

/// The most tokens of which a part is remembered; of more, the lowest count as whole.
const PARTS_MAX: usize = 64;

/// The tokens of a stream that were delivered lately under any writer, for streams whose fetch (or
/// live rows) show one writer's rows under another's name as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SharedTokens {
    tokens: BTreeSet<Token>,
    /// The rows that were delivered of tokens of which a page had only a part.
    parts: BTreeMap<Token, BTreeSet<Row>>,
}

impl SharedTokens {
    /// Remembers the token; returns false if its rows were delivered before. Above the limit, the
    /// lowest token is forgotten.
    pub(crate) fn insert(&mut self, token: Token, config: &Config) -> bool {
        if !self.tokens.insert(token) {
            return false;
        }
        if self.tokens.len() > config.limits.shared_tokens_max as usize
            && let Some(lowest) = self.tokens.pop_first()
        {
            self.parts.remove(&lowest);
        }
        true
    }

    /// Returns whether all rows of the token were delivered.
    pub(crate) fn is_whole(&self, token: Token) -> bool {
        self.tokens.contains(&token) && !self.is_part(token)
    }

    /// Returns whether a part of the token's rows was delivered.
    pub(crate) fn is_part(&self, token: Token) -> bool {
        self.parts.contains_key(&token)
    }

    /// Remembers the token, all of whose rows these are. Returns those that were not delivered
    /// before; the others are counted in `repeated`.
    pub(crate) fn take_new(
        &mut self,
        token: Token,
        rows: Rows,
        config: &Config,
        repeated: &mut u64,
    ) -> Option<Rows> {
        let part = self.parts.remove(&token);
        if self.insert(token, config) {
            return Some(rows);
        }
        let in_all = rows.len();
        let new = Rows::new(match part {
            Some(part) => {
                rows.iter().filter(|row| !part.contains(&identity(row))).cloned().collect()
            }
            None => Vec::new(),
        });
        *repeated += (in_all - new.as_ref().map_or(0, |rows| rows.len())) as u64;
        new
    }

    /// Remembers rows of a token that may have more. Returns those that were not delivered before.
    pub(crate) fn insert_part(
        &mut self,
        token: Token,
        rows: Rows,
        config: &Config,
        repeated: &mut u64,
    ) -> Option<Rows> {
        self.insert(token, config);
        let part = self.parts.entry(token).or_default();
        let in_all = rows.len();
        let new =
            Rows::new(rows.iter().filter(|row| part.insert(identity(row))).cloned().collect());
        *repeated += (in_all - new.as_ref().map_or(0, |rows| rows.len())) as u64;
        if self.parts.len() > PARTS_MAX {
            self.parts.pop_first();
        }
        new
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
