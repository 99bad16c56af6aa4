//! The queries in flight: fetches of missed rows, and reads of own logs. Futures enter, one answer
//! a query leaves, in the order in which they end; a cancelled query may leave none.

use std::{
    collections::BTreeMap,
    future::Future,
    task::{Context, Poll},
};

use synrepl_core::stream::Page;
use tokio::task::{AbortHandle, JoinSet};

/// The queries in flight, one task each. `I` is the type of their ids, `K` what is kept about each.
pub(super) struct Queries<I, K, E> {
    tasks: JoinSet<Result<Page, E>>,
    about: BTreeMap<tokio::task::Id, (I, K)>,
    aborts: BTreeMap<I, AbortHandle>,
}

/// The answer to a query; `outcome` is an error if its future panicked.
pub(super) struct Answer<I, K, E> {
    pub(super) query: I,
    pub(super) about: K,
    pub(super) outcome: Result<Result<Page, E>, String>,
}

impl<I: Copy + Ord, K, E: Send + 'static> Queries<I, K, E> {
    pub(super) fn new() -> Self {
        Self { tasks: JoinSet::new(), about: BTreeMap::new(), aborts: BTreeMap::new() }
    }

    pub(super) fn start(
        &mut self,
        query: I,
        about: K,
        answer: impl Future<Output = Result<Page, E>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(answer);
        self.about.insert(task.id(), (query, about));
        self.aborts.insert(query, task);
    }

    pub(super) fn cancel(&mut self, query: I) {
        if let Some(task) = self.aborts.remove(&query) {
            task.abort();
        }
    }

    /// Waits for the next answer.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Answer<I, K, E>> {
        loop {
            // An empty set is never ready: new queries come with the next turn.
            let Some(done) = std::task::ready!(self.tasks.poll_join_next_with_id(cx)) else {
                return Poll::Pending;
            };
            let (task, outcome) = match done {
                Ok((task, result)) => (task, Ok(result)),
                Err(error) if error.is_cancelled() => {
                    self.about.remove(&error.id());
                    continue;
                }
                Err(error) => (error.id(), Err(format!("it panicked: {error}"))),
            };
            let Some((query, about)) = self.about.remove(&task) else { continue };
            self.aborts.remove(&query);
            return Poll::Ready(Answer { query, about, outcome });
        }
    }
}
