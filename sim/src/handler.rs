//! An application under simulation.

use synrepl_core::{
    Event, Timestamp,
    stream::{Row, Source, Token},
};

use crate::world::Log;

/// What people build on a follower, played by a run at the first follower of its scenario
/// ([`run_with_handler`](crate::run_with_handler)).
///
/// It is given every event in order, late where the scenario makes it slow, and may say at any
/// event that a promise of its own is broken: the run then ends in a
/// [`Failure`](crate::Failure) of [`Promise::Application`](crate::Promise). So it does if it panics,
/// as a test's `assert!` would.
pub trait Handler {
    /// One event. What the writers hold at this moment is in `truth`; an application has no such
    /// thing, so it serves to check what the application would answer to its own users.
    ///
    /// # Errors
    /// What the application got wrong.
    fn on_event(&mut self, now: Timestamp, event: &Event, truth: Truth<'_>) -> Result<(), String>;

    /// The process died and starts again: what was only in memory is gone. Events then resume
    /// behind those that were handled before.
    fn on_restart(&mut self) {}
}

impl<F> Handler for F
where
    F: FnMut(Timestamp, &Event, Truth<'_>) -> Result<(), String>,
{
    fn on_event(&mut self, now: Timestamp, event: &Event, truth: Truth<'_>) -> Result<(), String> {
        self(now, event, truth)
    }
}

/// What every writer has written.
#[derive(Clone, Copy, Debug)]
pub struct Truth<'a> {
    logs: &'a [Log],
}

impl<'a> Truth<'a> {
    pub(crate) const fn new(logs: &'a [Log]) -> Self {
        Self { logs }
    }

    /// The rows that the writer of `source` holds, by token; none for a source that there is not.
    pub fn rows(self, source: &Source) -> impl Iterator<Item = (Token, &'a [Row])> {
        self.logs.iter().filter(move |log| log.source() == source).flat_map(Log::rows)
    }

    /// All sources.
    pub fn sources(self) -> impl Iterator<Item = &'a Source> {
        self.logs.iter().map(Log::source)
    }
}
