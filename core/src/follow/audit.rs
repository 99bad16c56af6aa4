//! The audit: what was delivered is compared from time to time with what the fetch source has
//! (`protocol.md` H5, X1). A writer's RDATA does not say what came before it, so one that gets lost
//! leaves no trace if another one follows.
//!
//! What enters: the rows that are delivered, and pages over the same tokens. What leaves: rows that
//! were not delivered (F2), as they are found, in order, under the position that stands: it does
//! not move. What is compared lies at or below the position, and at or below the position one
//! period before, so that nothing which is merely late is taken for lost.
//!
//! An audit is only of a live source. All audits together have one fetch in flight, which gives way
//! to any catch-up.

use std::time::Duration;

use super::{
    Follower,
    page::{Checked, by_token},
    pager::{FetchOutcome, PageResult, Pager},
};
use crate::{
    action::Action,
    config::{Backoff, Config},
    env::Env,
    event::{Event, NotAuditedReason, Origin, Warning},
    memory::Delivered,
    stream::{Order, Row, Rows, Span, StreamTraits, Token},
    time::Timestamp,
    timer::TimerKey,
};

/// The state of the audit of one source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Audit {
    /// The token up to which nothing is left to compare: rows were compared, or were fetched before
    /// anything was received live; `None` until then.
    compared: Option<Token>,
    /// The position at the last look: the next one compares up to there.
    settled: Token,
    /// The time at which the next look is due.
    due: Timestamp,
    /// The rows that were delivered above `compared`; empty where the sources of a stream share a
    /// memory.
    delivered: Delivered,
    run: Option<Run>,
}

/// One comparison under way: of the rows above `compared`, up to `upto`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Run {
    upto: Token,
    pager: Pager,
}

