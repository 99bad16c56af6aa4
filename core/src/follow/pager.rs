//! Requests for the rows of a span, page by page: how many tokens at once, what an answer is good
//! for, when to try again. Catch-up and audit share it.
//!
//! What enters: the answers to fetches. What leaves: pages that may be applied, or the failure.
//! Keeps F2 and F7: a request that failed is made again.

use std::time::Duration;

use super::{
    page::{self, Checked, Judgement},
    window::Window,
};
use crate::{
    config::Config,
    env::Env,
    event::{Event, Warning},
    ids::{FetchId, ReadId},
    inband::Answer,
    stream::{FetchError, Page, Source, Span, StreamTraits, Token},
    timer::TimerKey,
};

/// The answer to a fetch.
pub(crate) type FetchOutcome = Result<Page, FetchError>;

/// The state of the requests for one span.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pager {
    step: Step,
    /// The number of failures in a row.
    attempt: u32,
    window: Window,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// The next page is to be requested.
    Queued,
    InFlight {
        fetch: FetchId,
        span: Span,
    },
    /// The page is here, and our own log is read for the rows in it that are ours.
    Screening {
        read: ReadId,
        screened: Box<Screened>,
    },
    /// The answer is coming in over the connection (oldest dialect).
    InBand(Box<Answer>),
    /// The last request failed; the next one is made when a timer ends.
    BackingOff,
}

/// A page whose rows may be our own, as far as our own log was read for that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Screened {
    /// The tokens that were requested.
    pub(super) span: Span,
    pub(super) page: Checked,
    /// Our rows up to here are out of it.
    pub(super) seen: Token,
    /// The token of its last row.
    pub(super) upto: Token,
}

/// What an answer is good for.
pub(super) enum PageResult {
    /// The page may be applied.
    Page(Checked),
    /// Nothing of the page can be used; fewer tokens are to be requested at once.
    Narrower,
    /// No address is known to fetch from.
    NoEndpoint,
    /// Who was asked does not know the stream, and will not at another attempt.
    Unknown(FetchError),
    /// The request failed, or its page breaks the rules.
    Failed(FetchError),
}

impl Pager {
    pub(super) const fn new() -> Self {
        Self { step: Step::Queued, attempt: 0, window: Window::WHOLE }
    }

    /// Notes that the next page is to be requested.
    pub(super) fn queue(&mut self) {
        self.step = Step::Queued;
    }

    /// Notes that the next page is to be requested when a timer ends.
    pub(super) fn back_off(&mut self) {
        self.step = Step::BackingOff;
    }

    pub(super) fn is_queued(&self) -> bool {
        self.step == Step::Queued
    }

    pub(super) fn is_backing_off(&self) -> bool {
        self.step == Step::BackingOff
    }

    /// Returns what to request next, to go on from `from` towards `target`.
    pub(super) fn next_span(
        &self,
        from: Token,
        target: Token,
        traits: StreamTraits,
        config: &Config,
    ) -> Span {
        Span::new(from, self.window.end(from, target, traits, config))
    }

    /// Notes that the page of `span` was requested.
    pub(super) fn on_requested(&mut self, fetch: FetchId, span: Span) {
        self.step = Step::InFlight { fetch, span };
    }

    /// Returns the fetch in flight, and the span that it requested.
    pub(super) const fn in_flight(&self) -> Option<(FetchId, Span)> {
        match self.step {
            Step::InFlight { fetch, span } => Some((fetch, span)),
            Step::Queued | Step::Screening { .. } | Step::InBand(_) | Step::BackingOff => None,
        }
    }

    /// Notes that our own log is read for the rows of a page that are ours.
    pub(super) fn on_screening(&mut self, read: ReadId, screened: Screened) {
        self.step = Step::Screening { read, screened: Box::new(screened) };
    }

