//! The only place that reads a clock. tokio's instants enter, the core's timestamps leave; these
//! never go back.

use std::time::{Duration, SystemTime};

use synrepl_core::Timestamp;
use tokio::time::Instant;

/// A year, which stands for times that tokio's clock cannot represent.
const FAR: Duration = Duration::from_secs(86_400 * 365);

/// The map from tokio's time (which a simulator may control) to the core's, with an origin of its
/// own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    /// The origin on the system's clock, in milliseconds since the Unix epoch.
    origin_unix_ms: i64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let origin_unix_ms = i64::try_from(unix.as_millis()).unwrap_or(i64::MAX);
        Self { origin: Instant::now(), origin_unix_ms }
    }

    /// Returns the present time, which never falls.
    pub(crate) fn now(self) -> Timestamp {
        Timestamp::ZERO + self.origin.elapsed()
    }

    /// Returns the present time in milliseconds since the Unix epoch, by the system's clock at the
    /// start and tokio's since then.
    pub(crate) fn unix_ms(self) -> i64 {
        let since = i64::try_from(self.origin.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.origin_unix_ms.saturating_add(since)
    }

    /// Returns the instant of `at` on tokio's clock; a year from now if that cannot represent it.
    pub(crate) fn instant(self, at: Timestamp) -> Instant {
        let since = at.saturating_since(Timestamp::ZERO);
        self.origin.checked_add(since).unwrap_or_else(|| instant_after(FAR))
    }
}

/// Returns the instant `after` from now on tokio's clock; now, if that cannot represent it.
pub(crate) fn instant_after(after: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(after).unwrap_or(now)
}