impl Audit {
    /// Creates the audit of a source; `None` unless the application wants it. Also `None` for
    /// bursts that nothing closes: on direct TCP, where these are, nothing gets lost, and a row of
    /// theirs may be arbitrarily late.
    pub(super) fn new(traits: StreamTraits, config: &Config) -> Option<Box<Self>> {
        config.audit.audit_every.filter(|_| traits.order != Order::UnclosedBursts)?;
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
    /// Remembers rows that are being delivered with this position.
    #[cold]
    pub(super) fn remember_for_audit(
        &mut self,
        env: &mut Env,
        token: Token,
        rows: &Rows,
        position: Token,
    ) {
        let shared = self.traits.shared_fetch;
        let Some(audit) = &mut self.audit else { return };
        // Rows that are fetched before the source is first live are never compared.
        if !shared && audit.compared.is_none() && token <= position {
            return;
        }
        let delivered = if shared {
            &mut env.streams[self.stream.as_usize()].delivered
        } else {
            &mut audit.delivered
        };
        let total = &mut env.stats.audit_rows_now;
        for row in rows.iter() {
            delivered.insert(token, row, &env.config, total);
        }
    }

    /// Begins the audit: rows above the position are received live from here on, and are to be
    /// compared.
    pub(super) fn begin_audit(&mut self, env: &mut Env) {
        let position = self.position.unwrap_or(Token::START);
        let Some(audit) = self.audit.as_mut().filter(|audit| audit.compared.is_none()) else {
            return;
        };
        (audit.compared, audit.settled) = (Some(position), position);
        audit.delivered.forget_upto(position, &mut env.stats.audit_rows_now);
        audit.due = env.now + period(env);
    }

    /// Sets the timer of the next look, as the source has gone live.
    pub(super) fn start_audit(&mut self, env: &mut Env) {
        self.begin_audit(env);
        let Some(audit) = &self.audit else { return };
        let timer = TimerKey::Audit(self.index);
        if !env.timers.is_set(timer) {
            env.timers.set(timer, audit.due.max(env.now));
        }
    }

    /// Handles the timer: begins a look, or makes a failed fetch again.
    pub(crate) fn on_audit_due(&mut self, env: &mut Env) {
        let position = self.position.unwrap_or(Token::START);
        let is_live = self.is_live();
        let Some(audit) = &mut self.audit else { return };
        if env.streams[self.stream.as_usize()].written_here && self.traits.shared_fetch {
            // The fetch would return our own rows as well, which would pass for lost ones.
            self.audit = None;
            return;
        }
        match &mut audit.run {
            Some(run) => run.pager.queue(),
            // The timer is set again once the source is live.
            None if !is_live => return,
            None => {
                let upto = std::mem::replace(&mut audit.settled, position);
                audit.run = Some(Run { upto, pager: Pager::new() });
                let lowest = upto.get().saturating_sub(env.config.audit.audit_tokens_max.into());
                self.leave_out(env, Token::new(lowest), NotAuditedReason::TooManyTokens);
            }
        }
        self.continue_audit(env);
    }

    /// Queues for the next page, or ends the look.
    fn continue_audit(&mut self, env: &mut Env) {
        let Some(audit) = &mut self.audit else { return };
        let Some(run) = &mut audit.run else { return };
        if audit.compared.is_none_or(|compared| compared < run.upto) {
            run.pager.queue();
            env.queries.audits.enqueue(self.index);
            return;
        }
        audit.run = None;
        audit.due = env.now + period(env);
        env.timers.set(TimerKey::Audit(self.index), audit.due);
    }

    /// Requests the next page: no catch-up is queued, and this source is next.
    pub(crate) fn on_audit_slot(&mut self, env: &mut Env) {
        // The rows of another log would pass for lost ones.
        if !self.is_live() || self.has_other_log() {
            self.stop_audit(env);
            return;
        }
        self.leave_out_forgotten(env);
        let Some(audit) = &mut self.audit else { return };
        let (Some(run), Some(from)) = (&mut audit.run, audit.compared) else { return };
        if run.pager.is_backing_off() {
            return;
        }
        if from >= run.upto {
            self.continue_audit(env);
            return;
        }
        let span = run.pager.next_span(from, run.upto, self.traits, &env.config);
        let query = env.queries.issue_audit(self.index);
        run.pager.on_requested(query, span);
        env.stats.fetches += 1;
        let source = self.source.clone();
        env.act(Action::Fetch { query, source, span });
    }

    /// Handles the answer to the fetch in flight of the audit.
    pub(crate) fn on_audit_fetched(&mut self, env: &mut Env, outcome: FetchOutcome) {
        let Some(run) = self.audit.as_mut().and_then(|audit| audit.run.as_mut()) else { return };
        let Some((_, span)) = run.pager.in_flight() else { return };
        let upto = run.upto;
        match run.pager.on_fetched(span, outcome, self.traits) {
            PageResult::Page(checked) => self.compare(env, checked),
            PageResult::Narrower => {}
            PageResult::NoEndpoint => self.leave_out(env, upto, NotAuditedReason::NoEndpoint),
            PageResult::Unknown(error) => {
                self.leave_out(env, upto, NotAuditedReason::GaveUp { error });
            }
            PageResult::Failed(error) => {
                let timer = TimerKey::Audit(self.index);
                match run.pager.on_failed(env, &self.source, timer, span, error) {
                    // The timer is set for another attempt.
                    None => return,
                    Some(error) => self.leave_out(env, upto, NotAuditedReason::GaveUp { error }),
                }
            }
        }
        self.continue_audit(env);
    }

    /// Delivers the rows of a page that were not delivered before.
    fn compare(&mut self, env: &mut Env, checked: Checked) {
        // What was delivered may have been forgotten since the page was requested.
        self.leave_out_forgotten(env);
        let Checked { rows, complete, split, .. } = checked;
        let Some(from) = self.audit.as_ref().and_then(|audit| audit.compared) else { return };
        if split && complete > from {
            let (source, from) = (self.source.clone(), complete.before());
            let reason = NotAuditedReason::SplitToken;
            env.notify(Event::Warning(Warning::NotAudited {
                source,
                span: Span { from, upto: complete },
                reason,
            }));
        }
        // The fetch may show rows that their writer has not sent yet: a part of a token that is
        // delivered now would suppress the whole later.
        let cut = (split && self.traits.shared_fetch).then_some(complete);
        for (token, rows) in by_token(rows) {
            if cut != Some(token) && token <= complete {
                self.deliver_lost(env, token, &rows);
            }
        }
        let Some(audit) = &mut self.audit else { return };
        audit.compared = audit.compared.max(Some(complete));
        audit.delivered.forget_upto(complete, &mut env.stats.audit_rows_now);
    }

    /// Delivers those rows of one token that were not delivered before; `rows` are all that the
    /// page has.
    fn deliver_lost(&mut self, env: &mut Env, token: Token, rows: &Rows) {
        if self.audit.as_ref().is_none_or(|audit| audit.compared >= Some(token)) {
            return;
        }
        let is_lost = |row: &&Row| !self.was_delivered(env, token, row);
        let Some(rows) = Rows::new(rows.iter().filter(is_lost).cloned().collect()) else { return };
        let rows = match self.traits.order {
            Order::Loose => self.new_of_page(env, token, rows),
            Order::Rising | Order::Bursts | Order::UnclosedBursts => Some(rows),
        };
        let Some(rows) = rows else { return };
        let position = self.position.unwrap_or(Token::START);
        if self.traits.shared_fetch {
            // Their writer may send them yet, and they must not be delivered twice.
            env.streams[self.stream.as_usize()].shared_tokens.insert(token, &env.config);
            // The audits of other writers find them too. Remembering them may push older rows out
            // of the memory.
            self.remember_for_audit(env, token, &rows, position);
            self.leave_out_forgotten(env);
        }
        env.stats.rows_audited += rows.len() as u64;
        self.note_row(env, token);
        let (source, origin) = (self.source.clone(), Origin::Audit);
        env.notify(Event::Rows { source, token, rows, origin, position });
    }

    fn was_delivered(&self, env: &Env, token: Token, row: &Row) -> bool {
        let Some(audit) = &self.audit else { return true };
        let shared = self.traits.shared_fetch;
        let delivered =
            if shared { &env.streams[self.stream.as_usize()].delivered } else { &audit.delivered };
        if self.traits.aggregated {
            delivered.has_from(token, row)
        } else {
            delivered.has(token, row)
        }
    }

    /// Leaves out the tokens of which it is forgotten what was delivered.
    fn leave_out_forgotten(&mut self, env: &mut Env) {
        let Some(audit) = &self.audit else { return };
        let Some(run) = &audit.run else { return };
        let shared = self.traits.shared_fetch;
        let delivered =
            if shared { &env.streams[self.stream.as_usize()].delivered } else { &audit.delivered };
        let floor = delivered.floor().min(run.upto);
        self.leave_out(env, floor, NotAuditedReason::NotRemembered);
    }

    /// Goes on above `token` without having compared the rows up to it, and warns of that.
    fn leave_out(&mut self, env: &mut Env, token: Token, reason: NotAuditedReason) {
        let Some(audit) = &mut self.audit else { return };
        let Some(from) = audit.compared.filter(|compared| *compared < token) else { return };
        audit.compared = Some(token);
        audit.delivered.forget_upto(token, &mut env.stats.audit_rows_now);
        let source = self.source.clone();
        let warning = Warning::NotAudited { source, span: Span { from, upto: token }, reason };
        env.notify(Event::Warning(warning));
    }

    /// Ends the look under way, as the source is no longer live. It is made once the source is live
    /// again, as far as it was to go: a source that often catches up is audited all the same.
    pub(super) fn stop_audit(&mut self, env: &mut Env) {
        let Some(audit) = &mut self.audit else { return };
        if let Some(run) = audit.run.take() {
            if let Some(query) = env.queries.audits.leave(self.index) {
                env.act(Action::CancelFetch { query });
            }
            env.timers.clear(TimerKey::Audit(self.index));
            (audit.settled, audit.due) = (run.upto, env.now);
        }
    }

    /// Forgets everything, as the tokens start over.
    pub(super) fn reset_audit(&mut self, env: &mut Env) {
        self.stop_audit(env);
        let Some(audit) = &mut self.audit else { return };
        audit.compared = None;
        audit.delivered.clear(&mut env.stats.audit_rows_now);
        env.timers.clear(TimerKey::Audit(self.index));
    }
}

/// Returns the time until the next look, moved a little so that sources do not all look at once.
fn period(env: &mut Env) -> Duration {
    let every = env.config.audit.audit_every.unwrap_or_default();
    env.jitter.delay(Backoff::new(every, every), 1)
}
