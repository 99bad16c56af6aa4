//! The audit: what was delivered, compared from time to time with what the fetch source has
//! (`protocol.md` H5, X1). A writer's RDATA does not say what came before it, so one that gets lost
//! leaves no trace if another one follows.
//!
//! What is compared lies at or below the position, and at or below where the source stood one
//! period before, so that nothing which is merely late is taken for lost. Rows that were not
//! delivered come as they are found, in order, under the position that stands: it does not move.
//!
//! An audit is only of a live source. It has one fetch in flight over all sources, which gives way
//! to any catch-up.

use super::{
    Context, Delivered, FetchOutcome, Follower, page, page::Judgement, window, window::Window,
};
use crate::{
    action::Action,
    config::{Backoff, Config},
    event::{Event, NotAuditedReason, Origin, Warning},
    ids::QueryId,
    planted::planted,
    stream::{FetchError, Order, Row, Rows, StreamTraits, Token},
    time::Timestamp,
    timer::TimerKey,
};

/// What one source needs for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Audit {
    /// Rows up to here were compared, or were fetched before anything else came; `None` until it
    /// does.
    compared: Option<Token>,
    /// Where the source stood at the last look: how far the next one compares.
    settled: Token,
    /// When the next look is due.
    due: Timestamp,
    /// What was delivered above `compared`; empty where the sources of a stream share it.
    delivered: Delivered,
    run: Option<Run>,
}

/// One comparison under way, from what was compared on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Run {
    upto: Token,
    step: Step,
    /// Failures in a row.
    attempt: u32,
    window: Window,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Queued,
    Asked { query: QueryId, from: Token, upto: Token },
    BackingOff,
}

impl Audit {
    /// `None` unless it is wanted, and where it can find nothing: nothing gets lost on direct TCP,
    /// and where bursts are not closed there a row may be as late as it likes.
    pub(super) fn new(traits: StreamTraits, config: &Config) -> Option<Box<Self>> {
        config.audit_every.filter(|_| traits.order != Order::UnclosedBursts)?;
        Some(Box::new(Self {
            compared: None,
            settled: Token::START,
            due: Timestamp::ZERO,
            delivered: Delivered::default(),
            run: None,
        }))
    }
}

impl Follower {
    /// Rows are being delivered, with this position.
    #[cold]
    pub(super) fn remember_for_audit(
        &mut self,
        ctx: &mut Context<'_>,
        token: Token,
        rows: &Rows,
        position: Token,
    ) {
        let shared = self.traits.shared_fetch;
        let Some(audit) = &mut self.audit else { return };
        // What is fetched before the source is first live is never compared.
        if !shared && audit.compared.is_none() && token <= position {
            return;
        }
        let delivered = if shared { &mut ctx.stream.delivered } else { &mut audit.delivered };
        let total = &mut ctx.shared.stats.audit_rows_now;
        for row in rows.iter() {
            delivered.insert(token, row, ctx.config, total);
        }
    }

    /// What comes from here on is not fetched: it is to be compared.
    pub(super) fn begin_audit(&mut self, ctx: &mut Context<'_>) {
        let position = self.position.unwrap_or(Token::START);
        let Some(audit) = self.audit.as_mut().filter(|audit| audit.compared.is_none()) else {
            return;
        };
        (audit.compared, audit.settled) = (Some(position), position);
        audit.delivered.forget_upto(position, &mut ctx.shared.stats.audit_rows_now);
        audit.due = ctx.now + period(ctx);
    }

    /// The source has gone live.
    pub(super) fn start_audit(&mut self, ctx: &mut Context<'_>) {
        self.begin_audit(ctx);
        let Some(audit) = &self.audit else { return };
        let timer = TimerKey::Audit(ctx.me);
        if !ctx.shared.timers.is_set(timer) {
            ctx.shared.timers.set(timer, audit.due.max(ctx.now));
        }
    }

    /// It is time for a look, or to try a failed fetch again.
    pub(crate) fn on_audit_due(&mut self, ctx: &mut Context<'_>) {
        let position = self.position.unwrap_or(Token::START);
        let is_live = self.is_live();
        let Some(audit) = &mut self.audit else { return };
        if ctx.stream.written_here && self.traits.shared_fetch {
            // Our own rows would come back as if they had been lost.
            self.audit = None;
            return;
        }
        match &mut audit.run {
            Some(run) => run.step = Step::Queued,
            // Once it is live again.
            None if !is_live => return,
            None => {
                let upto = std::mem::replace(&mut audit.settled, position);
                let step = Step::Queued;
                audit.run = Some(Run { upto, step, attempt: 0, window: Window::WHOLE });
                let lowest = upto.get().saturating_sub(ctx.config.audit_tokens_max.into());
                self.leave_out(ctx, Token::new(lowest), NotAuditedReason::TooManyTokens);
            }
        }
        self.go_on_with_audit(ctx);
    }

