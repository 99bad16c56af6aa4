//! What a stream with disorderly tokens has delivered lately.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    hash::{Hash, Hasher},
};

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use crate::{
    config::Config,
    stream::{Row, Token},
    time::Timestamp,
};

/// The last rows of a loose source, to suppress exact repeats (`caches`).
///
/// The table is never iterated, so its order does not matter; equality and hash are those of the
/// rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Repeats {
    /// Oldest first.
    rows: VecDeque<Remembered>,
    /// Numbers of the rows that are in `rows`, by their hash.
    numbers: HashTable<u64>,
    /// Number of the oldest.
    first: u64,
    bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Remembered {
    hash: u64,
    token: Token,
    text: Box<str>,
}

impl Repeats {
    /// Bytes of the rows.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Remembers the row; false if it is a repeat. If all sources together keep more than they may
    /// (`is_full`), nothing else is remembered.
    pub(super) fn insert(
        &mut self,
        token: Token,
        row: &Row,
        config: &Config,
        is_full: bool,
    ) -> bool {
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
        self.bytes += text.len();
        while is_full
            || self.rows.len() > config.repeat_window_rows_max as usize
            || self.bytes > config.repeat_window_bytes_max as usize
        {
            let Some(oldest) = self.rows.pop_front() else { break };
            self.bytes -= oldest.text.len();
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

/// The text by which a row is known again. Old releases write the same row with spaces on a
/// connection and without them in a page (`seen.md`), so it is written anew in one way.
pub(super) fn identity(row: &Row) -> Row {
    match row.parse::<serde_json::Value>() {
        Ok(value) => Row::from(value.to_string().as_str()),
        // Deeper than is read: its own text, then.
        Err(_) => row.detached(),
    }
}

/// The rows above the position of a source whose sends come in no order (`backfill`): the burst
/// is a set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Burst {
    rows: BTreeMap<Token, BTreeSet<Row>>,
    count: usize,
    bytes: usize,
    /// Every row of it was seen on the present connection, from the first on.
    pub(super) continuous: bool,
    /// When its last row came.
    pub(super) last_at: Timestamp,
    /// Unclosed bursts: the position at which the source went live last. Rows at or below it were
    /// delivered, all others are new.
    pub(super) floor: Token,
    pub(super) sends: Sends,
}

/// Where one send of an unclosed burst ends, as far as can be told: a writer sends without a
/// pause, so whatever else comes on the connection ends the send before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Sends {
    /// Commands that had come with the last row.
    heard: u64,
    /// The highest token of the sends that have ended, if no row came at or below it since.
    ended: Option<Token>,
    /// The same at the look before.
    ended_before: Option<Token>,
}

impl Sends {
    /// Rows of `token` came as the commands from number `first` to number `last`, on top of rows
    /// up to `highest`.
    pub(super) fn on_row(&mut self, token: Token, highest: Option<Token>, first: u64, last: u64) {
        if first > self.heard + 1 && highest.is_some() {
            self.ended = highest;
        }
        self.heard = last;
        for ended in [&mut self.ended, &mut self.ended_before] {
            *ended = ended.filter(|ended| token > *ended);
        }
    }

    /// Whether something else came since the last row.
    pub(super) const fn is_over(&self, heard: u64) -> bool {
        heard > self.heard
    }

    /// Up to where the sends are over.
    pub(super) const fn ended(&self) -> Option<Token> {
        self.ended
    }

    /// One look, every so often: up to where the sends are over that had ended at the look before,
    /// while rows go on coming.
    pub(super) const fn look(&mut self) -> Option<Token> {
        std::mem::replace(&mut self.ended_before, self.ended)
    }
}

impl Burst {
    /// Adds the row; false if it was there.
    pub(super) fn insert(&mut self, token: Token, row: &Row) -> bool {
        let rows = self.rows.entry(token).or_default();
        if rows.contains(row) {
            return false;
        }
        rows.insert(row.detached());
        self.count += 1;
        self.bytes += row.len();
        true
    }

