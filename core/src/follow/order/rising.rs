//! Streams whose tokens rise: a token at or below the position is old (F1).

use crate::{
    env::Env,
    event::Origin,
    follow::{Follower, deliver::retain},
    memory::identity,
    stream::{Rows, Span, Token},
};

impl Follower {
    /// Delivers rows above the position, which moves to their token.
    pub(in crate::follow) fn deliver_rising(&mut self, env: &mut Env, token: Token, rows: Rows) {
        let before = self.position.unwrap_or(Token::START);
        if let Some(rows) = self.new_by_token(env, token, rows) {
            env.stats.rows_live += rows.len() as u64;
            self.emit(env, token, rows, Origin::Live, token);
        } else {
            self.advance_to(env, token);
        }
        if before < token.before() && self.watched.is_some() {
            self.note_passed(env, Span::new(before, token.before()));
        }
    }

    /// Returns those rows of a token that the fetch for another writer of the stream has not brought
    /// already, or `None` if it has brought all. What was known in part is known whole then.
    pub(in crate::follow) fn new_by_token(
        &self,
        env: &mut Env,
        token: Token,
        rows: Rows,
    ) -> Option<Rows> {
        if !self.traits.shared_fetch {
            return Some(rows);
        }
        let shared = &mut env.streams[self.stream.as_usize()].shared_tokens;
        if shared.insert(token, &env.config) {
            return Some(rows);
        }
        let part = shared.take_part(token);
        retain(env, rows, |_, row| part.as_ref().is_some_and(|part| !part.has(&identity(row))))
    }
}
