//! The looks into the holes of a stream, as far as one of its sources is concerned (F12;
//! `protocol.md` 12.4).
//!
//! What enters: rows that are delivered, tokens that are passed without a word, and pages. What
//! leaves: questions, and rows that had been lost with their tokens. They go out below a position
//! that stays, and no gap comes of what cannot be had: what is missing is only suspected.

use std::time::Duration;

use super::{
    Follower,
    order::Class,
    page::{self, Checked, Judgement, by_token},
    pager::FetchOutcome,
};
use crate::{
    action::Action,
    env::Env,
    event::{Event, NotAuditedReason, Origin, Warning},
    holes::{Holes, Question, Writer},
    stream::{FetchError, Rows, Span, Token},
};

impl Follower {
    /// Takes part in the looks into the holes of the stream, if there are any.
    pub(crate) fn watch_holes(&mut self, env: &mut Env) {
        let (index, stream) = (self.index, self.stream);
        self.watched = env.holes_of(stream).map(|holes| holes.join(index));
    }

    /// Notes that the source is live.
    pub(super) fn watch_from_here(&self, env: &mut Env) {
        let Some(writer) = self.watched else { return };
        let position = self.position.unwrap_or(Token::START);
        let settled_at = env.now + env.config.holes.hole_grace_after_connect;
        self.change_holes(env, |holes| holes.on_live(writer, position, settled_at));
    }

    /// Notes the end of the connection.
    pub(super) fn unsettle_watch(&self, env: &mut Env) {
        if let (Some(writer), Some(holes)) = (self.watched, env.holes_of(self.stream)) {
            holes.on_disconnected(writer);
        }
    }

    /// Notes that a token has a row.
    #[inline]
    pub(super) fn note_row(&self, env: &mut Env, token: Token) {
        let Some(writer) = self.watched else { return };
        if let Some(holes) = env.holes_of(self.stream)
            && !holes.tokens.on_next_row(token, writer)
        {
            self.change_holes(env, |holes| holes.tokens.on_row(token, writer));
        }
    }

    /// Notes that the writer has passed the tokens of `span` and has said nothing of them.
    #[inline]
    pub(super) fn note_passed(&self, env: &mut Env, span: Span) {
        if let Some(writer) = self.watched
            && let Some(holes) = env.holes_of(self.stream)
            && !holes.tokens.has_rows_throughout(span)
        {
            self.pass(env, writer, span);
        }
    }

    fn pass(&self, env: &mut Env, writer: Writer, span: Span) {
        if !writer.is_told_apart() {
            self.leave_hole(env, span, NotAuditedReason::NotRemembered);
            return;
        }
        let settled_at = env.holes_of(self.stream).and_then(|holes| holes.settled_at(writer));
        let Some(settled_at) = settled_at else { return };
        let span = self.without_jump(env, span);
        let ready_at = settled_at.max(env.now + env.config.holes.hole_grace);
        let pass = |holes: &mut Holes| holes.on_passed(writer, span, ready_at);
        if self.change_holes(env, pass) == Some(true) {
            env.expect_look(self.stream, ready_at);
        }
    }

    /// Notes that the position goes back below the tokens of `span`: they are not passed any more. If
    /// the source is the `is_first` of its stream to go back with their log, no token above is known to
    /// have a row either.
    pub(super) fn rewind_holes(&self, env: &mut Env, span: Span, is_first: bool) {
        if let Some(writer) = self.watched {
            self.change_holes(env, |holes| holes.go_back(writer, span, is_first));
        }
    }

    /// Leaves out all but the end of a span that is wider than can be looked into.
    fn without_jump(&self, env: &mut Env, span: Span) -> Span {
        let window = env.config.catch_up.burst_window_max;
        if !self.traits.windowed || span.len() <= env.config.holes.hole_jump_tokens_min.into() {
            return span;
        }
        let from = Token::new(span.upto.get().saturating_sub(window.into()));
        self.leave_hole(env, Span::new(span.from, from), NotAuditedReason::TooManyTokens);
        Span::new(from, span.upto)
    }

    /// Changes what is known of the stream's tokens, within the limits.
    fn change_holes<R>(&self, env: &mut Env, change: impl FnOnce(&mut Holes) -> R) -> Option<R> {
        let config = &env.config.holes;
        let holes = env.streams[self.stream.as_usize()].holes.as_deref_mut()?;
        let total = &mut env.stats.hole_spans_now;
        let before = holes.tokens.len() as u64;
        let changed = change(holes);
        let tokens = &mut holes.tokens;
        *total = *total - before + tokens.len() as u64;
        let mut left_out = None;
        while tokens.len() > config.hole_spans_max as usize
            || (*total > config.hole_spans_total_max && !tokens.is_empty())
        {
            left_out = tokens.forget_one().or(left_out);
            *total -= 1;
        }
        if let Some(span) = left_out {
            self.leave_hole(env, span, NotAuditedReason::NotRemembered);
        }
        Some(changed)
    }

    /// Counts tokens that are never looked into, and says so once a stream.
    fn leave_hole(&self, env: &mut Env, span: Span, reason: NotAuditedReason) {
        env.stats.hole_tokens_left = env.stats.hole_tokens_left.saturating_add(span.len());
        if env.holes_of(self.stream).is_some_and(|holes| holes.is_first_word()) {
            let source = self.source.clone();
            env.notify(Event::Warning(Warning::HoleLeft { source, span, reason }));
        }
    }

    /// Returns whether the token lies at or below the position, and no row of it was delivered.
    pub(super) fn is_undelivered(&self, env: &Env, token: Token) -> bool {
        let Some(writer) = self.watched.filter(|_| Some(token) <= self.position) else {
            return false;
        };
        let holes = env.streams[self.stream.as_usize()].holes.as_ref();
        holes.is_some_and(|holes| holes.is_unexplained(writer, token))
    }