    /// Gets in line for the next page, or ends the audit.
    fn go_on_with_audit(&mut self, ctx: &mut Context<'_>) {
        let Some(audit) = &mut self.audit else { return };
        let Some(run) = &mut audit.run else { return };
        if audit.compared.is_none_or(|compared| compared < run.upto) {
            run.step = Step::Queued;
            ctx.shared.fetches.audits.get_in_line(ctx.me);
            return;
        }
        audit.run = None;
        audit.due = ctx.now + period(ctx);
        ctx.shared.timers.set(TimerKey::Audit(ctx.me), audit.due);
    }

    /// Nothing else is to be fetched, and this source is first in line.
    pub(crate) fn on_audit_slot(&mut self, ctx: &mut Context<'_>) {
        if !self.is_live() {
            self.stop_audit(ctx);
            return;
        }
        self.leave_out_forgotten(ctx);
        let Some(audit) = &mut self.audit else { return };
        let (Some(run), Some(from)) = (&mut audit.run, audit.compared) else { return };
        if run.step == Step::BackingOff {
            return;
        }
        if from >= run.upto {
            self.go_on_with_audit(ctx);
            return;
        }
        let upto = run.window.end(from, run.upto, self.traits, ctx.config);
        let query = ctx.shared.fetches.issue_audit(ctx.me);
        run.step = Step::Asked { query, from, upto };
        ctx.shared.stats.fetches += 1;
        let source = self.source.clone();
        ctx.shared.actions.push_back(Action::Fetch { query, source, from, upto });
    }

    /// The answer to the fetch that the audit waits for.
    pub(crate) fn on_audit_fetched(&mut self, ctx: &mut Context<'_>, outcome: FetchOutcome) {
        let Some(run) = self.audit.as_mut().and_then(|audit| audit.run.as_mut()) else { return };
        let Step::Asked { from, upto, .. } = run.step else { return };
        let span = window::span(from, upto);
        match outcome {
            Ok(page) => match page::judge(page, from, upto, self.traits) {
                Judgement::Apply(checked) => {
                    run.attempt = 0;
                    run.window.widen();
                    self.compare(ctx, checked);
                }
                Judgement::Narrow => run.window.narrow(span),
                Judgement::Unusable(message) => {
                    let error = FetchError::Unusable { message };
                    self.on_audit_failed(ctx, from, upto, error);
                    return;
                }
            },
            Err(FetchError::NoEndpoint { .. }) => {
                let upto = run.upto;
                self.leave_out(ctx, upto, NotAuditedReason::NoEndpoint);
            }
            Err(FetchError::TooLarge { .. }) if span > 1 => run.window.narrow(span),
            Err(error) => {
                self.on_audit_failed(ctx, from, upto, error);
                return;
            }
        }
        self.go_on_with_audit(ctx);
    }

    fn on_audit_failed(
        &mut self,
        ctx: &mut Context<'_>,
        from: Token,
        upto: Token,
        error: FetchError,
    ) {
        let Some(run) = self.audit.as_mut().and_then(|audit| audit.run.as_mut()) else { return };
        ctx.shared.stats.fetches_failed += 1;
        run.attempt = run.attempt.saturating_add(1);
        let attempt = run.attempt;
        if ctx.config.fetch_attempts_max.is_some_and(|max| attempt >= max) {
            let upto = run.upto;
            self.leave_out(ctx, upto, NotAuditedReason::GaveUp { error });
            self.go_on_with_audit(ctx);
            return;
        }
        run.step = Step::BackingOff;
        let retry_in = ctx.shared.jitter.delay(ctx.config.fetch_retry, attempt);
        ctx.shared.timers.set(TimerKey::Audit(ctx.me), ctx.now + retry_in);
        let source = self.source.clone();
        let warning = Warning::FetchFailed { source, from, upto, attempt, retry_in, error };
        ctx.notify(Event::Warning(warning));
    }

    /// Delivers the rows of a page that were not delivered.
    fn compare(&mut self, ctx: &mut Context<'_>, checked: page::Checked) {
        // It may have been forgotten since the page was asked for.
        self.leave_out_forgotten(ctx);
        let page::Checked { rows, complete, split, .. } = checked;
        let Some(from) = self.audit.as_ref().and_then(|audit| audit.compared) else { return };
        if split && complete > from {
            let (source, from) = (self.source.clone(), complete.before());
            let reason = NotAuditedReason::SplitToken;
            ctx.notify(Event::Warning(Warning::NotAudited {
                source,
                from,
                upto: complete,
                reason,
            }));
        }
        // Where the fetch shows what another writer may not have sent yet, a part must not take the
        // place of the whole.
        let cut = (split && self.traits.shared_fetch).then_some(complete);
        let mut rows = rows.into_iter().filter(|(token, _)| *token <= complete).peekable();
        while let Some((token, row)) = rows.next() {
            let mut group = vec![row];
            while let Some((_, row)) = rows.next_if(|(next, _)| *next == token) {
                group.push(row);
            }
            if cut != Some(token) {
                self.deliver_lost(ctx, token, group);
            }
        }
        let Some(audit) = &mut self.audit else { return };
        audit.compared = audit.compared.max(Some(complete));
        audit.delivered.forget_upto(complete, &mut ctx.shared.stats.audit_rows_now);
    }

