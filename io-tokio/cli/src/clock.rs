//! The time of day in UTC, for lines that people read.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// A time of day in UTC. Displays as `HH:MM:SS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeOfDay {
    seconds: u64,
}

impl TimeOfDay {
    /// The present time of day; midnight if the clock stands before 1970.
    #[expect(clippy::disallowed_methods, reason = "shown to people; nothing is decided by it")]
    pub(super) fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self::at(since_epoch.unwrap_or_default())
    }

    /// The time of day at this time since the Unix epoch.
    pub(super) const fn at(since_epoch: Duration) -> Self {
        Self { seconds: since_epoch.as_secs() % 86_400 }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds } = self;
        write!(f, "{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_is_utc() {
        let at = |seconds| TimeOfDay::at(Duration::from_secs(seconds)).to_string();
        assert_eq!(at(0), "00:00:00");
        assert_eq!(at(1_700_000_000), "22:13:20");
        assert_eq!(at(86_399), "23:59:59");
    }
}