    /// Delivers rows that lie at or below the position and were not delivered: they are late, or
    /// were lost.
    pub(super) fn deliver_below(&mut self, env: &mut Env, token: Token, rows: Rows) {
        let rows = match self.class {
            Class::Rising => self.new_by_token(env, token, rows),
            Class::Bursts(_) | Class::Unclosed(_) | Class::Loose(_) => Some(rows),
        };
        if let Some(rows) = rows {
            env.stats.rows_from_holes += rows.len() as u64;
            let position = self.position.unwrap_or(Token::START);
            self.emit(env, token, rows, Origin::Hole, position);
        } else {
            self.note_row(env, token);
        }
    }

    /// Returns whether another instance may answer in the writer's place, with rows of its own alone:
    /// its silence would explain what is lost, and its rows would pass for lost ones. Where addresses
    /// are not looked at, they are believed.
    fn is_at_doubtful_address(&self, env: &Env) -> bool {
        let config = &env.config.continuity;
        self.traits.own_rows_only
            && config.continuity
            && config.look_ups_at_once_max > 0
            && env.addresses.is_doubtful(self.source.instance())
    }

    /// Requests what the question asks for: a slot is free, and the stream is next.
    pub(crate) fn look_into(&mut self, env: &mut Env, question: Question) {
        if self.has_other_log() || self.is_at_doubtful_address(env) {
            env.addresses.want_proof(self.source.instance());
            self.put_off_look(env);
            env.expect_next_look(self.stream);
            return;
        }
        let query = env.queries.issue_look(self.stream, env.now, &env.config.holes);
        let now = env.now;
        if let Some(holes) = env.holes_of(self.stream) {
            holes.on_asked(query, question, now);
        }
        env.stats.fetches += 1;
        let source = self.source.clone();
        env.act(Action::Fetch { query, source, span: question.span });
    }

    /// Handles the answer to a question to this source.
    pub(crate) fn on_looked(&mut self, env: &mut Env, question: Question, outcome: FetchOutcome) {
        let span = question.span;
        match outcome {
            // It may be under way since before that was known.
            Ok(_) if self.has_other_log() => {
                self.put_off_look(env);
            }
            Ok(page) => match page::judge(page, span, self.traits) {
                Judgement::Apply(checked) => self.on_found(env, question, checked),
                Judgement::Narrow => self.look_at_fewer(env, span),
                Judgement::Unusable(message) => {
                    self.on_look_failed(env, span, FetchError::Unusable { message });
                }
            },
            Err(FetchError::NoEndpoint { .. }) => {
                self.on_nobody(env, question, NotAuditedReason::NoEndpoint);
            }
            Err(error) if error.is_unknown_stream() => {
                self.on_nobody(env, question, NotAuditedReason::GaveUp { error });
            }
            Err(FetchError::TooLarge { .. }) if span.len() > 1 => self.look_at_fewer(env, span),
            Err(error) => self.on_look_failed(env, span, error),
        }
        env.expect_next_look(self.stream);
    }

    fn look_at_fewer(&self, env: &mut Env, span: Span) {
        if let Some(holes) = env.holes_of(self.stream) {
            holes.on_too_large(span);
        }
    }

    /// Delivers the rows under tokens of which no row is known, and leaves out all others.
    fn on_found(&mut self, env: &mut Env, question: Question, checked: Checked) {
        let Checked { rows, complete, split, .. } = checked;
        let mut has_found = false;
        for (token, rows) in by_token(rows) {
            // The position may have gone back since.
            if Some(token) > self.position || !self.is_hole(env, token) {
                continue;
            }
            // That there are rows is what paces the looks, whether they can be had or not.
            has_found = true;
            // A part of a token that another writer may have yet to send would suppress the whole.
            if split && token == complete {
                let span = Span::new(complete.before(), complete);
                let (source, reason) = (self.source.clone(), NotAuditedReason::SplitToken);
                env.notify(Event::Warning(Warning::HoleLeft { source, span, reason }));
                if self.traits.shared_fetch {
                    continue;
                }
            }
            self.deliver_below(env, token, rows);
        }
        self.change_holes(env, |holes| holes.on_answered(question, complete, has_found));
    }

    fn is_hole(&self, env: &Env, token: Token) -> bool {
        let holes = env.streams[self.stream.as_usize()].holes.as_ref();
        holes.is_some_and(|holes| holes.tokens.has(token))
    }

    fn on_nobody(&self, env: &mut Env, question: Question, reason: NotAuditedReason) {
        self.change_holes(env, |holes| holes.on_nobody(question));
        self.leave_hole(env, question.span, reason);
    }

    /// Puts the question off, until the log is known to be the one that rows were delivered from:
    /// the rows of another one would pass for lost ones, and that it has none would explain tokens.
    /// Until then another question is asked. Returns the number of times in a row, and the delay.
    fn put_off_look(&self, env: &mut Env) -> Option<(u32, Duration)> {
        let every = env.config.holes.hole_look_every;
        let holes = env.streams[self.stream.as_usize()].holes.as_deref_mut()?;
        holes.end_look();
        let attempt = holes.on_failed();
        let retry_in = env.jitter.delay(every, attempt);
        holes.put_off(env.now, retry_in);
        Some((attempt, retry_in))
    }

    /// A failure teaches nothing: the question is asked again later, and until then another one.
    fn on_look_failed(&self, env: &mut Env, span: Span, error: FetchError) {
        env.stats.fetches_failed += 1;
        let Some((attempt, retry_in)) = self.put_off_look(env) else { return };
        let source = self.source.clone();
        let warning = Warning::FetchFailed { source, span, attempt, retry_in, error };
        env.notify(Event::Warning(warning));
    }
}
