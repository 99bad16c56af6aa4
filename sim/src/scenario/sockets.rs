//! The faults that need sockets, added to a scenario for the network level.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::{Happening, Mode, Scenario, Timed};

/// Makes these draws independent of those of the scenario itself.
const SALT: u64 = 0x736f_636b_6574_7321;
/// The sizes of pieces that are drawn: no limit, single bytes, and sizes that cut lines and headers
/// at different places.
const PIECES: [u8; 6] = [0, 1, 3, 7, 40, 200];

impl Scenario {
    /// Adds events of the network level, drawn from the scenario's mode and seed: byte streams come
    /// in pieces in every mode; listeners are slow and logs fail in swarm and storm modes. The
    /// scenario's other events stay. The result is the same wherever the version of this crate is.
    #[must_use]
    pub fn with_sockets(mut self) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ SALT);
        let mut below = |bound: u32| rng.next_u32() % bound;
        let mut byte = |bound: u32| u8::try_from(below(bound.min(256))).unwrap_or(u8::MAX);
        let faults = match self.mode {
            Mode::Calm | Mode::Pattern(_) => [false; 2],
            Mode::Swarm => [byte(2) == 1, byte(2) == 1],
            Mode::Storm => [true; 2],
        };
        let mut added = Vec::new();
        let changes = 1 + byte(4);
        for change in 0..changes {
            let bytes = PIECES[usize::from(byte(6)) % PIECES.len()];
            // The first size holds from the start.
            let at = if change == 0 { 0 } else { byte(256) };
            added.push((at, Happening::Pieces { bytes }));
        }
        for _ in 0..byte(4) {
            let what = Happening::FailReads { writer: byte(4), count: 1 + byte(3) };
            added.extend(faults[0].then_some((byte(256), what)));
        }
        for _ in 0..byte(4) {
            let ms = 100 + u16::from(byte(256)) * 16;
            let what = Happening::SlowAccept { writer: byte(4), ms };
            added.extend(faults[1].then_some((byte(256), what)));
        }
        let end_ms = self.faults_end_ms;
        self.events.extend(added.into_iter().map(|(part, what)| {
            let at_ms = u64::from(end_ms) * u64::from(part) / 256;
            Timed { at_ms: u32::try_from(at_ms).unwrap_or(end_ms), what }
        }));
        self.events.sort_by_key(|event| event.at_ms);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_are_added_and_always_the_same() {
        for seed in 0..50 {
            for mode in [Mode::Calm, Mode::Swarm, Mode::Storm] {
                let plain = Scenario::draw(mode, seed);
                let added = plain.clone().with_sockets();
                assert_eq!(added, plain.clone().with_sockets());
                let mut events = plain.events.iter();
                let mut next = events.next();
                for event in &added.events {
                    if next == Some(event) {
                        next = events.next();
                    }
                }
                assert_eq!(next, None, "all that was there is there, in order");
                assert!(added.events.is_sorted_by_key(|event| event.at_ms));
                let faults = |scenario: &Scenario| {
                    scenario.events.iter().filter(|event| event.what.is_fault()).count()
                };
                if mode == Mode::Calm {
                    assert_eq!(faults(&added), 0);
                }
                assert_eq!(Scenario { events: plain.events.clone(), ..added }, plain);
            }
        }
    }
}
