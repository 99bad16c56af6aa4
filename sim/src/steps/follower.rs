//! The real follower of a small world: its node, what is under way to it, and its oracle.

use synrepl_core::{
    Action, Config, FetchId, Input, Timestamp, Transport,
    stream::{FetchError, Page, Source, Span, Token},
    wire::Command,
};

use super::member::Member;
use crate::{
    oracle::{Oracle, Promise, Violation},
    world::{Log, Logs},
};

/// Rows of one token.
pub(super) const BATCH_ROWS: u8 = 2;
/// Rows that a page holds at most.
pub(super) const PAGE_ROWS_MAX: u32 = 2;

/// How a fetch is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// With what the log holds now.
    Now,
    /// With what it held when it was asked: the answer was long on its way.
    Stale,
    /// With an error.
    Failed,
}

/// A question for missed rows that was not answered yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Fetch {
    query: FetchId,
    source: Source,
    span: Span,
    /// What the log held when it was asked.
    seen: Page,
    /// No longer wanted; an answer may come all the same.
    cancelled: bool,
}

/// The follower. It never tires, and its application takes each event at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Follower {
    config: Config,
    pub(super) member: Member,
    fetches: Vec<Fetch>,
    oracle: Oracle,
}

/// What the follower says while it handles an input, or the promise that it breaks.
pub(super) type Says = Result<Vec<Command>, Violation>;

impl Follower {
    pub(super) fn new(config: Config) -> Self {
        let oracle = Oracle::new(config.instance.clone(), true, Transport::Bus);
        Self { member: Member::new(config.clone()), config, fetches: Vec::new(), oracle }
    }

    /// Takes what the node wants done before anything has happened.
    pub(super) fn begin(&mut self, logs: &Logs) -> Says {
        let actions = self.member.drain();
        self.act(actions, logs)
    }

    /// Hands an input in, of which `about` is the source.
    pub(super) fn handle(
        &mut self,
        now: Timestamp,
        input: Input,
        about: Option<&Source>,
        logs: &Logs,
    ) -> Says {
        self.oracle.on_input(now, about);
        let actions = self.member.handle(now, input);
        let actions =
            actions.map_err(|misuse| self.violation(Promise::Total, misuse.to_string()))?;
        let says = self.act(actions, logs)?;
        let stats = self.member.node.stats();
        let wanted = self.fetches.iter().filter(|fetch| !fetch.cancelled).count();
        self.oracle.check_settled(&self.config, Some(&stats), wanted)?;
        self.oracle.check_told(&self.member.node.positions())?;
        self.oracle.on_handled();
        Ok(says)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "other actions are for real sockets")]
    fn act(&mut self, actions: Vec<Action>, logs: &Logs) -> Says {
        let mut says = Vec::new();
        for action in actions {
            match action {
                Action::Send { command, .. } => says.push(command),
                Action::Fetch { query, source, span } => {
                    let seen = logs.page(&source, span.from, span.upto, PAGE_ROWS_MAX);
                    self.fetches.push(Fetch { query, source, span, seen, cancelled: false });
                }
                Action::CancelFetch { query } => {
                    let mut fetches = self.fetches.iter_mut();
                    if let Some(fetch) = fetches.find(|fetch| fetch.query == query) {
                        fetch.cancelled = true;
                    }
                }
                Action::Notify(event) => self.oracle.judge(&event, logs)?,
                _ => {}
            }
        }
        Ok(says)
    }

    /// A message reaches it, if there is one.
    pub(super) fn deliver(&mut self, now: Timestamp, logs: &Logs) -> Says {
        match self.member.receive(logs) {
            Some((input, about)) => self.handle(now, input, about.as_ref(), logs),
            None => Ok(Vec::new()),
        }
    }

    /// A fetch is answered.
    pub(super) fn answer(
        &mut self,
        now: Timestamp,
        fetch: usize,
        answer: Answer,
        logs: &Logs,
    ) -> Says {
        let Fetch { query, source, span, seen, .. } = self.fetches.remove(fetch);
        let result = match answer {
            Answer::Now => Ok(logs.page(&source, span.from, span.upto, PAGE_ROWS_MAX)),
            Answer::Stale => Ok(seen),
            Answer::Failed => {
                Err(FetchError::TimedOut { endpoint: "http://w".to_owned(), after_ms: 1 })
            }
        };
        self.handle(now, Input::Fetched { query, result }, Some(&source), logs)
    }

    /// It dies, and starts again from the positions that went with its events.
    pub(super) fn restart(&mut self, logs: &Logs) -> Says {
        let mut config = self.config.clone();
        config.positions = self.oracle.positions();
        self.oracle.on_restart(&config.positions, &[], logs);
        self.member = Member::new(config);
        self.fetches.clear();
        self.begin(logs)
    }

    /// Answers that are not wanted any more do not come.
    pub(super) fn forget_cancelled(&mut self) {
        self.fetches.retain(|fetch| !fetch.cancelled);
    }

    /// For each fetch under way: whether it is still wanted, and whether a stale answer to it
    /// would differ from one of now.
    pub(super) fn fetches(&self, logs: &Logs) -> impl Iterator<Item = (bool, bool)> {
        self.fetches.iter().map(|Fetch { source, span, seen, cancelled, .. }| {
            (!cancelled, logs.page(source, span.from, span.upto, PAGE_ROWS_MAX) != *seen)
        })
    }

    /// Whether messages are on their way to it.
    pub(super) fn has_mail(&self) -> bool {
        !self.member.inbox.is_empty()
    }

    /// How many fetches are under way.
    pub(super) const fn pending(&self) -> usize {
        self.fetches.len()
    }

    /// Every source is live, and has all that its writer has up to this token.
    pub(super) fn check_converged(
        &self,
        logs: &Logs,
        upto: impl Fn(&Log) -> Token,
    ) -> Result<(), Violation> {
        self.oracle.check_converged(logs, |log| Some(upto(log)))
    }

    /// A promise that is not about one source is broken.
    pub(super) fn violation(&self, promise: Promise, what: String) -> Violation {
        self.oracle.violation(promise, None, what)
    }
}
