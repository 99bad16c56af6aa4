//! Catch-up: missed rows are fetched, one request at a time, page by page, until the target is
//! reached.
//!
//! What enters: the token that the writer has reached, pages, and failures. What leaves: fetches,
//! rows, and a gap where rows cannot be had (F2). Keeps F7: a failed fetch is made again after a
//! delay.

use super::{
    Follower,
    follower::State,
    page::{Checked, by_token},
    pager::{FetchOutcome, PageResult, Pager},
};
use crate::{
    action::Action,
    env::Env,
    event::{Event, GapReason},
    stream::{FetchError, Span, Token},
    timer::TimerKey,
};

/// A catch-up under way. It may outlive the connection under which it began; it then ends without
/// making the source live.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CatchUp {
    /// The token that the writer is known to have reached, or has announced.
    pub(super) target: Token,
    /// The highest token that rows have shown it to have reached.
    shown: Option<Token>,
    /// The token at which the writer has announced itself since, far below the target: it is asked
    /// once more.
    contradicted: Option<Token>,
    pub(super) pager: Pager,
}

impl CatchUp {
    pub(super) const fn new(target: Token) -> Self {
        Self { target, shown: None, contradicted: None, pager: Pager::new() }
    }
}

impl Follower {
    /// Fetches what lies between the position and `token`, which the writer has shown on this
    /// connection to have reached. The source goes live if nothing lies between.
    pub(super) fn fetch_up_to(&mut self, env: &mut Env, token: Token) {
        self.hole = false;
        let target = self.class.highest().map_or(token, |highest| highest.max(token));
        if self.catch_up().is_some()
            && let Some(mut catch_up) = self.take_catch_up(env)
        {
            catch_up.target = catch_up.target.max(target);
            self.set_state(env, State::CatchingUp(catch_up));
            return;
        }
        let from = self.position.unwrap_or(Token::START);
        if target <= from {
            // All that the writer has sent is delivered, and all that follows is received live.
            self.go_live(env);
            return;
        }
        self.set_state(env, State::CatchingUp(Box::new(CatchUp::new(target))));
        let source = self.source.clone();
        env.notify(Event::CatchingUp { source, span: Span { from, upto: target } });
        self.fetch_next(env);
    }

    /// Handles the writer's announcement of `token`, which confirms the fetch under way.
    pub(super) fn confirm_fetch(&mut self, env: &mut Env, token: Token) {
        if let Some(mut catch_up) = self.take_catch_up(env) {
            catch_up.target = catch_up.target.max(token);
            self.set_state(env, State::CatchingUp(catch_up));
            self.request_if_queued(env);
        }
    }

    pub(super) fn raise_target(&mut self, token: Token) {
        if let Some(catch_up) = self.catch_up_mut() {
            catch_up.target = catch_up.target.max(token);
        }
    }

    /// Notes that a row has shown the writer to have reached `token`.
    pub(super) fn note_shown(&mut self, token: Token) {
        if let Some(catch_up) = self.catch_up_mut() {
            catch_up.shown = catch_up.shown.max(Some(token));
        }
    }

    /// Handles an announcement that is received during the catch-up. One that lies far below the
    /// target, of which no row was seen either, throws doubt on it: a stream that is fetched in
    /// windows would be so for ever if the target was wrong. The writer is asked once more.
    pub(super) fn doubt_target(&mut self, env: &mut Env, token: Token) {
        let window = env.config.catch_up.burst_window_max;
        if self.traits.windowed
            && self.highest_seen() < Some(token.advanced_by(window))
            && let Some(catch_up) = self.catch_up_mut()
            && token.advanced_by(window) < catch_up.target
        {
            catch_up.contradicted = Some(token);
            self.request_position(env);
        }
    }

    /// Returns the highest token that the writer has reached without a doubt: that of a row, or of
    /// an announcement since the catch-up began.
    fn highest_seen(&self) -> Option<Token> {
        let held = self.held.as_ref().and_then(|holding| holding.highest());
        let shown = self.catch_up().and_then(|catch_up| catch_up.shown);
        held.max(shown).max(self.class.highest())
    }

    /// Handles the answer of a writer that was asked once more where it stands. If it stands below
    /// the target again, that is lowered. Returns whether it was; the catch-up is then to go on.
    pub(super) fn lower_target(&mut self, env: &mut Env, token: Token) -> bool {
        let seen = self.highest_seen();
        let Some(catch_up) = self.catch_up_mut() else { return false };
        if catch_up.contradicted.take().is_none() || catch_up.target <= token {
            return false;
        }
        catch_up.target = seen.map_or(token, |seen| seen.max(token));
        if let Some((query, _)) = catch_up.pager.in_flight()
            && env.queries.give_up(query)
        {
            env.act(Action::CancelFetch { query });
        }
        env.timers.clear(TimerKey::FetchRetry(self.index));
        true
    }

    /// Requests the next page, or queues for a fetch slot. Each page queues anew: a long catch-up
    /// would keep its slot from the others in the queue otherwise.
    pub(super) fn fetch_next(&mut self, env: &mut Env) {
        if !env.queries.has_free_slot(&env.config)
            && let Some(query) = env.queries.audits.preempt()
        {
            env.act(Action::CancelFetch { query });
        }
        if env.queries.has_free_slot(&env.config) && env.queries.line_is_empty() {
            self.fetch_now(env);
        } else if let Some(catch_up) = self.catch_up_mut() {
            catch_up.pager.queue();
            env.queries.enqueue(self.index);
        }
    }

