//! Streams whose tokens fall or repeat inside one send (`backfill`): a burst is a set of rows, and
//! a POSITION closes it.
//!
//! Every row above the position is delivered once (F2, F3); the position stays below an open burst
//! (F6).

use std::collections::BTreeSet;

use super::Class;
use crate::{
    config::Config,
    env::Env,
    event::Origin,
    follow::{Follower, catch_up::Proof, deliver::retain},
    ids::SourceIndex,
    memory::{Cost, identity},
    stream::{Order, Row, Rows, Span, Token},
    time::Timestamp,
    timer::TimerKey,
};

/// The rows above the position of a source whose sends are in no order (`backfill`): the burst is a
/// set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::follow) struct Burst {
    /// The rows by token, in one set: a set for each token would cost as much for one row as for
    /// eleven.
    rows: BTreeSet<(Token, Box<str>)>,
    /// The bytes of their texts.
    text: usize,
    /// Whether every row of it was received on the present connection, from the first on.
    pub(in crate::follow) continuous: bool,
    /// The time at which its last row was received.
    pub(super) last_at: Timestamp,
    pub(super) heard: Heard,
}

/// How much of the sends of a writer was heard whose bursts an announcement closes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Heard {
    /// Whether everything was received since the end of a send.
    from_head: bool,
    /// The highest token at which a send has ended.
    ended: Option<Token>,
}

impl Heard {
    /// Returns whether a send may be under way whose first rows were not received.
    pub(super) const fn may_be_amid(self) -> bool {
        !self.from_head
    }

    /// Notes an announcement, before which the source stood at `position`. Any but an answer to
    /// REPLICATE (prev = new) ends a send; an answer at or below where one ended shows that no row
    /// was sent since, as those of the next lie above, unless such rows were received before it
    /// (`is_below_rows`). The first position counts as an end: what was sent before is not asked for.
    pub(super) fn on_announced(&mut self, span: Span, position: Token, is_below_rows: bool) {
        let ended = *self.ended.get_or_insert(position);
        if span.from < span.upto {
            self.ended = Some(ended.max(span.upto));
            self.from_head = true;
        } else if span.upto <= ended && !is_below_rows {
            self.from_head = true;
        }
    }

    pub(super) const fn on_disconnected(&mut self) {
        self.from_head = false;
    }
}

impl Follower {
    /// Delivers rows of a live source. The position stays. Rows that there is no room to remember
    /// are left to a fetch, which shows them again: delivered now, they would come twice (F3).
    pub(in crate::follow) fn deliver_in_burst(&mut self, env: &mut Env, token: Token, rows: Rows) {
        let is_above = |follower: &Self| follower.position.is_none_or(|position| position < token);
        if is_above(self) && !self.burst_takes(env, &rows) {
            // Rows of sends that have ended need not be remembered once the position covers them.
            if let Some(ended) = self.ended_sends().filter(|ended| self.position < Some(*ended)) {
                self.pass_burst(env, ended);
                self.advance_to(env, ended);
            }
            if !self.burst_takes(env, &rows) {
                self.fetch_up_to(env, token, Proof::Reached);
                return;
            }
        }
        let new = match &mut self.class {
            Class::Bursts(burst) => {
                burst.get_or_insert_default().receive(env, self.index, token, rows)
            }
            Class::Unclosed(unclosed) => {
                unclosed.get_or_insert_default().burst.receive(env, self.index, token, rows)
            }
            Class::Rising | Class::Loose(_) => Some(rows),
        };
        if let Some(rows) = new {
            env.stats.rows_live += rows.len() as u64;
            let position = self.position.unwrap_or(Token::START);
            self.emit(env, token, rows, Origin::Live, position);
        }
    }

    /// Notes that the writer has closed a burst up to `upto`. That does not explain what was not
    /// received of it: of the tokens in it only those with a row are.
    pub(in crate::follow) fn pass_burst(&self, env: &mut Env, upto: Token) {
        if let (Class::Bursts(_), Some(position)) = (&self.class, self.position) {
            self.note_passed(env, Span::new(position, upto));
        }
    }

