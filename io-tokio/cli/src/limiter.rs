//! A limit on messages of one kind, so that a flood of them does not fill stderr. A kind and a time
//! enter; the decision whether to print leaves, and later the number of messages held back.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// The most messages of one kind that are printed in one window.
pub(super) const SAID_MAX: u32 = 20;
/// The length of a window, which starts with its first message.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// Admits the first [`SAID_MAX`] messages of a kind in each [`WINDOW`], and counts the others.
/// Holds one window per kind; `K` is an enum, so there are few.
#[derive(Debug)]
pub(super) struct Limiter<K> {
    windows: BTreeMap<K, Window>,
}

#[derive(Debug)]
struct Window {
    start: Instant,
    said: u32,
    held_back: u64,
}

impl<K: Copy + Ord> Limiter<K> {
    pub(super) const fn new() -> Self {
        Self { windows: BTreeMap::new() }
    }

    /// Whether a message of this kind may be printed now. If not, it is counted.
    ///
    /// Call [`Limiter::ended`] first: a window that is over is not replaced here while it still has
    /// a count to report.
    pub(super) fn admits(&mut self, kind: K, now: Instant) -> bool {
        let window =
            self.windows.entry(kind).or_insert(Window { start: now, said: 0, held_back: 0 });
        if window.held_back == 0 && now.saturating_duration_since(window.start) >= WINDOW {
            (window.start, window.said) = (now, 0);
        }
        if window.said < SAID_MAX {
            window.said += 1;
            return true;
        }
        window.held_back += 1;
        false
    }

    /// Removes the windows that are over, and returns the kinds of which messages were held back,
    /// with the number of these.
    pub(super) fn ended(&mut self, now: Instant) -> Vec<(K, u64)> {
        self.take(|window| now.saturating_duration_since(window.start) >= WINDOW)
    }

    /// Removes all windows, at the end of the program, and returns the same.
    pub(super) fn finish(&mut self) -> Vec<(K, u64)> {
        self.take(|_| true)
    }

    fn take(&mut self, over: impl Fn(&Window) -> bool) -> Vec<(K, u64)> {
        let mut counts = Vec::new();
        self.windows.retain(|kind, window| {
            let over = over(window);
            if over && window.held_back > 0 {
                counts.push((*kind, window.held_back));
            }
            !over
        });
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flood_is_cut_after_twenty_and_counted() {
        let mut limiter = Limiter::new();
        let now = Instant::now();
        let said = (0..1_000).filter(|_| limiter.admits('a', now)).count();
        assert_eq!(said, 20);
        assert_eq!(limiter.ended(now + WINDOW / 2), []);
        assert_eq!(limiter.ended(now + WINDOW), [('a', 980)]);
        assert_eq!(limiter.ended(now + WINDOW), []);
    }

    #[tokio::test]
    async fn kinds_do_not_take_each_others_share() {
        let mut limiter = Limiter::new();
        let now = Instant::now();
        for _ in 0..100 {
            limiter.admits('a', now);
        }
        assert!(limiter.admits('b', now));
        assert_eq!(limiter.finish(), [('a', 80)]);
    }

    #[tokio::test]
    async fn a_new_window_opens_after_a_minute() {
        let mut limiter = Limiter::new();
        let now = Instant::now();
        for _ in 0..SAID_MAX {
            assert!(limiter.admits('a', now));
        }
        assert!(limiter.admits('a', now + WINDOW));
    }

    #[tokio::test]
    async fn a_count_is_reported_even_if_the_flood_goes_on() {
        let mut limiter = Limiter::new();
        let now = Instant::now();
        for _ in 0..=SAID_MAX {
            limiter.admits('a', now);
        }
        let later = now + WINDOW;
        assert!(!limiter.admits('a', later));
        assert_eq!(limiter.ended(later), [('a', 2)]);
        assert!(limiter.admits('a', later));
    }
}
