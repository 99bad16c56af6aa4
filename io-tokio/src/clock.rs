//! The only place that reads a clock.

use std::time::Duration;

use synrepl_core::Timestamp;
use tokio::time::Instant;

/// Stands for times that tokio's clock cannot tell.
const FAR: Duration = Duration::from_secs(86_400 * 365);

/// Maps tokio's time (which a simulator may control) to the core's, from an origin of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The present time. Never falls.
    pub(crate) fn now(self) -> Timestamp {
        Timestamp::ZERO + self.origin.elapsed()
    }

    /// When `at` is on tokio's clock; far away if it cannot be told.
    pub(crate) fn instant(self, at: Timestamp) -> Instant {
        let since = at.saturating_since(Timestamp::ZERO);
        self.origin.checked_add(since).unwrap_or_else(|| instant_after(FAR))
    }
}

/// The instant `after` from now on tokio's clock.
pub(crate) fn instant_after(after: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(after).unwrap_or(now)
}
