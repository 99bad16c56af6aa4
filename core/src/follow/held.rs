//! What a source that is not live does with what it receives: it is held, within limits, and handled
//! in order of arrival once the source is live.
//!
//! What enters: whole batches and announcements. What leaves: the same, later, or a fetch of
//! everything, where a limit is reached (F9). [`holding`](super::holding) is the queue itself.

use super::{Follower, follower::State, holding::Held};
use crate::{
    env::Env,
    event::{Event, Warning},
    stream::{Order, Rows, Span, Token},
};

impl Follower {
    /// Returns the highest token of what is held.
    pub(super) fn highest_held(&self) -> Option<Token> {
        self.held.as_ref().and_then(|holding| holding.highest())
    }

    /// Handles what was held, in order of arrival. Rows are held again once the source is no longer
    /// live.
    pub(super) fn release_held(&mut self, env: &mut Env) {
        let Some(mut holding) = self.held.take() else { return };
        let queue = holding.take(&mut env.stats.held_bytes_now);
        let position = self.position;
        for held in queue {
            match held {
                Held::Rows { token, rows } if self.is_live() => {
                    let fetched = self.traits.order != Order::Loose && Some(token) <= position;
                    if fetched {
                        self.deliver_rest(env, token, rows);
                    } else {
                        self.on_rows(env, token, Some(rows));
                    }
                }
                Held::Rows { token, rows } => self.hold_rows(env, token, &rows),
                // Nothing above it was known when it was held: the position has passed it since,
                // and the tokens have not started over.
                Held::Position(span) if Some(span.upto) < position => {}
                Held::Position(span) => self.on_announced(env, span),
            }
        }
    }

    pub(super) fn hold_rows(&mut self, env: &mut Env, token: Token, rows: &Rows) {
        let holding = self.held.get_or_insert_default();
        if matches!(self.state, State::Unconfirmed { .. }) {
            holding.note_joined(token);
        }
        if !holding.push_rows(token, rows, &env.config, &mut env.stats.held_bytes_now) {
            self.overflow(env, token);
        }
    }

    /// Holds rows. Of rows that are not whole only the token is noted, so that the source does not
    /// start above it.
    pub(super) fn hold_whole_rows(&mut self, env: &mut Env, token: Token, rows: Option<&Rows>) {
        match rows {
            Some(rows) => self.hold_rows(env, token, rows),
            None => self.held.get_or_insert_default().note(token),
        }
    }

    pub(super) fn hold_position(&mut self, env: &mut Env, span: Span) {
        let holding = self.held.get_or_insert_default();
        if !holding.push_position(span, &env.config, &mut env.stats.held_bytes_now) {
            self.overflow(env, span.upto);
        }
    }

    /// Drops everything that is held, as a limit is reached: it is fetched, together with what did
    /// not fit (F9).
    fn overflow(&mut self, env: &mut Env, token: Token) {
        let highest = self.highest_held().map_or(token, |held| held.max(token));
        let lowest = self.held.as_ref().and_then(|holding| holding.lowest_row());
        if self.position.is_none()
            && let Some(holding) = &mut self.held
        {
            // The rows are new: the first announcement must not start the source above them.
            holding.take(&mut env.stats.held_bytes_now);
        } else {
            self.drop_held(env);
            self.lose_below_position(env, lowest.map(|lowest| lowest.min(token)));
        }
        if self.catch_up().is_some() {
            self.raise_target(highest);
            // It is no longer in the queue that shows it.
            self.note_shown(highest);
        } else {
            self.hole.drop_upto(highest);
        }
        env.stats.overflows += 1;
        let source = self.source.clone();
        env.notify(Event::Warning(Warning::HoldingOverflow { source }));
    }

    pub(super) fn drop_held(&mut self, env: &mut Env) {
        if let Some(mut holding) = self.held.take() {
            holding.take(&mut env.stats.held_bytes_now);
        }
    }
}
