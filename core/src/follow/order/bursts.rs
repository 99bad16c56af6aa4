//! Streams whose tokens fall or repeat inside one send (`backfill`): a burst is a set of rows, and
//! a POSITION closes it.
//!
//! Every row above the position is delivered once (F2, F3); the position stays below an open burst
//! (F6).

use std::collections::{BTreeMap, BTreeSet};

use super::Class;
use crate::{
    config::Config,
    env::Env,
    event::Origin,
    follow::{Follower, deliver::retain},
    ids::SourceIndex,
    memory::identity,
    stream::{Order, Row, Rows, Token},
    time::Timestamp,
    timer::TimerKey,
};

/// The rows above the position of a source whose sends are in no order (`backfill`): the burst is a
/// set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::follow) struct Burst {
    rows: BTreeMap<Token, BTreeSet<Row>>,
    count: usize,
    bytes: usize,
    /// Whether every row of it was received on the present connection, from the first on.
    pub(in crate::follow) continuous: bool,
    /// The time at which its last row was received.
    pub(super) last_at: Timestamp,
}

impl Follower {
    /// Delivers rows of a live source that lie above the position. The position stays, unless the
    /// burst overflows.
    pub(in crate::follow) fn deliver_in_burst(&mut self, env: &mut Env, token: Token, rows: Rows) {
        let new = match &mut self.class {
            Class::Bursts(burst) => {
                burst.get_or_insert_default().receive(env, self.index, token, rows)
            }
            Class::Unclosed(unclosed) => {
                unclosed.get_or_insert_default().burst.receive(env, self.index, token, rows)
            }
            Class::Rising | Class::Loose(_) => Some(rows),
        };
        let position = self.position.unwrap_or(Token::START);
        if let Some(rows) = new {
            env.stats.rows_live += rows.len() as u64;
            self.emit(env, token, rows, Origin::Live, position);
        }
        if self.burst_overflows(env) {
            // Rows of sends that have ended need not be remembered once the position covers them.
            if let Some(ended) = self.ended_sends().filter(|ended| *ended > position) {
                self.advance_to(env, ended);
            }
            if self.burst_overflows(env) {
                self.fetch_up_to(env, token);
            }
        }
    }

    fn burst_overflows(&self, env: &Env) -> bool {
        self.class.any_burst().is_some_and(|burst| burst.overflows(&env.config, env.kept_bytes))
    }

    /// Handles the timer of a burst that may have fallen quiet. What a quiet burst lacks, if
    /// anything, is fetched, so that its rows lie at or below the saved position. An unclosed burst
    /// can lack nothing: its position only moves on.
    pub(crate) fn on_burst_quiet(&mut self, env: &mut Env) {
        let Some((highest, last_at)) =
            self.class.burst().and_then(|burst| Some((burst.highest()?, burst.last_at)))
        else {
            return;
        };
        let quiet_at = last_at + env.config.catch_up.burst_quiet_after;
        if self.traits.order == Order::UnclosedBursts && self.is_live() && !self.hole {
            self.look_at_sends(env, highest, quiet_at);
        } else if quiet_at > env.now {
            env.timers.set(TimerKey::BurstQuiet(self.index), quiet_at);
        } else if self.is_live() {
            self.fetch_up_to(env, highest);
        }
    }
}

impl Burst {
    /// Adds rows that were received live; returns those that it did not have, or `None` if it had
    /// all.
    pub(super) fn receive(
        &mut self,
        env: &mut Env,
        source: SourceIndex,
        token: Token,
        rows: Rows,
    ) -> Option<Rows> {
        if self.is_empty() {
            self.continuous = true;
        }
        self.last_at = env.now;
        let timer = TimerKey::BurstQuiet(source);
        if !env.timers.is_set(timer) {
            env.timers.set(timer, env.now + env.config.catch_up.burst_quiet_after);
        }
        self.take_new(env, token, rows)
    }

    /// Adds rows, live or from a page; returns those that it did not have, or `None` if it had all.
    pub(super) fn take_new(&mut self, env: &mut Env, token: Token, rows: Rows) -> Option<Rows> {
        // Old releases write the same row on the connection and in a page with different white
        // space.
        let is_rewritten = env.is_on_tcp();
        retain(env, rows, |_, row| {
            if is_rewritten { self.insert(token, &identity(row)) } else { self.insert(token, row) }
        })
    }

    /// Adds the row; returns false if it was there.
    fn insert(&mut self, token: Token, row: &Row) -> bool {
        let rows = self.rows.entry(token).or_default();
        if rows.contains(row) {
            return false;
        }
        rows.insert(row.detached());
        self.count += 1;
        self.bytes += row.len();
        true
    }

    /// Returns the bytes of the rows.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether it is larger than may be remembered, or all sources together, which kept
    /// `kept_bytes` before its last rows came, keep more than they may.
    const fn overflows(&self, config: &Config, kept_bytes: u64) -> bool {
        self.count > config.limits.burst_rows_max as usize
            || self.bytes > config.limits.burst_bytes_max as usize
            || kept_bytes > config.limits.kept_bytes_total_max
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the highest token in the burst.
    pub(in crate::follow) fn highest(&self) -> Option<Token> {
        self.rows.keys().next_back().copied()
    }

    /// Forgets the rows that `position` covers.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MemoryLimits;

    fn row(text: &str) -> Row {
        Row::from(text)
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
        let config = Config {
            limits: MemoryLimits {
                burst_rows_max: 2,
                burst_bytes_max: 10,
                ..MemoryLimits::default()
            },
            ..Config::default()
        };
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
    fn a_burst_of_as_many_bytes_as_are_allowed_does_not_overflow() {
        let mut burst = Burst::default();
        burst.insert(Token::new(7), &row("[1]"));
        assert!(!burst.overflows(
            &Config {
                limits: MemoryLimits { burst_bytes_max: 3, ..MemoryLimits::default() },
                ..Config::default()
            },
            0
        ));
        assert!(burst.overflows(
            &Config {
                limits: MemoryLimits { burst_bytes_max: 2, ..MemoryLimits::default() },
                ..Config::default()
            },
            0
        ));
    }
}
