//! The queue of what was received for a source that is not live, in order of arrival, within
//! limits.
//!
//! What enters: whole batches and announcements. What leaves: all of them, once the source is live.
//! Keeps F9: what exceeds a limit is refused, and the caller has it fetched.

#[cfg(test)]
mod model;

use std::collections::VecDeque;

use crate::{
    config::Config,
    memory::Cost,
    stream::{Rows, Span, Token},
};

/// An entry of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Held {
    /// A whole batch.
    Rows { token: Token, rows: Rows },
    /// An announcement. One that goes on where the entry before it ended is merged into it.
    Position(Span),
}

/// The queue of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Holding {
    queue: VecDeque<Held>,
    /// The number of rows in the queue; an announcement counts as one.
    rows: usize,
    /// The bytes of the texts, and of the lists that rows of one token stand in.
    text: usize,
    /// The highest token of the rows in the queue and of the announcements, held or refused.
    highest: Option<Token>,
    /// The lowest token of all rows that were received, held or refused.
    lowest: Option<Token>,
    /// The token of the first rows on the connection: what came before them may have been a part of
    /// their batch.
    joined_in: Option<Token>,
}

impl Holding {
    /// Holds rows, which are copied out of the read buffer. Returns false, and holds none, if a
    /// limit would be exceeded; `held_total` is the bytes that all sources hold.
    #[must_use]
    pub(super) fn push_rows(
        &mut self,
        token: Token,
        rows: &Rows,
        config: &Config,
        held_total: &mut u64,
    ) -> bool {
        self.note(token);
        let list = if rows.len() > 1 { rows.len() * Cost::ROW_OF_BATCH } else { 0 };
        let text = rows.byte_len() + list;
        if !self.takes(rows.len(), text, config, held_total) {
            return false;
        }
        self.highest = self.highest.max(Some(token));
        self.queue.push_back(Held::Rows { token, rows: rows.detached() });
        true
    }

    /// Makes room for one more entry, of `rows` rows with this much text; returns false if a limit
    /// would be exceeded.
    fn takes(&mut self, rows: usize, text: usize, config: &Config, held_total: &mut u64) -> bool {
        let before = self.bytes();
        let bytes = (Cost::HOLDING.of(self.queue.len() + 1) + self.text + text) as u64;
        let is_full = self.rows + rows > config.limits.held_rows_max as usize
            || bytes > u64::from(config.limits.held_bytes_max)
            || *held_total - before + bytes > config.limits.held_bytes_total_max;
        if is_full {
            return false;
        }
        self.rows += rows;
        self.text += text;
        *held_total += bytes - before;
        true
    }

    /// Returns the bytes that the queue takes.
    fn bytes(&self) -> u64 {
        (Cost::HOLDING.of(self.queue.len()) + self.text) as u64
    }

    /// Notes that the connection may have been made inside the batch of `token`.
    pub(super) fn note_joined(&mut self, token: Token) {
        self.joined_in.get_or_insert(token);
    }

    /// Notes that rows of this token were received, held or not.
    pub(super) fn note(&mut self, token: Token) {
        self.lowest = Some(self.lowest.map_or(token, |lowest| lowest.min(token)));
    }

    /// Holds an announcement, which counts as a row unless it is merged. Returns false if the limit
    /// is reached.
    #[must_use]
    pub(super) fn push_position(
        &mut self,
        span: Span,
        config: &Config,
        held_total: &mut u64,
    ) -> bool {
        self.highest = self.highest.max(Some(span.upto));
        if let Some(Held::Position(last)) = self.queue.back_mut()
            && span.from <= last.upto
            && span.upto >= last.upto
        {
            // The lower prev may show that a burst was under way.
            last.from = last.from.min(span.from);
            last.upto = span.upto;
            return true;
        }
        if !self.takes(1, 0, config, held_total) {
            return false;
        }
        self.queue.push_back(Held::Position(span));
        true
    }

    /// Empties the queue and returns it, and gives the bytes back to `held_total`. The lowest token
    /// of its rows stays known.
    pub(super) fn take(&mut self, held_total: &mut u64) -> VecDeque<Held> {
        *held_total -= self.bytes();
        self.rows = 0;
        self.text = 0;
        self.highest = None;
        std::mem::take(&mut self.queue)
    }

    /// Returns all rows of `token`, if they are in the queue.
    pub(super) fn rows_of(&self, token: Token) -> Option<&Rows> {
        if self.joined_in == Some(token) {
            return None;
        }
        self.queue.iter().find_map(|held| match held {
            Held::Rows { token: of, rows } if *of == token => Some(rows),
            Held::Rows { .. } | Held::Position(_) => None,
        })
    }

    /// Returns the lowest token of the rows that were received.
    pub(super) const fn lowest_row(&self) -> Option<Token> {
        self.lowest
    }

    /// Returns the highest token of the rows in the queue and of the announcements, held or
    /// refused.
    pub(super) const fn highest(&self) -> Option<Token> {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MemoryLimits;
    use crate::stream::Row;

    fn held(holding: &mut Holding, token: i64, config: &Config, total: &mut u64) -> bool {
        holding.push_rows(token.into(), &Rows::from(Row::from("[1]")), config, total)
    }

    #[test]
    fn a_queue_holds_as_many_rows_and_bytes_as_are_allowed_and_no_more() {
        let two = Cost::HOLDING.of(2) as u64 + 6;
        let limits = [
            Config {
                limits: MemoryLimits { held_rows_max: 2, ..MemoryLimits::default() },
                ..Config::default()
            },
            Config {
                limits: MemoryLimits {
                    held_bytes_max: u32::try_from(two).expect("a small one"),
                    ..MemoryLimits::default()
                },
                ..Config::default()
            },
            Config {
                limits: MemoryLimits { held_bytes_total_max: two, ..MemoryLimits::default() },
                ..Config::default()
            },
        ];
        for config in limits {
            let (mut holding, mut total) = (Holding::default(), 0);
            assert!(held(&mut holding, 1, &config, &mut total));
            assert!(held(&mut holding, 2, &config, &mut total));
            assert!(!held(&mut holding, 3, &config, &mut total));
            assert_eq!((holding.rows, holding.bytes(), total), (2, two, two));
            assert_eq!(holding.take(&mut total).len(), 2);
            assert_eq!(total, 0);
            assert!(held(&mut holding, 3, &config, &mut total), "there is room again");
        }
    }

    #[test]
    fn an_announcement_takes_the_room_of_a_row_unless_it_goes_on_from_the_last_one() {
        let config = Config {
            limits: MemoryLimits { held_rows_max: 2, ..MemoryLimits::default() },
            ..Config::default()
        };
        let (mut holding, mut total) = (Holding::default(), 0);
        let mut push = |prev: i64, new: i64| {
            holding.push_position(Span::new(prev.into(), new.into()), &config, &mut total)
        };
        assert!(push(1, 2));
        assert!(push(2, 5), "merged");
        assert!(push(7, 8));
        assert!(!push(9, 10));
        assert!(push(8, 11), "merged");
        assert_eq!((holding.rows, holding.queue.len()), (2, 2));
        assert_eq!(total, Cost::HOLDING.of(2) as u64, "they are counted in bytes as well");
    }
}
