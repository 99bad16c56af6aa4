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
    probe::Probe,
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
    /// The highest token that it has shown to have reached by what is not held.
    shown: Option<Token>,
    /// The token at which the writer has announced itself since, far below the target: it is asked
    /// once more.
    contradicted: Option<Token>,
    /// The token above which everything is still to be fetched, while it is below the position.
    pub(super) below: Option<Token>,
    /// The search for delivered rows in the log, before anything more of it is believed.
    pub(super) probe: Option<Box<Probe>>,
    /// Whether nothing but a row has ever named the source, so that its writer may not have the
    /// stream at all.
    is_stray: bool,
    pub(super) pager: Pager,
}

/// What the writer has shown that leads to a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It has reached the token, and may be inside a send of which rows lie above.
    Reached,
    /// Everything that it sent before lies at or below the token.
    Ended,
}

impl Proof {
    /// Returns what an announcement proves. An answer to REPLICATE (prev = new) may fall inside a
    /// send on a bus; any other announcement stands at the end of one.
    pub(super) fn by(span: Span, env: &Env) -> Self {
        if span.from < span.upto || env.is_on_tcp() { Self::Ended } else { Self::Reached }
    }
}

impl CatchUp {
    pub(super) const fn new(target: Token) -> Self {
        Self {
            target,
            shown: None,
            contradicted: None,
            below: None,
            probe: None,
            is_stray: false,
            pager: Pager::new(),
        }
    }

    /// Goes back below the position, if it is not to do so further already.
    fn lower(&mut self, below: Option<Token>) {
        self.below = match (self.below, below) {
            (Some(now), Some(new)) => Some(now.min(new)),
            (now, new) => now.or(new),
        };
    }
}

impl Follower {
    /// Fetches what lies between the position and `token`, which the writer has shown on this
    /// connection to have reached. The source goes live if nothing lies between.
    pub(super) fn fetch_up_to(&mut self, env: &mut Env, token: Token, proof: Proof) {
        self.doubt_log();
        let (token, below) = self.hole.on_fetch(token, proof);
        let target = self.class.highest().map_or(token, |highest| highest.max(token));
        let below = below.filter(|below| Some(*below) < self.position);
        if self.catch_up().is_some()
            && let Some(mut catch_up) = self.take_catch_up(env)
        {
            catch_up.target = catch_up.target.max(target);
            // A page that is in flight goes on from where it began.
            catch_up.lower(below);
            self.set_state(env, State::CatchingUp(catch_up));
            return;
        }
        let from = self.position.unwrap_or(Token::START);
        if target <= from && below.is_none() {
            // All that the writer has sent is delivered, and all that follows is received live.
            self.go_live(env);
            return;
        }
        let was_live = self.is_live();
        let catch_up = CatchUp { below, ..CatchUp::new(target.max(from)) };
        self.set_state(env, State::CatchingUp(Box::new(catch_up)));
        let source = self.source.clone();
        if target > from {
            env.notify(Event::CatchingUp { source, span: Span { from, upto: target } });
        } else if was_live {
            env.notify(Event::NotLive { source, token: from });
        }
        self.fetch_next(env);
    }

    /// Handles the writer's announcement of `token`, which confirms the fetch under way.
    pub(super) fn confirm_fetch(&mut self, env: &mut Env, token: Token, proof: Proof) {
        self.doubt_log();
        let (target, below) = self.hole.on_fetch(token, proof);
        if let Some(mut catch_up) = self.take_catch_up(env) {
            catch_up.target = catch_up.target.max(target);
            catch_up.lower(below);
            self.set_state(env, State::CatchingUp(catch_up));
            self.request_if_queued(env);
        }
    }

    pub(super) fn raise_target(&mut self, token: Token) {
        if let Some(catch_up) = self.catch_up_mut() {
            catch_up.target = catch_up.target.max(token);
        }
    }

    /// Notes that the writer has shown to have reached `token` by what is not held.
    pub(super) fn note_shown(&mut self, token: Token) {
        if let Some(catch_up) = self.catch_up_mut() {
            catch_up.shown = catch_up.shown.max(Some(token));
        }
    }

