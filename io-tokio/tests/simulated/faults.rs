//! The faults of a run, and their times.

use std::{collections::VecDeque, time::Duration};

use turmoil::Sim;

use super::chance::Chance;

/// The time at which the last fault is over.
pub(super) const OVER: Duration = Duration::from_secs(4 + 14 * SLOTS);

const SLOTS: u64 = 7;

/// One change of the network or a host.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Messages between the two hosts are held back until the release.
    Hold(&'static str, &'static str),
    Release(&'static str, &'static str),
    /// Messages between the two hosts are lost; open connections never recover from that.
    Partition(&'static str, &'static str),
    /// Messages from the first host to the second are lost.
    PartitionOneWay(&'static str, &'static str),
    Repair(&'static str, &'static str),
    Crash(&'static str),
    Bounce(&'static str),
}

/// All faults of a run, each kind once, in an order and at times that the seed decides.
#[derive(Debug)]
pub(super) struct Faults(VecDeque<(Duration, Step)>);

impl Faults {
    pub(super) fn new(chance: &mut Chance) -> Self {
        // Times are in seconds after the beginning of the slot. A slot is long enough to recover
        // in.
        let mut kinds: Vec<Vec<(u64, Step)>> = vec![
            vec![(0, Step::Hold("follower", "redis")), (2, Step::Release("follower", "redis"))],
            vec![(0, Step::Partition("follower", "redis")), (4, Step::Repair("follower", "redis"))],
            vec![
                (0, Step::PartitionOneWay("redis", "follower")),
                (4, Step::Repair("follower", "redis")),
            ],
            vec![(0, Step::Crash("redis")), (5, Step::Bounce("redis"))],
            vec![
                // The follower has to fetch from p1, which it cannot reach.
                (0, Step::Partition("follower", "p1")),
                (0, Step::Crash("redis")),
                (1, Step::Bounce("redis")),
                (9, Step::Repair("follower", "p1")),
            ],
            vec![(0, Step::Partition("p2", "redis")), (4, Step::Repair("p2", "redis"))],
            vec![(0, Step::Crash("p2")), (3, Step::Bounce("p2"))],
        ];
        assert_eq!(kinds.len() as u64, SLOTS);
        let mut steps = VecDeque::new();
        for slot in 0..SLOTS {
            let chosen = usize::try_from(chance.between(slot, SLOTS - 1)).unwrap();
            let slot_index = usize::try_from(slot).unwrap();
            kinds.swap(slot_index, chosen);
            let begin = Duration::from_millis((4 + 14 * slot) * 1_000 + chance.between(0, 2_000));
            for &(after, step) in &kinds[slot_index] {
                steps.push_back((begin + Duration::from_secs(after), step));
            }
        }
        Self(steps)
    }

    /// Applies the steps that are due.
    pub(super) fn apply(&mut self, sim: &mut Sim<'_>) {
        while let Some((_, step)) = self.0.pop_front_if(|(at, _)| *at <= sim.elapsed()) {
            match step {
                Step::Hold(a, b) => sim.hold(a, b),
                Step::Release(a, b) => sim.release(a, b),
                Step::Partition(a, b) => sim.partition(a, b),
                Step::PartitionOneWay(from, to) => sim.partition_oneway(from, to),
                Step::Repair(a, b) => sim.repair(a, b),
                Step::Crash(host) => sim.crash(host),
                Step::Bounce(host) => sim.bounce(host),
            }
        }
    }
}
