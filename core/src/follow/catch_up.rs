//! Getting missed rows: one fetch at a time, page by page, until the target is reached.

use bytestring::ByteString;

use super::{
    Context, Follower, Phase, page,
    page::Judgement,
    replay::{Replay, Replayed},
    window,
    window::Window,
};
use crate::{
    action::Action,
    event::{Event, GapReason, Warning},
    ids::QueryId,
    planted::planted,
    sources::SourceIndex,
    stream::{FetchError, Page, Rows, Token},
    timer::TimerKey,
    wire::{Command, Replicate},
};

/// The answer to a fetch.
pub(crate) type FetchOutcome = Result<Page, FetchError>;

/// What is known of a catch-up under way. It may outlive the connection under which it began;
/// it then ends without making the source live.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CatchUp {
    /// The writer is known to have come this far.
    pub(super) target: Token,
    step: Step,
    /// Failures in a row.
    attempt: u32,
    window: Window,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Queued,
    InFlight {
        query: QueryId,
        from: Token,
        upto: Token,
    },
    /// The answer comes over the connection.
    Replaying {
        from: Token,
    },
    BackingOff,
}

/// What became of the answers that were coming in on a lost connection (oldest dialect).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost<'a> {
    /// What the server said last, or the system.
    pub(crate) reason: &'a str,
    /// Why the server closed the connection, as far as it said so.
    pub(crate) blame: Blame,
}

/// What a server of the oldest dialect would not answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Blame {
    /// It did not say.
    Unknown,
    /// The request for rows of this source.
    Source(SourceIndex),
    /// Another request than for rows.
    Other,
}

impl CatchUp {
    const fn new(target: Token) -> Self {
        Self { target, step: Step::Queued, attempt: 0, window: Window::WHOLE }
    }
}

impl Follower {
    /// Fetches what lies between the position and `token`, which the writer is known to have
    /// reached.
    pub(super) fn fetch_up_to(&mut self, ctx: &mut Context<'_>, token: Token) {
        self.hole = false;
        let target = self.burst_highest().map_or(token, |highest| highest.max(token));
        if let Phase::CatchingUp(catch_up) = &mut self.phase {
            catch_up.target = catch_up.target.max(target);
            return;
        }
        let from = self.position.unwrap_or(Token::START);
        if target <= from {
            // All that the writer sent before is delivered; all that follows comes live.
            self.go_live(ctx);
            return;
        }
        self.phase = Phase::CatchingUp(Box::new(CatchUp::new(target)));
        let source = self.source.clone();
        ctx.notify(Event::CatchingUp { source, from, upto: target });
        self.fetch_next(ctx);
    }

    pub(super) fn raise_target(&mut self, token: Token) {
        if let Phase::CatchingUp(catch_up) = &mut self.phase {
            catch_up.target = catch_up.target.max(token);
        }
    }

    /// Asks for the next page, or gets in line. Each page is a turn: a long catch-up would keep
    /// its slot from those in line otherwise.
    fn fetch_next(&mut self, ctx: &mut Context<'_>) {
        let fetches = &mut ctx.shared.fetches;
        if !fetches.slot_is_free(ctx.config)
            && let Some(query) = fetches.audits.give_way()
        {
            ctx.shared.actions.push_back(Action::CancelFetch { query });
        }
        if fetches.slot_is_free(ctx.config) && fetches.waiting.is_empty() {
            self.fetch_now(ctx);
            return;
        }
        let Phase::CatchingUp(catch_up) = &mut self.phase else { return };
        catch_up.step = Step::Queued;
        if !self.in_line {
            self.in_line = true;
            fetches.waiting.push_back(ctx.me);
        }
    }

    fn fetch_now(&mut self, ctx: &mut Context<'_>) {
        if ctx.over_connection() {
            self.ask_for_replay(ctx);
            return;
        }
        let from = self.position.unwrap_or(Token::START);
        let Phase::CatchingUp(catch_up) = &mut self.phase else { return };
        let upto = catch_up.window.end(from, catch_up.target, self.traits, ctx.config);
        let query = ctx.shared.fetches.issue(ctx.me);
        catch_up.step = Step::InFlight { query, from, upto };
        ctx.shared.stats.fetches += 1;
        let source = self.source.clone();
        ctx.shared.actions.push_back(Action::Fetch { query, source, from, upto });
    }

    /// A slot is free and this source is first in line.
    pub(crate) fn on_slot(&mut self, ctx: &mut Context<'_>) {
        self.in_line = false;
        if let Phase::CatchingUp(catch_up) = &self.phase
            && catch_up.step == Step::Queued
        {
            self.fetch_now(ctx);
        }
    }

    /// A failed fetch is due again.
    pub(crate) fn on_fetch_retry(&mut self, ctx: &mut Context<'_>) {
        self.fetch_next(ctx);
    }

