//! The memory of a stream whose writers share one sequence of tokens.

use std::collections::{BTreeMap, BTreeSet};

use super::Cost;
use crate::{
    config::Config,
    stream::{Row, Token},
};

/// The tokens of a stream that were delivered lately under any writer, for streams whose fetch (or
/// live rows) show one writer's rows under another's name as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SharedTokens {
    tokens: BTreeSet<Token>,
    /// The rows that were delivered of tokens of which a page had only a part.
    parts: BTreeMap<Token, Part>,
    /// The bytes that all parts take.
    part_bytes: u64,
}

/// The rows of a token that were delivered, while others may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Part {
    rows: BTreeSet<Box<str>>,
    /// The bytes of their texts.
    text: usize,
}

impl SharedTokens {
    /// Remembers the token; returns false if it was delivered already, whole or in part.
    pub(crate) fn insert(&mut self, token: Token, config: &Config) -> bool {
        if !self.tokens.insert(token) {
            return false;
        }
        if self.tokens.len() > config.limits.shared_tokens_max as usize
            && let Some(lowest) = self.tokens.pop_first()
        {
            self.take_part(lowest);
        }
        true
    }

    /// Forgets the tokens above `token`, which are given out again.
    pub(crate) fn forget_above(&mut self, token: Token) {
        while let Some(highest) = self.tokens.pop_last() {
            if highest <= token {
                self.tokens.insert(highest);
                break;
            }
            self.take_part(highest);
        }
    }

    /// Returns whether all rows of the token were delivered.
    pub(crate) fn is_whole(&self, token: Token) -> bool {
        self.tokens.contains(&token) && !self.is_part(token)
    }

    /// Returns whether a part of the token's rows was delivered.
    pub(crate) fn is_part(&self, token: Token) -> bool {
        self.parts.contains_key(&token)
    }

    /// Forgets that only a part of the token was delivered; returns that part.
    pub(crate) fn take_part(&mut self, token: Token) -> Option<Part> {
        let part = self.parts.remove(&token)?;
        self.part_bytes -= part.bytes();
        Some(part)
    }

    /// Remembers that this part of the token was delivered. Above the limit the lowest tokens count
    /// as whole: a gap has said what may be missing of them.
    pub(crate) fn put_part(&mut self, token: Token, part: Part, config: &Config) {
        self.part_bytes += part.bytes();
        self.parts.insert(token, part);
        while self.part_bytes > u64::from(config.limits.shared_parts_bytes_max)
            && let Some((_, lowest)) = self.parts.pop_first()
        {
            self.part_bytes -= lowest.bytes();
        }
    }
}

impl Part {
    /// Returns whether the row, in the form by which it is known again, was delivered.
    pub(crate) fn has(&self, row: &Row) -> bool {
        self.rows.contains(row.as_str())
    }

    /// Adds a row in that form; returns false if it was there.
    pub(crate) fn insert(&mut self, row: &Row) -> bool {
        let is_new = self.rows.insert(row.as_str().into());
        if is_new {
            self.text += row.len();
        }
        is_new
    }

    fn bytes(&self) -> u64 {
        (Cost::BURST.of(self.rows.len()) + self.text) as u64
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

    #[test]
    fn parts_take_no_more_bytes_than_are_allowed() {
        let part = |row: &str| {
            let mut part = Part::default();
            assert!(part.insert(&Row::from(row)) && !part.insert(&Row::from(row)));
            part
        };
        let two = u32::try_from(2 * part("[1]").bytes()).expect("a small one");
        let config = Config {
            limits: MemoryLimits { shared_parts_bytes_max: two, ..MemoryLimits::default() },
            ..Config::default()
        };
        let mut shared = SharedTokens::default();
        for number in [5, 6] {
            assert!(shared.insert(Token::new(number), &config));
            shared.put_part(Token::new(number), part("[1]"), &config);
        }
        assert!(shared.is_part(Token::new(5)) && shared.is_part(Token::new(6)));
        assert!(shared.insert(Token::new(7), &config));
        shared.put_part(Token::new(7), part("[2]"), &config);
        assert!(shared.is_whole(Token::new(5)), "it is the lowest");
        assert!(shared.take_part(Token::new(7)).is_some_and(|part| part.has(&Row::from("[2]"))));
        shared.put_part(Token::new(8), part(&"x".repeat(two as usize)), &config);
        assert_eq!((shared.part_bytes, shared.parts.len()), (0, 0), "one alone may be too large");
    }
}
