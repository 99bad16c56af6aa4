//! The interface of an application under simulation: it receives the events of the first follower
//! and reports promises of its own that are broken.

use synrepl_core::{
    Event, Timestamp,
    stream::{Row, Source, Token},
};

use crate::world::Log;

/// An application of a follower. A run gives it the events of the first follower of the scenario
/// ([`run_with_handler`](crate::run_with_handler)).
///
/// It receives every event in order, late where the scenario makes it slow, and may report at any
/// event that a promise of its own is broken: the run then ends in a [`Failure`](crate::Failure) of
/// [`Promise::Application`](crate::Promise). A panic, such as that of an `assert!`, counts as such
/// a report.
pub trait Handler {
    /// Handles one event. `truth` is what the writers hold at this moment: no real application has
    /// it, so use it only to check what the application would answer to its own users.
    ///
    /// # Errors
    /// A text that says which promise of the application is broken.
    fn on_event(&mut self, now: Timestamp, event: &Event, truth: Truth<'_>) -> Result<(), String>;

    /// Handles the restart of the process, which was killed: what was only in memory is gone.
    /// Events then resume behind those that were handled before.
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

/// The logs of all writers, as they are at the time of an event.
#[derive(Clone, Copy, Debug)]
pub struct Truth<'a> {
    logs: &'a [Log],
}

impl<'a> Truth<'a> {
    pub(crate) const fn new(logs: &'a [Log]) -> Self {
        Self { logs }
    }

    /// Returns the rows that the writer of `source` holds, by token; none for an unknown source.
    pub fn rows(self, source: &Source) -> impl Iterator<Item = (Token, &'a [Row])> {
        self.logs.iter().filter(move |log| log.source() == source).flat_map(Log::rows)
    }

    /// Returns all sources of the scenario.
    pub fn sources(self) -> impl Iterator<Item = &'a Source> {
        self.logs.iter().map(Log::source)
    }
}