    /// The answer to the fetch that this source waits for.
    pub(crate) fn on_fetched(&mut self, ctx: &mut Context<'_>, outcome: FetchOutcome) {
        let Phase::CatchingUp(catch_up) = &mut self.phase else { return };
        let Step::InFlight { from, upto, .. } = catch_up.step else { return };
        let span = window::span(from, upto);
        let mut traits = self.traits;
        traits.splits_tokens &= !planted!(ctx.config, BelievesCutTokens);
        match outcome {
            #[cfg(feature = "planted-bugs")]
            Ok(page)
                if planted!(
                    ctx.config,
                    BelievesBurstPages if traits.order == crate::stream::Order::Bursts
                ) =>
            {
                self.apply(ctx, page::Checked::unjudged(page, upto));
            }
            #[cfg(feature = "planted-bugs")]
            Ok(page) if planted!(ctx.config, BelievesPagesBeyond if page.upto > upto) => {
                let complete = page.upto;
                self.apply(ctx, page::Checked::unjudged(page, complete));
            }
            Ok(page) => match page::judge(page, from, upto, traits) {
                Judgement::Apply(checked) => {
                    catch_up.attempt = 0;
                    catch_up.window.widen();
                    self.apply(ctx, checked);
                }
                Judgement::Narrow => {
                    catch_up.window.narrow(span);
                    self.fetch_next(ctx);
                }
                Judgement::Unusable(_) if planted!(ctx.config, EndsAtStuckPages) => {
                    self.advance_to(ctx, upto);
                    self.continue_or_finish(ctx);
                }
                Judgement::Unusable(message) => {
                    self.on_fetch_failed(ctx, from, upto, FetchError::Unusable { message });
                }
            },
            Err(FetchError::NoEndpoint { .. }) => self.give_up(ctx, GapReason::NoEndpoint),
            Err(FetchError::TooLarge { .. }) if span > 1 => {
                catch_up.window.narrow(span);
                self.fetch_next(ctx);
            }
            Err(error) => self.on_fetch_failed(ctx, from, upto, error),
        }
    }

    pub(super) fn apply(&mut self, ctx: &mut Context<'_>, checked: page::Checked) {
        let page::Checked { mut rows, complete, split, repeated } = checked;
        if planted!(ctx.config, DeliversPagesUnderOneToken) {
            rows.iter_mut().for_each(|(token, _)| *token = complete);
        }
        if planted!(ctx.config, TellsPositionFirst) {
            self.advance_to(ctx, complete);
        }
        ctx.shared.stats.rows_repeated += repeated;
        // Not all rows of the last token are there: only the gap behind them says that it is done.
        let whole = if split { complete.before() } else { complete };
        let mut rows = rows.into_iter().peekable();
        while let Some((token, row)) = rows.next() {
            let mut group = vec![row];
            while let Some((_, row)) = rows.next_if(|(next, _)| *next == token) {
                group.push(row);
            }
            self.deliver_fetched(ctx, token, Rows::from(group), whole);
        }
        if split {
            self.notify_gap(ctx, whole, complete, GapReason::SplitToken);
            self.set_position(ctx, complete);
        } else if self.position.is_none_or(|position| position < complete) {
            self.advance_to(ctx, complete);
        }
        self.continue_or_finish(ctx);
    }

    fn continue_or_finish(&mut self, ctx: &mut Context<'_>) {
        let Phase::CatchingUp(catch_up) = &self.phase else { return };
        if self.position.is_none_or(|position| position < catch_up.target) {
            self.fetch_next(ctx);
        } else {
            self.phase = Phase::Idle;
            if self.answered || planted!(ctx.config, OldFetchMakesLive) {
                self.go_live(ctx);
            }
        }
    }

    fn on_fetch_failed(
        &mut self,
        ctx: &mut Context<'_>,
        from: Token,
        upto: Token,
        error: FetchError,
    ) {
        let Phase::CatchingUp(catch_up) = &mut self.phase else { return };
        ctx.shared.stats.fetches_failed += 1;
        catch_up.attempt = catch_up.attempt.saturating_add(1);
        let attempt = catch_up.attempt;
        let gives_up = ctx.config.fetch_attempts_max.is_some_and(|max| attempt >= max);
        if gives_up || planted!(ctx.config, GivesUpUnasked if attempt >= 3) {
            self.give_up(ctx, GapReason::GaveUp { error });
            return;
        }
        catch_up.step = Step::BackingOff;
        let retry_in = ctx.shared.jitter.delay(ctx.config.fetch_retry, attempt);
        if !planted!(ctx.config, NeverRetriesFetches) {
            ctx.shared.timers.set(TimerKey::FetchRetry(ctx.me), ctx.now + retry_in);
        }
        let source = self.source.clone();
        ctx.notify(Event::Warning(Warning::FetchFailed {
            source,
            from,
            upto,
            attempt,
            retry_in,
            error,
        }));
    }

    /// The rows up to the target cannot be had: says so and goes on behind them.
    fn give_up(&mut self, ctx: &mut Context<'_>, reason: GapReason) {
        let Phase::CatchingUp(catch_up) = &self.phase else { return };
        let upto = catch_up.target;
        let reaches_back = planted!(ctx.config, GapsFromStart);
        let from = self.position.filter(|_| !reaches_back).unwrap_or(Token::START);
        self.notify_gap(ctx, from, upto, reason);
        self.set_position(ctx, upto);
        self.continue_or_finish(ctx);
    }