    /// Returns the read of our own log that a page waits for.
    pub(super) const fn screening(&self) -> Option<ReadId> {
        match self.step {
            Step::Screening { read, .. } => Some(read),
            Step::Queued | Step::InFlight { .. } | Step::InBand(_) | Step::BackingOff => None,
        }
    }

    /// Takes the page that waited for our own log; the next page is then to be requested.
    pub(super) fn take_screened(&mut self) -> Option<Screened> {
        match std::mem::replace(&mut self.step, Step::Queued) {
            Step::Screening { screened, .. } => Some(*screened),
            step @ (Step::Queued | Step::InFlight { .. } | Step::InBand(_) | Step::BackingOff) => {
                self.step = step;
                None
            }
        }
    }

    /// Notes that the rows above `from` were requested over the connection.
    pub(super) fn on_requested_in_band(&mut self, from: Token) {
        self.step = Step::InBand(Box::new(Answer::new(from)));
    }

    /// Returns the answer that is coming in over the connection.
    pub(super) fn answer_mut(&mut self) -> Option<&mut Answer> {
        match &mut self.step {
            Step::InBand(answer) => Some(answer),
            Step::Queued | Step::InFlight { .. } | Step::Screening { .. } | Step::BackingOff => {
                None
            }
        }
    }

    /// Takes the answer that was coming in over the connection; the next page is then to be
    /// requested.
    pub(super) fn take_answer(&mut self) -> Option<Box<Answer>> {
        match std::mem::replace(&mut self.step, Step::Queued) {
            Step::InBand(answer) => Some(answer),
            step @ (Step::Queued
            | Step::InFlight { .. }
            | Step::Screening { .. }
            | Step::BackingOff) => {
                self.step = step;
                None
            }
        }
    }

    /// Judges the answer to the request of `span`.
    pub(super) fn on_fetched(
        &mut self,
        span: Span,
        outcome: FetchOutcome,
        traits: StreamTraits,
    ) -> PageResult {
        match outcome {
            Ok(page) => match page::judge(page, span, traits) {
                Judgement::Apply(checked) => {
                    self.on_success();
                    self.window.widen();
                    PageResult::Page(checked)
                }
                Judgement::Narrow => self.narrow(span),
                Judgement::Unusable(message) => {
                    PageResult::Failed(FetchError::Unusable { message })
                }
            },
            Err(FetchError::NoEndpoint { .. }) => PageResult::NoEndpoint,
            Err(error) if error.is_unknown_stream() => PageResult::Unknown(error),
            Err(FetchError::TooLarge { .. }) if span.len() > 1 => self.narrow(span),
            Err(error) => PageResult::Failed(error),
        }
    }

    fn narrow(&mut self, span: Span) -> PageResult {
        self.window.narrow(span);
        PageResult::Narrower
    }

    /// Notes that an answer could be used: failures are counted anew.
    pub(super) const fn on_success(&mut self) {
        self.attempt = 0;
    }

    /// Handles the failure of a request of `span`: a warning says so, and `timer` is set for the
    /// next attempt. Returns the error instead if
    /// [`fetch_attempts_max`](crate::CatchUpConfig::fetch_attempts_max) allows no further attempt.
    pub(super) fn on_failed(
        &mut self,
        env: &mut Env,
        source: &Source,
        timer: TimerKey,
        span: Span,
        error: FetchError,
    ) -> Option<FetchError> {
        env.stats.fetches_failed += 1;
        self.attempt = self.attempt.saturating_add(1);
        let attempt = self.attempt;
        let gives_up = env.config.catch_up.fetch_attempts_max.is_some_and(|max| attempt >= max);
        if gives_up {
            return Some(error);
        }
        self.step = Step::BackingOff;
        let retry_in: Duration = env.jitter.delay(env.config.catch_up.fetch_retry, attempt);
        env.timers.set(timer, env.now + retry_in);
        let source = source.clone();
        let warning = Warning::FetchFailed { source, span, attempt, retry_in, error };
        env.notify(Event::Warning(warning));
        None
    }
}
