//! Delivery of rows as events.
//!
//! What enters: rows that [`receive`](mod@super::receive) lets pass, and those of pages. What
//! leaves: the ones that are new, each once and in order, with the position to save (F1, F3, F6).

use super::{Follower, order::Class};
use crate::{
    env::Env,
    event::{Event, Origin},
    memory::identity,
    stream::{Compared, Row, Rows, Token},
};

impl Follower {
    /// Delivers rows of a live source that [`receive`](super::receive::receive) lets pass, by the
    /// rules of its class.
    pub(super) fn deliver_live(&mut self, env: &mut Env, token: Token, rows: Rows) {
        match &self.class {
            Class::Rising => self.deliver_rising(env, token, rows),
            Class::Bursts(_) => self.deliver_in_burst(env, token, rows),
            Class::Unclosed(_) => self.deliver_unclosed(env, token, rows),
            Class::Loose(_) => self.deliver_loose(env, token, rows),
        }
    }

    /// Delivers rows of one token from a page. The position moves along with them, at most up to
    /// `complete`.
    pub(super) fn deliver_fetched(
        &mut self,
        env: &mut Env,
        token: Token,
        rows: Rows,
        complete: Token,
    ) {
        let Some(rows) = self.new_of_page(env, token, rows) else { return };
        self.emit_fetched(env, token, rows, complete);
    }

    /// Delivers what a page has of a token of which it may lack rows. Returns whether rows may be
    /// missing still: not if they were received whole already.
    pub(super) fn deliver_part(
        &mut self,
        env: &mut Env,
        token: Token,
        rows: Rows,
        complete: Token,
    ) -> bool {
        let held = self.held.as_ref().and_then(|holding| holding.rows_of(token)).cloned();
        if let Some(whole) = held {
            self.deliver_fetched(env, token, whole, token);
            return false;
        }
        if !self.traits.shared_fetch {
            self.deliver_fetched(env, token, rows, complete);
            return true;
        }
        let shared = &mut env.streams[self.stream.as_usize()].shared_tokens;
        if shared.is_whole(token) {
            env.stats.rows_repeated += rows.len() as u64;
            return false;
        }
        shared.insert(token, &env.config);
        let mut part = shared.take_part(token).unwrap_or_default();
        let new = retain(env, rows, |_, row| part.insert(&identity(row)));
        let shared = &mut env.streams[self.stream.as_usize()].shared_tokens;
        shared.put_part(token, part, &env.config);
        if let Some(rows) = new {
            self.emit_fetched(env, token, rows, complete);
        }
        true
    }

    /// Delivers what is missing still of a token that lies at or below the position, given all of
    /// its rows: a page may have shown a part of them.
    pub(super) fn deliver_rest(&mut self, env: &mut Env, token: Token, rows: Rows) {
        let shared = &env.streams[self.stream.as_usize()].shared_tokens;
        let is_part = self.traits.shared_fetch && shared.is_part(token);
        if is_part || self.is_undelivered(env, token) {
            self.deliver_below(env, token, rows);
        } else {
            env.stats.rows_repeated += rows.len() as u64;
        }
    }

    fn emit_fetched(&mut self, env: &mut Env, token: Token, rows: Rows, complete: Token) {
        env.stats.rows_caught_up += rows.len() as u64;
        let position = self.position.unwrap_or(Token::START);
        self.emit(env, token, rows, Origin::CatchUp, position.max(token.min(complete)));
    }

    /// Emits rows that are new, and moves the position to `position`.
    pub(super) fn emit(
        &mut self,
        env: &mut Env,
        token: Token,
        rows: Rows,
        origin: Origin,
        position: Token,
    ) {
        if self.audit.is_some() {
            self.remember_for_audit(env, token, &rows, position);
        }
        self.note_row(env, token);
        if self.traits.compared != Compared::No && self.is_anchor_due(env, origin) {
            self.remember_as_anchor(env, token, &rows, origin);
        }
        let source = self.source.clone();
        env.notify(Event::Rows { source, token, rows, origin, position });
        self.set_position(env, position);
    }

    /// Moves the position without rows, and notifies the application.
    pub(super) fn advance_to(&mut self, env: &mut Env, token: Token) {
        let source = self.source.clone();
        env.notify(Event::Position { source, token });
        self.set_position(env, token);
    }

    pub(super) fn set_position(&mut self, env: &mut Env, position: Token) {
        if self.position != Some(position) {
            self.position = Some(position);
            self.class.on_position(position);
            env.end_waits(self.index, position);
        }
    }
}

/// Returns the rows that `is_new` accepts, or `None` if it accepts none; the others count as
/// repeated.
pub(super) fn retain(
    env: &mut Env,
    rows: Rows,
    mut is_new: impl FnMut(&Env, &Row) -> bool,
) -> Option<Rows> {
    // Mostly all rows are new, and are passed on without a copy.
    let mut kept: Option<Vec<Row>> = None;
    for (index, row) in rows.iter().enumerate() {
        if !is_new(env, row) {
            kept.get_or_insert_with(|| rows[..index].to_vec());
            env.stats.rows_repeated += 1;
        } else if let Some(kept) = &mut kept {
            kept.push(row.clone());
        }
    }
    match kept {
        None => Some(rows),
        Some(kept) => Rows::new(kept),
    }
}