    fn fetch_now(&mut self, env: &mut Env) {
        if env.config.transport.catches_up_in_band() {
            self.request_in_band(env);
            return;
        }
        let from = self.position.unwrap_or(Token::START);
        let (index, traits) = (self.index, self.traits);
        let Some(catch_up) = self.catch_up_mut() else { return };
        let span = catch_up.pager.next_span(from, catch_up.target, traits, &env.config);
        let query = env.queries.issue_fetch(index);
        catch_up.pager.on_requested(query, span);
        env.stats.fetches += 1;
        let source = self.source.clone();
        env.act(Action::Fetch { query, source, span });
    }

    /// Requests the next page: a slot is free, and this source is first in the queue.
    pub(crate) fn on_slot(&mut self, env: &mut Env) {
        if self.catch_up().is_some_and(|catch_up| catch_up.pager.is_queued()) {
            self.fetch_now(env);
        }
    }

    /// Requests again what a failed fetch requested.
    pub(crate) fn on_fetch_retry(&mut self, env: &mut Env) {
        self.fetch_next(env);
    }

    /// Handles the answer to the fetch in flight of this source.
    pub(crate) fn on_fetched(&mut self, env: &mut Env, outcome: FetchOutcome) {
        let traits = self.traits;
        let Some(catch_up) = self.catch_up_mut() else { return };
        let Some((_, span)) = catch_up.pager.in_flight() else { return };
        match catch_up.pager.on_fetched(span, outcome, traits) {
            PageResult::Page(checked) => self.screen_or_apply(env, span, checked),
            PageResult::Narrower => self.fetch_next(env),
            PageResult::NoEndpoint => self.give_up(env, GapReason::NoEndpoint),
            PageResult::Unknown(error) => self.give_up(env, GapReason::GaveUp { error }),
            PageResult::Failed(error) => self.on_fetch_failed(env, span, error),
        }
    }

    /// Delivers the rows of a page, moves the position to its end, and goes on behind it.
    pub(super) fn apply(&mut self, env: &mut Env, checked: Checked) {
        let Checked { rows, complete, split, repeated } = checked;
        env.stats.rows_repeated += repeated;
        // Rows of the last token may be missing: the position reaches it only with the gap.
        let whole = if split { complete.before() } else { complete };
        for (token, rows) in by_token(rows) {
            self.deliver_fetched(env, token, rows, whole);
        }
        if split {
            self.notify_gap(env, Span::new(whole, complete), GapReason::SplitToken);
            self.set_position(env, complete);
        } else if self.position.is_none_or(|position| position < complete) {
            self.advance_to(env, complete);
        }
        self.continue_or_finish(env);
    }

    pub(super) fn continue_or_finish(&mut self, env: &mut Env) {
        let Some(catch_up) = self.catch_up() else { return };
        if self.position.is_none_or(|position| position < catch_up.target) {
            self.fetch_next(env);
            return;
        }
        match &mut self.state {
            State::CatchingUp(_) => self.go_live(env),
            State::Unconfirmed { fetch } | State::Doubted { fetch } => {
                *fetch = None;
            }
            State::Live => {}
        }
    }

    pub(super) fn on_fetch_failed(&mut self, env: &mut Env, span: Span, error: FetchError) {
        let (timer, source) = (TimerKey::FetchRetry(self.index), self.source.clone());
        let Some(catch_up) = self.catch_up_mut() else { return };
        if let Some(error) = catch_up.pager.on_failed(env, &source, timer, span, error) {
            self.give_up(env, GapReason::GaveUp { error });
        }
    }

    /// Gives up the rows up to the target, which cannot be had: a gap stands in their place (F2).
    fn give_up(&mut self, env: &mut Env, reason: GapReason) {
        let Some(upto) = self.catch_up().map(|catch_up| catch_up.target) else { return };
        let from = self.position.unwrap_or(Token::START);
        self.notify_gap(env, Span::new(from, upto), reason);
        self.set_position(env, upto);
        self.continue_or_finish(env);
    }

    fn notify_gap(&self, env: &mut Env, span: Span, reason: GapReason) {
        env.stats.gaps += 1;
        let source = self.source.clone();
        env.notify(Event::Gap { source, span, reason });
    }

    /// Ends a catch-up without its rows. The position is not confirmed afterwards.
    pub(super) fn abandon_catch_up(&mut self, env: &mut Env) {
        let catch_up = self.take_catch_up(env);
        if let Some(read) = catch_up.as_ref().and_then(|catch_up| catch_up.pager.screening()) {
            env.queries.take_screening(read);
        }
        if let Some(catch_up) = catch_up
            && let Some((query, _)) = catch_up.pager.in_flight()
            // False if a shutdown has cancelled it already.
            && env.queries.give_up(query)
        {
            env.act(Action::CancelFetch { query });
        }
        env.queries.end_in_band(self.index);
        env.timers.clear(TimerKey::FetchRetry(self.index));
    }
}
