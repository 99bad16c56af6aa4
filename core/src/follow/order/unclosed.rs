//! Bursts that no announcement closes: four streams on direct TCP before 1.22.
//!
//! A live connection neither repeats nor reorders by itself, so every row above the token at which
//! the source went live is new (F2, F3). The position moves up to where sends are known to have
//! ended (F6).

use super::{Class, bursts::Burst};
use crate::{
    env::Env,
    follow::{Follower, batch::Open},
    stream::{Rows, Token},
    time::Timestamp,
    timer::TimerKey,
};

/// What is remembered of the sends of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::follow) struct Unclosed {
    pub(super) burst: Burst,
    /// The position at which the source was complete last: it went live there, or a fetch ended.
    /// Rows at or below it were delivered; all others are new.
    pub(super) floor: Token,
    sends: Sends,
}

/// The ends of the sends of an unclosed burst, as far as they can be told: a writer sends without a
/// pause, so any other command on the connection ends the send before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Sends {
    /// The number of commands that had been received with the last row.
    heard: u64,
    /// The highest token of the sends that have ended, if no row was received at or below it since.
    ended: Option<Token>,
    /// The value of `ended` at the look before.
    ended_before: Option<Token>,
}

impl Sends {
    /// Notes that rows of `token` were received as the commands from number `first` to number
    /// `last`, on top of rows up to `highest`.
    fn on_row(&mut self, token: Token, highest: Option<Token>, first: u64, last: u64) {
        if first > self.heard + 1 && highest.is_some() {
            self.ended = highest;
        }
        self.heard = last;
        for ended in [&mut self.ended, &mut self.ended_before] {
            *ended = ended.filter(|ended| token > *ended);
        }
    }

    /// Returns whether another command was received since the last row, given the number received
    /// so far.
    const fn is_over(&self, heard: u64) -> bool {
        heard > self.heard
    }

    /// Returns the token up to which the sends are over.
    const fn ended(&self) -> Option<Token> {
        self.ended
    }

    /// Returns the token up to which sends had ended at the look before, if they still have, and
    /// keeps the present one for the next look. Called from time to time while rows go on arriving.
    const fn look(&mut self) -> Option<Token> {
        std::mem::replace(&mut self.ended_before, self.ended)
    }
}

impl Unclosed {
    /// Returns the position at which the source was complete last.
    pub(in crate::follow) const fn floor(&self) -> Token {
        self.floor
    }
}

impl Follower {
    /// Delivers rows of a live source, unless the token is at or below the floor.
    pub(in crate::follow) fn deliver_unclosed(&mut self, env: &mut Env, token: Token, rows: Rows) {
        let Class::Unclosed(unclosed) = &mut self.class else {
            return self.deliver_in_burst(env, token, rows);
        };
        let unclosed = unclosed.get_or_insert_default();
        // Each row of a batch was one command, and this is the last.
        let last = env.commands_received;
        let first = last - (rows.len() as u64 - 1);
        let highest = unclosed.burst.highest();
        unclosed.sends.on_row(token, highest, first, last);
        if token > unclosed.floor {
            self.deliver_in_burst(env, token, rows);
        } else {
            env.stats.rows_repeated += rows.len() as u64;
        }
    }

    /// Returns the token up to which sends have ended, as far as that can be told.
    pub(super) fn ended_sends(&self) -> Option<Token> {
        match &self.class {
            Class::Unclosed(Some(unclosed)) => unclosed.sends.ended(),
            Class::Unclosed(None) | Class::Rising | Class::Bursts(_) | Class::Loose(_) => None,
        }
    }

    /// Moves the position of a live source up to where its sends are over. The burst is quiet from
    /// `quiet_at` on, and `highest` is its highest token.
    pub(super) fn look_at_sends(&mut self, env: &mut Env, highest: Token, quiet_at: Timestamp) {
        let is_in_batch = matches!(self.open, Open::Batch(_));
        let Class::Unclosed(Some(unclosed)) = &mut self.class else { return };
        let sends = &mut unclosed.sends;
        let is_over = sends.is_over(env.commands_received);
        let all = quiet_at <= env.now && is_over && !is_in_batch;
        let over = if all { Some(highest) } else { sends.look() };
        if let Some(token) = over
            && self.position.is_none_or(|position| position < token)
        {
            self.advance_to(env, token);
        }
        if all {
            // Rows that were received late, below the position, are forgotten too.
            self.class.on_position(highest);
        } else {
            let later = env.now + env.config.catch_up.burst_quiet_after;
            let next = if quiet_at > env.now { quiet_at } else { later };
            env.timers.set(TimerKey::BurstQuiet(self.index), next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
