//! The memory of an audit: rows that were delivered since the last one, within limits (F9).

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::identity;
use crate::{
    config::Config,
    stream::{Row, Token},
};

/// Rows that were delivered, each as its token and a digest of its value: some 30 bytes a row,
/// however long it is. Two rows of one token are taken for one if their digests of 64 bits agree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Delivered {
    rows: BTreeSet<(Token, u64)>,
    /// The token up to which rows are not remembered.
    floor: Token,
}

impl Delivered {
    /// Creates a memory that knows nothing of the rows up to `floor`.
    pub(crate) const fn above(floor: Token) -> Self {
        Self { rows: BTreeSet::new(), floor }
    }

    /// Returns the token up to which rows are not remembered, be it that they are settled or that
    /// there were too many.
    pub(crate) const fn floor(&self) -> Token {
        self.floor
    }

    /// Remembers a row. If there are too many, in this memory or in all (`total`), it forgets its
    /// lower half, token by token.
    pub(crate) fn insert(&mut self, token: Token, row: &Row, config: &Config, total: &mut u64) {
        if token <= self.floor || !self.rows.insert((token, digest(row))) {
            return;
        }
        *total += 1;
        if self.rows.len() <= config.audit.audit_rows_max as usize
            && *total <= config.audit.audit_rows_total_max
        {
            return;
        }
        let keep = self.rows.len() / 2;
        while self.rows.len() > keep
            && let Some((token, _)) = self.rows.first().copied()
        {
            self.forget_upto(token, total);
        }
    }

    /// Returns whether this row was delivered under this token.
    pub(crate) fn has(&self, token: Token, row: &Row) -> bool {
        self.rows.contains(&(token, digest(row)))
    }

    /// Returns whether this row was delivered under this token or a higher one.
    pub(crate) fn has_from(&self, token: Token, row: &Row) -> bool {
        let digest = digest(row);
        self.rows.range((token, 0)..).any(|(_, known)| *known == digest)
    }

    /// Forgets the rows up to `token`, and counts them out of `total`.
    pub(crate) fn forget_upto(&mut self, token: Token, total: &mut u64) {
        self.floor = self.floor.max(token);
        while self.rows.first().is_some_and(|(first, _)| *first <= token) {
            self.rows.pop_first();
            *total -= 1;
        }
    }

    /// Forgets everything, as the tokens start over.
    pub(crate) fn clear(&mut self, total: &mut u64) {
        *total -= self.rows.len() as u64;
        *self = Self::default();
    }
}

/// Returns the same digest for the same JSON, however it is written: a page may have other white
/// space and other escapes than the wire.
fn digest(row: &Row) -> u64 {
    let mut hasher = DefaultHasher::new();
    identity(row).as_str().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AuditConfig;

    fn of(rows: &[(i64, &str)], config: &Config) -> (Delivered, u64) {
        let mut delivered = Delivered::default();
        let mut total = 0;
        for (token, text) in rows {
            delivered.insert(Token::new(*token), &Row::from(*text), config, &mut total);
        }
        (delivered, total)
    }

    #[test]
    fn a_row_is_known_by_its_token_and_its_value_and_not_by_its_text() {
        let (delivered, _) = of(&[(5, r#"["\u2603", {"b": 1, "a": 2}]"#)], &Config::default());
        assert!(delivered.has(Token::new(5), &Row::from(r#"["☃",{"a":2,"b":1}]"#)));
        assert!(!delivered.has(Token::new(5), &Row::from(r#"["x",{"a":2,"b":1}]"#)));
        assert!(!delivered.has(Token::new(6), &Row::from(r#"["☃",{"a":2,"b":1}]"#)));
    }

    #[test]
    fn of_too_many_rows_the_lower_half_is_forgotten_token_by_token() {
        let config = Config {
            audit: AuditConfig { audit_rows_max: 4, ..AuditConfig::default() },
            ..Config::default()
        };
        let rows = [(1, "[1]"), (2, "[2]"), (2, "[3]"), (2, "[4]"), (3, "[5]")];
        let (delivered, total) = of(&rows, &config);
        assert_eq!(delivered.floor(), Token::new(2));
        assert_eq!(total, 1, "a token is remembered whole or not at all");
        assert!(delivered.has(Token::new(3), &Row::from("[5]")));
    }

    #[test]
    fn all_sources_together_have_a_limit() {
        let config = Config {
            audit: AuditConfig { audit_rows_total_max: 2, ..AuditConfig::default() },
            ..Config::default()
        };
        let (_, mut total) = of(&[(1, "[1]"), (2, "[2]")], &config);
        let mut other = Delivered::default();
        other.insert(Token::new(7), &Row::from("[7]"), &config, &mut total);
        assert_eq!((other.floor(), total), (Token::new(7), 2));
    }

    #[test]
    fn what_is_forgotten_gives_its_room_back() {
        let (mut delivered, mut total) =
            of(&[(1, "[1]"), (2, "[2]"), (3, "[3]")], &Config::default());
        delivered.forget_upto(Token::new(2), &mut total);
        assert_eq!((delivered.floor(), total), (Token::new(2), 1));
        delivered.clear(&mut total);
        assert_eq!((delivered.floor(), total), (Token::START, 0));
    }

    #[test]
    fn a_row_under_a_higher_token_is_found_from_a_lower_one() {
        let (delivered, _) = of(&[(7, r#"["@u:x"]"#)], &Config::default());
        assert!(delivered.has_from(Token::new(5), &Row::from(r#"["@u:x"]"#)));
        assert!(!delivered.has_from(Token::new(8), &Row::from(r#"["@u:x"]"#)));
    }
}
