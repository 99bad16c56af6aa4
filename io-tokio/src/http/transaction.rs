//! The transaction ids of catch-up calls, and the time that each call has. A request enters; its id
//! and time leave. Synapse works on a request once per id, so a request that was not answered keeps
//! its id: the next call waits for the same work, and for longer.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use synrepl_core::stream::{Source, Span};

use crate::{fetch::FetchRequest, limits::Limits, scatter::scattered};

/// The most sources whose last unanswered request is known. More than a deployment has; beyond
/// that a request gets a new id, which costs the server its work once more.
const UNANSWERED_MAX: usize = 1_024;

/// The ids given out, and the requests without an answer.
pub(super) struct Transactions {
    /// Synapse caches responses by the id alone (`docs/protocol.md` 6.1), so ids of two processes
    /// differ by this.
    prefix: u64,
    next: AtomicU64,
    timeout: Duration,
    timeout_max: Duration,
    unanswered: Mutex<BTreeMap<Source, (Span, Transaction)>>,
}

/// One request, through all calls until it is answered.
pub(super) struct Transaction {
    id: String,
    timeout: Duration,
}

impl Transaction {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the time that the present call has.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }
}

impl Transactions {
    /// Makes the ids from `seed`, which no other process of the deployment may have.
    pub(super) fn new(seed: u64, limits: &Limits) -> Self {
        Self {
            prefix: scattered(seed),
            next: AtomicU64::new(0),
            timeout: limits.fetch_timeout,
            timeout_max: limits.fetch_timeout_max.max(limits.fetch_timeout),
            unanswered: Mutex::new(BTreeMap::new()),
        }
    }

    /// Returns the transaction of a request: the one that [`Transactions::keep`] was given for it,
    /// or a new one.
    pub(super) fn begin(&self, request: &FetchRequest) -> Transaction {
        match self.lock().remove(&request.source) {
            Some((span, transaction)) if span == request.span => transaction,
            _ => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let id = format!("{prefix:016x}{number}", prefix = self.prefix);
                Transaction { id, timeout: self.timeout }
            }
        }
    }

    /// Keeps the transaction of a request that was not answered; its next call has twice the time.
    pub(super) fn keep(&self, request: FetchRequest, mut transaction: Transaction) {
        transaction.timeout = transaction.timeout.saturating_mul(2).min(self.timeout_max);
        let mut unanswered = self.lock();
        if unanswered.len() < UNANSWERED_MAX || unanswered.contains_key(&request.source) {
            unanswered.insert(request.source, (request.span, transaction));
        }
    }

    /// Locks the map. No code panics while holding the lock, so a poisoned one guards a whole
    /// value.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Source, (Span, Transaction)>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
