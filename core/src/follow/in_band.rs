//! Catching up over the connection, with a server of the oldest dialect: [`inband`](crate::inband).

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
    /// The answer that is coming in over the connection.
    pub(super) fn answer_mut(&mut self) -> Option<&mut Answer> {
        self.catch_up_mut().and_then(|catch_up| catch_up.pager.answer_mut())
    }

    /// A line of the answer could not be read; false if none is coming in.
    pub(crate) fn damage_answer(&mut self) -> bool {
        self.answer_mut().map(Answer::damage).is_some()
    }

    /// Requests what is missing, if the server has announced on this connection where the source
    /// stands: its announcement would be taken for the end of the answer otherwise. Waits for that
    /// if it has not.
    pub(super) fn request_in_band(&mut self, env: &mut Env) {
        let from = self.position.unwrap_or(Token::START);
        let conn = env.in_band_on.filter(|_| self.is_confirmed());
        let Some(catch_up) = self.catch_up_mut() else { return };
        let Some(conn) = conn else {
            catch_up.pager.queue();
            return;
        };
        catch_up.pager.on_requested_in_band(from);
        // Whatever is half here comes again.
        self.open = super::batch::Open::Nothing;
        self.hole = false;
        env.stats.fetches += 1;
        env.queries.begin_in_band(self.index);
        let stream = ByteString::from(self.source.stream());
        let command = Command::Replicate(Replicate::Stream { stream, from: Some(from) });
        env.send(conn, command);
    }

    /// The server can be asked now.
    pub(super) fn request_if_queued(&mut self, env: &mut Env) {
        if self.catch_up().is_some_and(|catch_up| catch_up.pager.is_queued())
            && !env.queries.is_in_line(self.index)
            && env.config.transport.catches_up_in_band()
        {
            self.fetch_next(env);
        }
    }

    /// A line could not be read that the server sends once: all above the position is requested, and the
    /// answer says where the source stands as well.
    pub(super) fn request_rest(&mut self, env: &mut Env) {
        if !self.is_live() {
            // What is requested, or is going to be, has it.
            return;
        }
        let position = self.position.unwrap_or(Token::START);
        let target = self.class.highest().map_or(position, |highest| highest.max(position));
        self.set_state(env, State::CatchingUp(Box::new(CatchUp::new(target))));
        let source = self.source.clone();
        env.notify(Event::NotLive { source, token: position });
        self.fetch_next(env);
    }

    /// The server has announced that its answer is complete up to `upto`.
    pub(super) fn on_answered(&mut self, env: &mut Env, upto: Token) {
        env.queries.end_in_band(self.index);
        let Some(catch_up) = self.catch_up_mut() else { return };
        let Some(answer) = catch_up.pager.take_answer() else { return };
        let from = answer.from();
        match answer.finish(upto, &env.config) {
            Ok(Finished { cut: Some(cut), .. }) if upto <= from => {
                // It comes again: at once in an answer that has it whole, but nobody says when.
                catch_up.target = cut;
                let endpoint = SERVER.to_owned();
                let message = format!("it has a row at {cut}, beyond its end {upto}");
                let error = FetchError::Malformed { endpoint, message };
                self.on_fetch_failed(env, Span::new(from, cut), error);
            }
            Ok(Finished { rows, complete, repeated, cut }) => {
                catch_up.pager.on_success();
                // What it says now is what counts, also if it said more before.
                catch_up.target = cut.map_or(upto, |cut| cut.max(upto)).max(from);
                self.apply(env, Checked { rows, complete, split: false, repeated });
            }
            Err(error) => self.on_fetch_failed(env, Span::new(from, upto), error),
        }
    }

    /// The connection is gone on which an answer may have been coming in.
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
            // Not its fault: it stays queued.
            Blame::Source(_) | Blame::Other => {}
            Blame::Unknown => {
                let endpoint = SERVER.to_owned();
                self.on_fetch_failed(env, span, FetchError::Unreachable { endpoint, message });
            }
        }
    }
}
