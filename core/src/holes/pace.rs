//! How often the holes of one stream are looked into, and how many tokens at once.

use std::time::Duration;

use crate::{config::HolesConfig, stream::Span, time::Timestamp};

/// The pace of the looks of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Pace {
    /// The time of the last look.
    last_at: Option<Timestamp>,
    /// The time before which a look that failed is not made again.
    retry_at: Timestamp,
    /// The number of looks in a row after which tokens were left without a row.
    empty: u32,
    /// The number of failures in a row.
    failures: u32,
    /// The most tokens that are requested at once, if an answer showed that they must be fewer.
    window: Option<u32>,
}

impl Pace {
    /// Returns the time of the next look, if there is a hole.
    pub(super) fn next_at(&self, config: &HolesConfig) -> Timestamp {
        let every = config.hole_look_every;
        let pause = every.first.saturating_mul(1 << self.empty.min(16)).min(every.max);
        self.last_at.map_or(self.retry_at, |last| (last + pause).max(self.retry_at))
    }

    /// Returns how much of a stream's holes is natural, for as far as that is known.
    pub(super) const fn emptiness(&self) -> u32 {
        self.empty
    }

    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) const fn window(&self) -> Option<u32> {
        self.window
    }

    pub(super) const fn on_asked(&mut self, now: Timestamp) {
        self.last_at = Some(now);
    }

    /// Notes an answer that could be used.
    pub(super) fn on_answered(&mut self) {
        self.failures = 0;
        self.window = self.window.and_then(|window| window.checked_mul(2));
    }

    /// Notes that rows were found: there may be more.
    pub(super) const fn on_found(&mut self) {
        self.empty = 0;
    }

    /// Notes that tokens are left of which no writer has a row.
    pub(super) const fn on_empty(&mut self) {
        self.empty = self.empty.saturating_add(1);
    }

    /// Notes that tokens of which no writer had a row have been passed by one more.
    pub(super) const fn on_not_empty(&mut self) {
        self.empty = self.empty.saturating_sub(1);
    }

    /// Notes a failure; returns the number of failures in a row.
    pub(super) const fn on_failed(&mut self) -> u32 {
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    pub(super) fn put_off(&mut self, now: Timestamp, delay: Duration) {
        self.retry_at = now + delay;
    }

    /// Notes that an answer for this span could not be used, as it was too large.
    pub(super) fn narrow(&mut self, span: Span) {
        let tokens = u32::try_from(span.len()).unwrap_or(u32::MAX);
        self.window = Some((tokens / 2).max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_while_nothing_is_found_up_to_its_limit_and_no_further() {
        let config = HolesConfig::default();
        let mut pace = Pace::default();
        assert_eq!(pace.next_at(&config), Timestamp::ZERO);
        pace.on_asked(Timestamp::ZERO);
        let seconds =
            |pace: &Pace| pace.next_at(&config).saturating_since(Timestamp::ZERO).as_secs();
        let mut seen = Vec::new();
        for _ in 0..8 {
            seen.push(seconds(&pace));
            pace.on_empty();
        }
        assert_eq!(seen, [5, 10, 20, 40, 80, 160, 300, 300]);
        pace.on_found();
        assert_eq!(seconds(&pace), 5);
    }
}
