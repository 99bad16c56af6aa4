//! Streams whose writer repeats rows, goes back and skips (`caches`): their rows are idempotent,
//! and are delivered at least once. Exact repeats are suppressed within a window that is bounded
//! (F9).

use std::{
    collections::VecDeque,
    hash::{Hash, Hasher},
};

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use crate::{
    config::Config,
    env::Env,
    event::Origin,
    follow::{Follower, deliver::retain},
    memory::Cost,
    stream::{Row, Rows, Token},
};

impl Follower {
    /// Delivers rows of a live source, whatever their token. The position is the highest token so
    /// far.
    pub(in crate::follow) fn deliver_loose(&mut self, env: &mut Env, token: Token, rows: Rows) {
        let position = self.position.unwrap_or(Token::START);
        let moved = token.max(position);
        if let Some(rows) = self.new_of_page(env, token, rows) {
            env.stats.rows_live += rows.len() as u64;
            self.emit(env, token, rows, Origin::Live, moved);
        } else if moved > position {
            self.advance_to(env, moved);
        }
    }
}

/// The rows of a loose source that were delivered last, to suppress exact repeats (`caches`).
///
/// The table is never iterated, so its order does not matter; equality and hash are those of the
/// rows.
#[derive(Clone, Debug, Default)]
pub(in crate::follow) struct Repeats {
    /// The remembered rows, oldest first.
    rows: VecDeque<Remembered>,
    /// The numbers of the rows that are in `rows`, by their hash. Numbers rise by one from row to
    /// row.
    numbers: HashTable<u64>,
    /// The number of the oldest row.
    first: u64,
    /// The bytes of the texts.
    text: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Remembered {
    hash: u64,
    token: Token,
    text: Box<str>,
}

impl Repeats {
    /// Remembers rows; returns those that are no repeats, or `None` if all are.
    pub(super) fn take_new(&mut self, env: &mut Env, token: Token, rows: Rows) -> Option<Rows> {
        let is_full = env.kept_bytes > env.config.limits.kept_bytes_total_max;
        retain(env, rows, |env, row| self.insert(token, row, &env.config, is_full))
    }

    /// Returns the bytes that the rows take.
    pub(super) fn bytes(&self) -> usize {
        Cost::REPEATS.of(self.rows.len()) + self.text
    }

    /// Remembers the row; returns false if it is a repeat. If all sources together keep more than
    /// they may (`is_full`), this one forgets all its rows.
    fn insert(&mut self, token: Token, row: &Row, config: &Config, is_full: bool) -> bool {
        let text = row.as_str();
        let mut hasher = FxHasher::default();
        (token, text).hash(&mut hasher);
        let hash = hasher.finish();
        let at = |number: u64| usize::try_from(number - self.first).unwrap_or(usize::MAX);
        let is_known = self.numbers.find(hash, |number| {
            let known = &self.rows[at(*number)];
            known.token == token && *known.text == *text
        });
        if is_known.is_some() {
            return false;
        }
        let number = self.first + self.rows.len() as u64;
        self.numbers.insert_unique(hash, number, |number| self.rows[at(*number)].hash);
        self.rows.push_back(Remembered { hash, token, text: text.into() });
        self.text += text.len();
        while is_full
            || self.rows.len() > config.limits.repeat_window_rows_max as usize
            || self.bytes() > config.limits.repeat_window_bytes_max as usize
        {
            let Some(oldest) = self.rows.pop_front() else { break };
            self.text -= oldest.text.len();
            let number = self.first;
            if let Ok(known) = self.numbers.find_entry(oldest.hash, |known| *known == number) {
                known.remove();
            }
            self.first += 1;
        }
        true
    }
}

impl PartialEq for Repeats {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}

impl Eq for Repeats {}

impl Hash for Repeats {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rows.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MemoryLimits;

    fn row(text: &str) -> Row {
        Row::from(text)
    }

    #[test]
    fn a_repeat_is_known_until_the_window_has_passed_over_it() {
        let config = Config {
            limits: MemoryLimits { repeat_window_rows_max: 2, ..MemoryLimits::default() },
            ..Config::default()
        };
        let mut repeats = Repeats::default();
        let at = Token::new;
        assert!(repeats.insert(at(101), &row("[1]"), &config, false));
        assert!(repeats.insert(at(102), &row("[1]"), &config, false));
        assert!(!repeats.insert(at(101), &row("[1]"), &config, false));
        assert!(repeats.insert(at(101), &row("[2]"), &config, false));
        assert!(repeats.insert(at(101), &row("[1]"), &config, false), "the window is two rows");
    }

    #[test]
    fn the_window_is_bounded_in_bytes_too() {
        let two = u32::try_from(Cost::REPEATS.of(2) + 6).unwrap_or(u32::MAX);
        let config = Config {
            limits: MemoryLimits { repeat_window_bytes_max: two, ..MemoryLimits::default() },
            ..Config::default()
        };
        let mut repeats = Repeats::default();
        for number in 0..100 {
            assert!(repeats.insert(Token::new(number), &row("[1]"), &config, false));
        }
        assert_eq!((repeats.rows.len(), repeats.numbers.len(), repeats.text), (2, 2, 6));
    }

    #[test]
    fn nothing_is_remembered_while_all_together_remember_too_much() {
        let config = Config::default();
        let mut repeats = Repeats::default();
        assert!(repeats.insert(Token::new(1), &row("[1]"), &config, false));
        assert!(repeats.insert(Token::new(2), &row("[2]"), &config, true));
        assert_eq!((repeats.rows.len(), repeats.numbers.len(), repeats.text), (0, 0, 0));
        assert!(repeats.insert(Token::new(1), &row("[1]"), &config, false));
        assert!(!repeats.insert(Token::new(1), &row("[1]"), &config, false));
    }

    #[test]
    fn what_is_in_the_window_is_known_also_when_the_window_has_moved() {
        let config = Config {
            limits: MemoryLimits { repeat_window_rows_max: 2, ..MemoryLimits::default() },
            ..Config::default()
        };
        let mut repeats = Repeats::default();
        for number in 0..5 {
            assert!(repeats.insert(Token::new(number), &row("[1]"), &config, false));
            assert!(!repeats.insert(Token::new(number), &row("[1]"), &config, false));
        }
        assert!(!repeats.insert(Token::new(3), &row("[1]"), &config, false));
    }

    #[test]
    fn memories_are_equal_if_they_hold_the_same_rows() {
        use std::hash::{BuildHasher as _, BuildHasherDefault};
        let config = Config::default();
        let of = |tokens: &[i64]| {
            let mut repeats = Repeats::default();
            for token in tokens {
                repeats.insert(Token::new(*token), &row("[1]"), &config, false);
            }
            repeats
        };
        let hash = |repeats| BuildHasherDefault::<FxHasher>::default().hash_one(repeats);
        assert_eq!(of(&[1, 2]), of(&[1, 2, 2]));
        assert_ne!(of(&[1, 2]), of(&[2, 1]));
        assert_eq!(hash(of(&[1, 2])), hash(of(&[1, 2, 2])));
        assert_ne!(hash(of(&[1, 2])), hash(of(&[1])));
    }
}
