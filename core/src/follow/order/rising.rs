//! Streams whose tokens rise: a token at or below the position is old (F1).

use crate::{
    env::Env,
    event::Origin,
    follow::Follower,
    stream::{Rows, Token},
};

impl Follower {
    /// Delivers rows above the position, which moves to their token.
    pub(in crate::follow) fn deliver_rising(&mut self, env: &mut Env, token: Token, rows: Rows) {
        if let Some(rows) = self.new_by_token(env, token, rows) {
            env.stats.rows_live += rows.len() as u64;
            self.emit(env, token, rows, Origin::Live, token);
        } else {
            self.advance_to(env, token);
        }
    }

    /// Returns the rows, or `None` if the fetch for another writer of the stream has brought them
    /// already.
    pub(in crate::follow) fn new_by_token(
        &self,
        env: &mut Env,
        token: Token,
        rows: Rows,
    ) -> Option<Rows> {
        if !self.traits.shared_fetch {
            return Some(rows);
        }
        let shared_tokens = &mut env.streams[self.stream.as_usize()].shared_tokens;
        shared_tokens.take_new(token, rows, &env.config, &mut env.stats.rows_repeated)
    }
}
