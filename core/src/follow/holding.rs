//! What arrived for a source that is not live yet, in order of arrival, within limits.

#[cfg(test)]
mod model;

use std::collections::VecDeque;

use crate::{
    config::Config,
    planted::planted,
    stream::{Rows, Span, Token},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Held {
    /// A finished batch.
    Rows { token: Token, rows: Rows },
    /// An announcement; one that goes on where the last one ended is merged into it.
    Position(Span),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Holding {
    queue: VecDeque<Held>,
    rows: usize,
    bytes: u64,
    highest: Option<Token>,
    /// Of all rows that came, also of those that could not be held.
    lowest: Option<Token>,
}

impl Holding {
    /// Holds rows, unless a limit stands against it. They are copied out of the read buffer.
    #[must_use]
    pub(super) fn push_rows(
        &mut self,
        token: Token,
        rows: &Rows,
        config: &Config,
        held_total: &mut u64,
    ) -> bool {
        let bytes = rows.byte_len() as u64;
        self.note(token);
        let is_full = self.rows + rows.len() > config.limits.held_rows_max as usize
            || self.bytes + bytes > u64::from(config.limits.held_bytes_max)
            || *held_total + bytes > config.limits.held_bytes_total_max;
        if is_full && !planted!(config, HoldsWithoutLimit) {
            return false;
        }
        self.rows += rows.len();
        self.bytes += bytes;
        *held_total += bytes;
        self.highest = self.highest.max(Some(token));
        self.queue.push_back(Held::Rows { token, rows: rows.detached() });
        true
    }

    /// Rows of this token came, held or not.
    pub(super) fn note(&mut self, token: Token) {
        self.lowest = Some(self.lowest.map_or(token, |lowest| lowest.min(token)));
    }

    /// Holds an announcement; counts as a row unless it is merged.
    #[must_use]
    pub(super) fn push_position(&mut self, span: Span, config: &Config) -> bool {
        self.highest = self.highest.max(Some(span.upto));
        if let Some(Held::Position(last)) = self.queue.back_mut()
            && span.from <= last.upto
            && span.upto >= last.upto
        {
            last.upto = span.upto;
            return true;
        }
        if self.rows >= config.limits.held_rows_max as usize {
            return false;
        }
        self.rows += 1;
        self.queue.push_back(Held::Position(span));
        true
    }

    /// Gives back what it took of the common allowance, and the queue itself. How low its rows went
    /// stays known.
    pub(super) fn take(&mut self, held_total: &mut u64) -> VecDeque<Held> {
        *held_total -= self.bytes;
        self.rows = 0;
        self.bytes = 0;
        self.highest = None;
        std::mem::take(&mut self.queue)
    }

    /// The lowest token of the rows that came.
    pub(super) const fn lowest_row(&self) -> Option<Token> {
        self.lowest
    }

    /// The highest token that anything in the queue speaks of.
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
        let limits = [
            Config {
                limits: MemoryLimits { held_rows_max: 2, ..MemoryLimits::default() },
                ..Config::default()
            },
            Config {
                limits: MemoryLimits { held_bytes_max: 6, ..MemoryLimits::default() },
                ..Config::default()
            },
            Config {
                limits: MemoryLimits { held_bytes_total_max: 6, ..MemoryLimits::default() },
                ..Config::default()
            },
        ];
        for config in limits {
            let (mut holding, mut total) = (Holding::default(), 0);
            assert!(held(&mut holding, 1, &config, &mut total));
            assert!(held(&mut holding, 2, &config, &mut total));
            assert!(!held(&mut holding, 3, &config, &mut total));
            assert_eq!((holding.rows, holding.bytes, total), (2, 6, 6));
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
        let mut holding = Holding::default();
        let mut push = |prev: i64, new: i64| {
            holding.push_position(Span::new(prev.into(), new.into()), &config)
        };
        assert!(push(1, 2));
        assert!(push(2, 5), "merged");
        assert!(push(7, 8));
        assert!(!push(9, 10));
        assert!(push(8, 11), "merged");
        assert_eq!((holding.rows, holding.queue.len()), (2, 2));
    }
}