    /// Notes that a row is all that has ever named the source which the catch-up is of.
    pub(super) fn note_stray(&mut self) {
        if let Some(catch_up) = self.catch_up_mut() {
            catch_up.is_stray = true;
        }
    }

    /// Notes that the writer has announced the stream, so it has it.
    pub(super) fn note_announced(&mut self) {
        if let Some(catch_up) = self.catch_up_mut() {
            catch_up.is_stray = false;
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
        let shown = self.catch_up().and_then(|catch_up| catch_up.shown);
        self.highest_held().max(shown).max(self.class.highest())
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
        env.make_room();
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
        let probe = self.next_probe(env);
        let Some(catch_up) = self.catch_up_mut() else { return };
        let from = catch_up.below.map_or(from, |below| below.min(from));
        let span = probe.unwrap_or_else(|| {
            catch_up.pager.next_span(from, catch_up.target, traits, &env.config)
        });
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
            PageResult::Page(checked) => {
                if let Some(checked) = self.compare_page(env, checked) {
                    self.screen_or_apply(env, span, checked);
                }
            }
            PageResult::Narrower => self.fetch_next(env),
            PageResult::NoEndpoint => self.give_up(env, GapReason::NoEndpoint),
            PageResult::Unknown(error) if catch_up.is_stray => {
                self.give_up(env, GapReason::GaveUp { error });
            }
            // It is another instance that does not know a stream of which the writer has spoken:
            // the address is wrong, and may be put right.
            PageResult::Unknown(error) | PageResult::Failed(error) => {
                if let Some(error) = self.pass_over(env, error) {
                    self.on_fetch_failed(env, span, error);
                }
            }
        }
    }

    /// Delivers the rows of a page, moves the position to its end, and goes on behind it.
    pub(super) fn apply(&mut self, env: &mut Env, checked: Checked) {
        let Checked { from, rows, complete, split, repeated } = checked;
        env.stats.rows_repeated += repeated;
        // Rows of the last token may be missing: the position reaches it only with the gap.
        let whole = if split { complete.before() } else { complete };
        let mut split = split;
        for (token, rows) in by_token(rows) {
            if split && token == complete {
                split = self.deliver_part(env, token, rows, whole);
            } else {
                self.deliver_fetched(env, token, rows, whole);
            }
        }
        if let Some(catch_up) = self.catch_up_mut() {
            let goes_on = |below: Token| if below < from { below } else { below.max(complete) };
            catch_up.below = catch_up.below.map(goes_on);
        }
        if split {
            let upto = self.position.map_or(complete, |position| position.max(complete));
            self.notify_gap(env, Span::new(whole, upto), GapReason::SplitToken);
            self.set_position(env, upto);
        } else if self.position.is_none_or(|position| position < complete) {
            self.advance_to(env, complete);
        }
        self.continue_or_finish(env);
    }

    pub(super) fn continue_or_finish(&mut self, env: &mut Env) {
        let position = self.position;
        let Some(catch_up) = self.catch_up_mut() else { return };
        catch_up.below = catch_up.below.filter(|below| Some(*below) < position);
        if position.is_none_or(|position| position < catch_up.target) || catch_up.below.is_some() {
            self.fetch_next(env);
            return;
        }
        match &mut self.state {
            State::CatchingUp(_) => self.go_live(env),
            State::Unconfirmed { fetch } | State::Doubted { fetch } => {
                *fetch = None;
                self.class.on_complete(position.unwrap_or(Token::START));
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
        let position = self.position.unwrap_or(Token::START);
        let Some(catch_up) = self.catch_up_mut() else { return };
        let upto = catch_up.target.max(position);
        let from = catch_up.below.take().map_or(position, |below| below.min(position));
        self.notify_gap(env, Span::new(from, upto), reason);
        self.set_position(env, upto);
        self.continue_or_finish(env);
    }

    pub(super) fn notify_gap(&self, env: &mut Env, span: Span, reason: GapReason) {
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