    /// Of all the rows of one token, delivers those that were not.
    fn deliver_lost(&mut self, ctx: &mut Context<'_>, token: Token, mut rows: Vec<Row>) {
        if self.audit.as_ref().is_none_or(|audit| audit.compared >= Some(token)) {
            return;
        }
        rows.retain(|row| !self.was_delivered(ctx, token, row));
        if rows.is_empty() {
            return;
        }
        let rows = Rows::from(rows);
        let rows = match self.traits.order {
            Order::Loose => self.without_repeats(ctx, token, rows),
            Order::Rising | Order::Bursts | Order::UnclosedBursts => Some(rows),
        };
        let Some(rows) = rows else { return };
        let mut position = self.position.unwrap_or(Token::START);
        if self.traits.shared_fetch {
            // The writer may not have sent it yet.
            ctx.stream.shared_tokens.insert(token, ctx.config);
            // The audits of other writers see it too. What it takes the place of is forgotten.
            self.remember_for_audit(ctx, token, &rows, position);
            self.leave_out_forgotten(ctx);
        }
        ctx.shared.stats.rows_audited += rows.len() as u64;
        if planted!(ctx.config, AuditMovesPosition) {
            position = token;
        }
        let (source, origin) = (self.source.clone(), Origin::Audit);
        ctx.notify(Event::Rows { source, token, rows, origin, position });
    }

    fn was_delivered(&self, ctx: &Context<'_>, token: Token, row: &Row) -> bool {
        let Some(audit) = &self.audit else { return true };
        let shared = self.traits.shared_fetch;
        let delivered = if shared { &ctx.stream.delivered } else { &audit.delivered };
        #[cfg(feature = "planted-bugs")]
        if planted!(ctx.config, AuditBelievesTokens) {
            return delivered.has_any(token);
        }
        if planted!(ctx.config, AuditRepeatsRows) {
            return false;
        }
        if self.traits.aggregated {
            delivered.has_from(token, row)
        } else {
            delivered.has(token, row)
        }
    }

    /// Nothing can be said of rows of which it is forgotten whether they were delivered.
    fn leave_out_forgotten(&mut self, ctx: &mut Context<'_>) {
        let Some(audit) = &self.audit else { return };
        let Some(run) = &audit.run else { return };
        let shared = self.traits.shared_fetch;
        let delivered = if shared { &ctx.stream.delivered } else { &audit.delivered };
        let floor = delivered.floor().min(run.upto);
        self.leave_out(ctx, floor, NotAuditedReason::NotRemembered);
    }

    /// Goes on at `token` without having compared what lies below, and says so.
    fn leave_out(&mut self, ctx: &mut Context<'_>, token: Token, reason: NotAuditedReason) {
        let Some(audit) = &mut self.audit else { return };
        let Some(from) = audit.compared.filter(|compared| *compared < token) else { return };
        audit.compared = Some(token);
        audit.delivered.forget_upto(token, &mut ctx.shared.stats.audit_rows_now);
        let source = self.source.clone();
        if !planted!(ctx.config, AuditForgetsSilently) {
            let warning = Warning::NotAudited { source, from, upto: token, reason };
            ctx.notify(Event::Warning(warning));
        }
    }

    /// The source is no longer live: the next look is a period after it is.
    pub(super) fn stop_audit(&mut self, ctx: &mut Context<'_>) {
        let Some(audit) = &mut self.audit else { return };
        if audit.run.take().is_some() {
            if let Some(query) = ctx.shared.fetches.audits.leave(ctx.me) {
                ctx.shared.actions.push_back(Action::CancelFetch { query });
            }
            ctx.shared.timers.clear(TimerKey::Audit(ctx.me));
            audit.due = ctx.now + period(ctx);
        }
    }

    /// The tokens start over.
    pub(super) fn reset_audit(&mut self, ctx: &mut Context<'_>) {
        self.stop_audit(ctx);
        let Some(audit) = &mut self.audit else { return };
        audit.compared = None;
        audit.delivered.clear(&mut ctx.shared.stats.audit_rows_now);
        ctx.shared.timers.clear(TimerKey::Audit(ctx.me));
    }
}

/// Time until the next look, moved a little so that sources do not all look at once.
fn period(ctx: &mut Context<'_>) -> std::time::Duration {
    let every = ctx.config.audit_every.unwrap_or_default();
    ctx.shared.jitter.delay(Backoff::new(every, every), 1)
}