    /// Returns whether these rows can be remembered beside those of the burst, and all that other
    /// sources keep.
    fn burst_takes(&self, env: &Env, rows: &Rows) -> bool {
        let more = rows.len() * Cost::BURST.entry + rows.byte_len();
        let kept = self.kept_elsewhere(env.kept_bytes);
        match self.class.any_burst() {
            Some(burst) => burst.takes(rows.len(), more, &env.config, kept),
            None => Burst::default().takes(rows.len(), more, &env.config, kept),
        }
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
        if self.traits.order == Order::UnclosedBursts && self.is_live() && !self.hole.is_open() {
            self.look_at_sends(env, highest, quiet_at);
        } else if quiet_at > env.now {
            env.timers.set(TimerKey::BurstQuiet(self.index), quiet_at);
        } else if self.is_live() {
            self.fetch_up_to(env, highest, Proof::Reached);
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
        let is_new = self.rows.insert((token, Box::from(row.as_str())));
        if is_new {
            self.text += row.len();
        }
        is_new
    }

    /// Returns the bytes that the rows take.
    pub(super) fn bytes(&self) -> usize {
        Cost::BURST.of(self.rows.len()) + self.text
    }

    /// Returns whether it may take this many more rows, of so many bytes, while all other sources
    /// keep `kept_elsewhere` bytes.
    fn takes(&self, rows: usize, bytes: usize, config: &Config, kept_elsewhere: u64) -> bool {
        let queue = if self.is_empty() { Cost::BURST.queue } else { 0 };
        let bytes = self.bytes() + queue + bytes;
        self.rows.len() + rows <= config.limits.burst_rows_max as usize
            && bytes <= config.limits.burst_bytes_max as usize
            && kept_elsewhere + bytes as u64 <= config.limits.kept_bytes_total_max
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the highest token in the burst.
    pub(in crate::follow) fn highest(&self) -> Option<Token> {
        self.rows.last().map(|(token, _)| *token)
    }

    /// Forgets the rows that `position` covers.
    pub(super) fn forget_upto(&mut self, position: Token) {
        while self.rows.first().is_some_and(|(token, _)| *token <= position)
            && let Some((_, row)) = self.rows.pop_first()
        {
            self.text -= row.len();
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

    /// The bytes of a burst with this many rows of three bytes.
    fn room(rows: u32) -> u32 {
        u32::try_from(Cost::BURST.of(rows as usize)).expect("a small one") + 3 * rows
    }

    #[test]
    fn a_burst_is_a_set_of_rows_per_token() {
        let mut burst = Burst::default();
        assert!(burst.insert(Token::new(7), &row("[1]")));
        assert!(burst.insert(Token::new(7), &row("[2]")));
        assert!(!burst.insert(Token::new(7), &row("[1]")));
        assert!(burst.insert(Token::new(5), &row("[1]")));
        assert_eq!((burst.rows.len(), burst.text, burst.highest()), (3, 9, Some(Token::new(7))));
        burst.forget_upto(Token::new(6));
        assert_eq!((burst.rows.len(), burst.text), (2, 6));
        burst.forget_upto(Token::new(7));
        assert!(burst.is_empty());
        assert_eq!((burst.bytes(), burst.text), (0, 0));
    }

    #[test]
    fn a_burst_takes_as_many_rows_and_bytes_as_are_allowed_and_no_more() {
        let limits = |rows, bytes, total| Config {
            limits: MemoryLimits {
                burst_rows_max: rows,
                burst_bytes_max: bytes,
                kept_bytes_total_max: total,
                ..MemoryLimits::default()
            },
            ..Config::default()
        };
        let more = Cost::BURST.entry + 3;
        let mut burst = Burst::default();
        let (one, two) = (room(1), room(2));
        assert!(burst.takes(1, more, &limits(1, one, one.into()), 0), "the queue is counted once");
        assert!(!burst.takes(1, more, &limits(1, one - 1, one.into()), 0));
        burst.insert(Token::new(7), &row("[1]"));
        assert!(burst.takes(1, more, &limits(2, two, u64::from(two) + 9), 9));
        assert!(!burst.takes(1, more, &limits(1, two, u64::from(two) + 9), 9));
        assert!(!burst.takes(1, more, &limits(2, two - 1, u64::from(two) + 9), 9));
        assert!(!burst.takes(1, more, &limits(2, two, u64::from(two) + 8), 9));
    }
}