    /// Asks the server of the oldest dialect for what is missing, if it has said on this connection
    /// where the source stands: what it says before that would be taken for the end of the answer.
    /// Waits for that otherwise.
    fn ask_for_replay(&mut self, ctx: &mut Context<'_>) {
        let from = self.position.unwrap_or(Token::START);
        let Phase::CatchingUp(catch_up) = &mut self.phase else { return };
        let Some(conn) = ctx.shared.replays_on.filter(|_| self.answered) else {
            catch_up.step = Step::Queued;
            return;
        };
        catch_up.step = Step::Replaying { from };
        // Whatever is half here comes again.
        self.batch = None;
        self.torn = false;
        self.hole = false;
        ctx.shared.stats.fetches += 1;
        ctx.shared.fetches.replays.begin(ctx.me);
        let stream = ByteString::from(self.source.stream());
        let command = Command::Replicate(Replicate::Stream { stream, from: Some(from) });
        ctx.shared.send(conn, command);
    }

    /// The server can be asked now.
    pub(super) fn ask_for_replay_if_queued(&mut self, ctx: &mut Context<'_>) {
        if let Phase::CatchingUp(catch_up) = &self.phase
            && catch_up.step == Step::Queued
            && !self.in_line
            && ctx.over_connection()
        {
            self.fetch_next(ctx);
        }
    }

    /// A line of a source could not be read that a server of the oldest dialect sends once: it is
    /// asked for all above the position, which says where the source stands as well.
    pub(super) fn replay_hole(&mut self, ctx: &mut Context<'_>) {
        if !self.is_live() {
            // What is asked for, or is going to be, has it.
            return;
        }
        let position = self.position.unwrap_or(Token::START);
        let target = self.burst_highest().map_or(position, |highest| highest.max(position));
        self.phase = Phase::CatchingUp(Box::new(CatchUp::new(target)));
        let source = self.source.clone();
        ctx.notify(Event::NotLive { source, token: position });
        self.fetch_next(ctx);
    }

    /// The server has said that its answer is complete up to `upto`.
    pub(crate) fn on_replayed(&mut self, ctx: &mut Context<'_>, replay: Replay, upto: Token) {
        let Phase::CatchingUp(catch_up) = &mut self.phase else { return };
        let Step::Replaying { from } = catch_up.step else { return };
        match replay.finish(from, upto, ctx.config) {
            Ok(Replayed { cut: Some(cut), .. }) if upto <= from => {
                // It comes again: at once in an answer that has it whole, but nobody says when.
                catch_up.target = cut;
                let endpoint = "the direct TCP server".to_owned();
                let message = format!("it has a row at {cut}, beyond its end {upto}");
                self.on_fetch_failed(ctx, from, cut, FetchError::Malformed { endpoint, message });
            }
            Ok(Replayed { page, cut }) => {
                catch_up.attempt = 0;
                // What it says now is what counts, also if it said more before.
                catch_up.target = cut.map_or(upto, |cut| cut.max(upto)).max(from);
                self.apply(ctx, page);
            }
            Err(error) => self.on_fetch_failed(ctx, from, upto, error),
        }
    }

    /// The connection is gone on which an answer may have been coming in.
    pub(super) fn on_replay_lost(&mut self, ctx: &mut Context<'_>, lost: &Lost<'_>) {
        if ctx.shared.fetches.replays.take(ctx.me).is_none() {
            return;
        }
        let Phase::CatchingUp(catch_up) = &mut self.phase else { return };
        let Step::Replaying { from } = catch_up.step else { return };
        let (upto, message) = (catch_up.target, lost.reason.to_owned());
        match lost.blame {
            Blame::Source(refused) if refused == ctx.me => {
                self.on_fetch_failed(ctx, from, upto, FetchError::Refused { message });
            }
            // Not its fault.
            Blame::Source(_) | Blame::Other => catch_up.step = Step::Queued,
            Blame::Unknown => {
                let endpoint = "the direct TCP server".to_owned();
                let error = FetchError::Unreachable { endpoint, message };
                self.on_fetch_failed(ctx, from, upto, error);
            }
        }
    }

    fn notify_gap(&self, ctx: &mut Context<'_>, from: Token, upto: Token, reason: GapReason) {
        ctx.shared.stats.gaps += 1;
        if planted!(ctx.config, HidesGaps) {
            return;
        }
        let source = self.source.clone();
        ctx.notify(Event::Gap { source, from, upto, reason });
    }

    /// Ends a catch-up without its rows.
    pub(super) fn abandon_catch_up(&mut self, ctx: &mut Context<'_>) {
        if let Phase::CatchingUp(catch_up) = std::mem::replace(&mut self.phase, Phase::Idle)
            && let Step::InFlight { query, .. } = catch_up.step
            // A shutdown has cancelled it already.
            && ctx.shared.fetches.in_flight.remove(&query).is_some()
        {
            ctx.shared.actions.push_back(Action::CancelFetch { query });
        }
        ctx.shared.fetches.replays.take(ctx.me);
        ctx.shared.timers.clear(TimerKey::FetchRetry(ctx.me));
    }
}
