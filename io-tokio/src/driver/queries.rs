//! What is being asked for: missed rows of the others, and pages of our own logs.

use std::{
    collections::BTreeMap,
    future::Future,
    task::{Context, Poll},
};

use synrepl_core::{QueryId, stream::Page};
use tokio::task::{AbortHandle, JoinSet};

/// Queries in flight, one task each. `K` is what each is about.
pub(super) struct Queries<K, E> {
    tasks: JoinSet<Result<Page, E>>,
    about: BTreeMap<tokio::task::Id, (QueryId, K)>,
    aborts: BTreeMap<QueryId, AbortHandle>,
}

/// An answer, or that the one who was asked panicked.
pub(super) struct Answer<K, E> {
    pub(super) query: QueryId,
    pub(super) about: K,
    pub(super) outcome: Result<Result<Page, E>, String>,
}

impl<K, E: Send + 'static> Queries<K, E> {
    pub(super) fn new() -> Self {
        Self { tasks: JoinSet::new(), about: BTreeMap::new(), aborts: BTreeMap::new() }
    }

    pub(super) fn start(
        &mut self,
        query: QueryId,
        about: K,
        answer: impl Future<Output = Result<Page, E>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(answer);
        self.about.insert(task.id(), (query, about));
        self.aborts.insert(query, task);
    }

    pub(super) fn cancel(&mut self, query: QueryId) {
        if let Some(task) = self.aborts.remove(&query) {
            task.abort();
        }
    }

    /// The next answer.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Answer<K, E>> {
        loop {
            // An empty set is never done: new queries come with the next turn.
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
