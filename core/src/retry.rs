//! Delays between attempts: doubling, capped, with seeded jitter.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Delays that double from `first` to `max`, each with seeded jitter of -25 % to +25 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Backoff {
    /// The first delay.
    pub first: Duration,
    /// The longest delay, before jitter.
    pub max: Duration,
}

impl Backoff {
    /// Creates delays from `first`, doubling up to `max`.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max }
    }
}

/// The only source of chance in the core: a fixed sequence from the seed in
/// [`Config`](crate::Config).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below 1,024. Splitmix64, because it is ten lines and the sequence must
    /// never change.
    const fn draw(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 54) as u32
    }

    /// Returns the delay before attempt `attempt` (1 is the first retry): `first` doubled each time
    /// up to `max`, then moved by up to a quarter either way.
    pub(crate) fn delay(&mut self, backoff: Backoff, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let base = backoff.first.saturating_mul(1 << doublings).min(backoff.max);
        base.saturating_mul(768 + self.draw() / 2) / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_stay_within_a_quarter() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let mut jitter = Jitter::new(7);
        for (attempt, base_ms) in [(1, 1_000), (2, 2_000), (3, 4_000), (4, 5_000), (4_000, 5_000)] {
            for _ in 0..100 {
                let ms = jitter.delay(backoff, attempt).as_millis();
                assert!((base_ms * 3 / 4..=base_ms * 5 / 4).contains(&ms), "{attempt}: {ms}");
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_delays_and_another_seed_others() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let draw = |seed| {
            let mut jitter = Jitter::new(seed);
            (1..20).map(|attempt| jitter.delay(backoff, attempt)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn the_sequence_is_splitmix64_and_never_changes() {
        let mut jitter = Jitter::new(0);
        let drawn: Vec<_> = (0..5).map(|_| jitter.draw()).collect();
        // The upper ten bits of the published sequence of seed 0.
        assert_eq!(drawn, [904, 441, 27, 994, 108]);
    }
}