    /// Bytes of the rows.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it is larger than may be remembered, or all sources together keep more than they
    /// may, who kept `kept_bytes` before its last rows came.
    pub(super) const fn overflows(&self, config: &Config, kept_bytes: u64) -> bool {
        self.count > config.burst_rows_max as usize
            || self.bytes > config.burst_bytes_max as usize
            || kept_bytes > config.kept_bytes_total_max
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The highest token in the burst.
    pub(super) fn highest(&self) -> Option<Token> {
        self.rows.keys().next_back().copied()
    }

    /// Forgets what is covered by a position.
    pub(super) fn forget_upto(&mut self, position: Token) {
        while let Some(first) = self.rows.first_entry()
            && *first.key() <= position
        {
            let rows = first.remove();
            self.count -= rows.len();
            self.bytes -= rows.iter().map(Row::len).sum::<usize>();
        }
    }
}

/// Tokens of a stream that were delivered lately under any writer, for streams whose fetch (or
/// live rows) show one writer's rows under another's name as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct SharedTokens {
    tokens: BTreeSet<Token>,
}

impl SharedTokens {
    /// Remembers the token; false if its rows were delivered before. The lowest are forgotten
    /// first.
    pub(super) fn insert(&mut self, token: Token, config: &Config) -> bool {
        if !self.tokens.insert(token) {
            return false;
        }
        if self.tokens.len() > config.shared_tokens_max as usize {
            self.tokens.pop_first();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Row {
        Row::from(text)
    }

    #[test]
    fn a_repeat_is_known_until_the_window_has_passed_over_it() {
        let config = Config { repeat_window_rows_max: 2, ..Config::default() };
        let mut repeats = Repeats::default();
        let at = Token::new;
        assert!(repeats.insert(at(101), &row("[1]"), &config, false));
        assert!(repeats.insert(at(102), &row("[1]"), &config, false));
        assert!(!repeats.insert(at(101), &row("[1]"), &config, false));
        assert!(repeats.insert(at(101), &row("[2]"), &config, false));
        assert!(repeats.insert(at(101), &row("[1]"), &config, false), "the window is two rows");
    }

    #[test]
    fn a_row_is_known_again_by_its_value_or_if_that_is_too_deep_by_its_text() {
        assert_eq!(identity(&row("[1, {}]")), row("[1,{}]"));
        let deep = |inner: &str| row(&format!("{}{inner}{}", "[".repeat(200), "]".repeat(200)));
        assert_eq!(identity(&deep("1, 2")), deep("1, 2"));
        assert_ne!(identity(&deep("1, 2")), identity(&deep("1,2")));
    }

    #[test]
    fn the_window_is_bounded_in_bytes_too() {
        let config = Config { repeat_window_bytes_max: 6, ..Config::default() };
        let mut repeats = Repeats::default();
        for number in 0..100 {
            assert!(repeats.insert(Token::new(number), &row("[1]"), &config, false));
        }
        assert_eq!((repeats.rows.len(), repeats.numbers.len(), repeats.bytes), (2, 2, 6));
    }

    #[test]
    fn nothing_is_remembered_while_all_together_remember_too_much() {
        let config = Config::default();
        let mut repeats = Repeats::default();
        assert!(repeats.insert(Token::new(1), &row("[1]"), &config, false));
        assert!(repeats.insert(Token::new(2), &row("[2]"), &config, true));
        assert_eq!((repeats.rows.len(), repeats.numbers.len(), repeats.bytes), (0, 0, 0));
        assert!(repeats.insert(Token::new(1), &row("[1]"), &config, false));
        assert!(!repeats.insert(Token::new(1), &row("[1]"), &config, false));
    }

    #[test]
    fn a_burst_is_a_set_of_rows_per_token() {
        let mut burst = Burst::default();
        assert!(burst.insert(Token::new(7), &row("[1]")));
        assert!(burst.insert(Token::new(7), &row("[2]")));
        assert!(!burst.insert(Token::new(7), &row("[1]")));
        assert!(burst.insert(Token::new(5), &row("[1]")));
        assert_eq!((burst.count, burst.bytes, burst.highest()), (3, 9, Some(Token::new(7))));
        burst.forget_upto(Token::new(6));
        assert_eq!((burst.count, burst.bytes), (2, 6));
        burst.forget_upto(Token::new(7));
        assert!(burst.is_empty());
        assert_eq!(burst.bytes, 0);
    }

    #[test]
    fn a_burst_overflows_by_rows_and_by_bytes() {
        let config = Config { burst_rows_max: 2, burst_bytes_max: 10, ..Config::default() };
        let burst_of = |texts: &[&str]| {
            let mut burst = Burst::default();
            for text in texts {
                burst.insert(Token::new(7), &row(text));
            }
            burst
        };
        assert!(!burst_of(&["[1]", "[2]"]).overflows(&config, 0));
        assert!(burst_of(&["[1]", "[2]", "[3]"]).overflows(&config, 0));
        assert!(burst_of(&[r#"["a long row"]"#]).overflows(&config, 0));
    }

    #[test]
    fn the_lowest_shared_tokens_are_forgotten_first() {
        let config = Config { shared_tokens_max: 2, ..Config::default() };
        let mut shared = SharedTokens::default();
        for number in [3, 1, 2] {
            assert!(shared.insert(Token::new(number), &config));
        }
        assert!(!shared.insert(Token::new(3), &config));
        assert!(shared.insert(Token::new(1), &config), "1 was forgotten");
    }

    #[test]
    fn what_is_in_the_window_is_known_also_when_the_window_has_moved() {
        let config = Config { repeat_window_rows_max: 2, ..Config::default() };
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

    #[test]
    fn rows_without_anything_between_them_are_one_send() {
        let at = Token::new;
        let mut sends = Sends::default();
        sends.on_row(at(5), None, 1, 1);
        sends.on_row(at(7), Some(at(5)), 2, 2);
        assert_eq!(sends.ended(), None);
        sends.on_row(at(9), Some(at(7)), 4, 4);
        assert_eq!(sends.ended(), Some(at(7)), "something came in between");
    }

    #[test]
    fn a_row_at_the_end_of_a_send_shows_that_it_goes_on() {
        let at = Token::new;
        let mut sends = Sends::default();
        sends.on_row(at(5), None, 1, 1);
        sends.on_row(at(7), Some(at(5)), 3, 3);
        assert_eq!(sends.ended(), Some(at(5)));
        sends.on_row(at(5), Some(at(7)), 4, 4);
        assert_eq!(sends.ended(), None);
    }

    #[test]
    fn as_many_shared_tokens_are_remembered_as_are_allowed() {
        let config = Config { shared_tokens_max: 2, ..Config::default() };
        let mut shared = SharedTokens::default();
        assert!(shared.insert(Token::new(1), &config));
        assert!(shared.insert(Token::new(2), &config));
        assert!(!shared.insert(Token::new(1), &config), "two are allowed");
    }

    #[test]
    fn a_burst_of_as_many_bytes_as_are_allowed_does_not_overflow() {
        let mut burst = Burst::default();
        burst.insert(Token::new(7), &row("[1]"));
        assert!(!burst.overflows(&Config { burst_bytes_max: 3, ..Config::default() }, 0));
        assert!(burst.overflows(&Config { burst_bytes_max: 2, ..Config::default() }, 0));
    }
}
