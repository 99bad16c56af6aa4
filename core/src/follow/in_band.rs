//! Catch-up over the connection, with a server of the oldest dialect: [`inband`](crate::inband).
//!
//! What enters: the rows of an answer, and the POSITION that ends it. What leaves: a page, which is
//! applied like any other (F2).

use bytestring::ByteString;

use super::{Follower, catch_up::CatchUp, follower::State, page::Checked};
use crate::{
    env::Env,
    event::Event,
    inband::{Answer, Blame, Finished, Lost, SERVER},
    stream::{FetchError, Span, Token},
    wire::{Command, Replicate},
};

impl Follower {
    /// Returns the answer that is coming in over the connection.
    pub(super) fn answer_mut(&mut self) -> Option<&mut Answer> {
        self.catch_up_mut().and_then(|catch_up| catch_up.pager.answer_mut())
    }

    /// Notes that a line of the answer could not be read; returns false if no answer is coming in.
    pub(crate) fn damage_answer(&mut self) -> bool {
        self.answer_mut().map(Answer::damage).is_some()
    }

    /// Requests what is missing, if the server has announced on this connection where the source
    /// stands; waits for that otherwise, since the announcement would be taken for the end of the
    /// answer.
    pub(super) fn request_in_band(&mut self, env: &mut Env) {
        let from = self.position.unwrap_or(Token::START);
        let conn = env.in_band_on.filter(|_| self.is_confirmed());
        let Some(catch_up) = self.catch_up_mut() else { return };
        let Some(conn) = conn else {
            catch_up.pager.queue();
            return;
        };
        catch_up.pager.on_requested_in_band(from);
        // A batch that is received in part comes again with the answer.
        self.close_batch(env);
        self.hole = super::hole::Hole::NONE;
        env.stats.fetches += 1;
        env.queries.begin_in_band(self.index);
        let stream = ByteString::from(self.source.stream());
        let command = Command::Replicate(Replicate::Stream { stream, from: Some(from) });
        env.send(conn, command);
    }

    /// Makes a request over the connection that was queued until the position was confirmed.
    pub(super) fn request_if_queued(&mut self, env: &mut Env) {
        if self.catch_up().is_some_and(|catch_up| catch_up.pager.is_queued())
            && !env.queries.is_in_line(self.index)
            && env.config.transport.catches_up_in_band()
        {
            self.fetch_next(env);
        }
    }

    /// Handles a line that could not be read and that the server sends only once: everything above
    /// the position is requested, and the end of the answer announces the writer's position as
    /// well.
    pub(super) fn request_rest(&mut self, env: &mut Env) {
        if !self.is_live() {
            // The request that was made, or is going to be, covers it.
            return;
        }
        let position = self.position.unwrap_or(Token::START);
        let target = self.class.highest().map_or(position, |highest| highest.max(position));
        self.set_state(env, State::CatchingUp(Box::new(CatchUp::new(target))));
        let source = self.source.clone();
        env.notify(Event::NotLive { source, token: position });
        self.fetch_next(env);
    }

    /// Handles the server's announcement that its answer is complete up to `upto`.
    pub(super) fn on_answered(&mut self, env: &mut Env, upto: Token) {
        env.queries.end_in_band(self.index);
        let Some(catch_up) = self.catch_up_mut() else { return };
        let Some(answer) = catch_up.pager.take_answer() else { return };
        let from = answer.from();
        match answer.finish(upto, &env.config) {
            Ok(Finished { cut: Some(cut), .. }) if upto <= from => {
                // A later answer has that row whole, but nothing shows from when on: it is
                // requested again as after a failure.
                catch_up.target = cut;
                let endpoint = SERVER.to_owned();
                let message = format!("it has a row at {cut}, beyond its end {upto}");
                let error = FetchError::Malformed { endpoint, message };
                self.on_fetch_failed(env, Span::new(from, cut), error);
            }
            Ok(Finished { rows, complete, repeated, cut }) => {
                catch_up.pager.on_success();
                // The latest announcement counts, even if an earlier one was higher.
                catch_up.target = cut.map_or(upto, |cut| cut.max(upto)).max(from);
                self.apply(env, Checked { from, rows, complete, split: false, repeated });
            }
            Err(error) => self.on_fetch_failed(env, Span::new(from, upto), error),
        }
    }

    /// Handles the end of the connection on which an answer may have been coming in.
    pub(super) fn on_answer_lost(&mut self, env: &mut Env, lost: &Lost<'_>) {
        env.queries.end_in_band(self.index);
        let index = self.index;
        let Some(catch_up) = self.catch_up_mut() else { return };
        let Some(answer) = catch_up.pager.take_answer() else { return };
        let span = Span::new(answer.from(), catch_up.target);
        let message = lost.reason.to_owned();
        match lost.blame {
            Blame::Source(refused) if refused == index => {
                self.on_fetch_failed(env, span, FetchError::Refused { message });
            }
            // The refusal is of another request, so this one stays queued.
            Blame::Source(_) | Blame::Other => {}
            Blame::Unknown => {
                let endpoint = SERVER.to_owned();
                self.on_fetch_failed(env, span, FetchError::Unreachable { endpoint, message });
            }
        }
    }
}
