//! The faults of a run, and their times.

use std::{collections::VecDeque, time::Duration};

use turmoil::Sim;

use super::{chance::Chance, network::OpenStreams};

/// The host of the writer.
pub(super) const WRITER: &str = "writer";
pub(super) const FOLLOWERS: [&str; 3] = ["follower-0", "follower-1", "follower-2"];

/// The length of a slot, in which every follower can recover: a silent connection is given up after
/// 25 s, checked every 5 s.
const SLOT_SECONDS: u64 = 45;
const SLOTS: u64 = 4;

/// The time at which the last fault is over.
pub(super) const OVER: Duration = Duration::from_secs(4 + SLOT_SECONDS * SLOTS);

/// One change of the network or a host.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Messages between the follower and the writer are held back until the release.
    Hold(&'static str),
    Release(&'static str),
    /// Messages between the two are lost; open connections never recover from that.
    Partition(&'static str),
    Repair(&'static str),
    Crash,
    Bounce,
}

/// All faults of a run, each kind once, in an order, at times and for followers that the seed
/// decides.
#[derive(Debug)]
pub(super) struct Faults(VecDeque<(Duration, Step)>);

impl Faults {
    pub(super) fn new(chance: &mut Chance) -> Self {
        let mut whom = || FOLLOWERS[usize::try_from(chance.between(0, 2)).unwrap()];
        let (held, cut, parted) = (whom(), whom(), whom());
        // Times are in seconds after the beginning of the slot.
        let mut kinds: Vec<Vec<(u64, Step)>> = vec![
            vec![(0, Step::Hold(held)), (3, Step::Release(held))],
            // This is longer than either side waits.
            vec![(0, Step::Partition(cut)), (33, Step::Repair(cut))],
            vec![(0, Step::Crash), (2, Step::Bounce)],
            vec![
                (0, Step::Partition(parted)),
                (1, Step::Crash),
                (2, Step::Bounce),
                (6, Step::Repair(parted)),
            ],
        ];
        assert_eq!(kinds.len() as u64, SLOTS);
        let mut steps = VecDeque::new();
        for slot in 0..SLOTS {
            let chosen = usize::try_from(chance.between(slot, SLOTS - 1)).unwrap();
            let slot_index = usize::try_from(slot).unwrap();
            kinds.swap(slot_index, chosen);
            let begin =
                Duration::from_millis((4 + SLOT_SECONDS * slot) * 1_000 + chance.between(0, 2_000));
            for &(after, step) in &kinds[slot_index] {
                steps.push_back((begin + Duration::from_secs(after), step));
            }
        }
        Self(steps)
    }

    /// Applies the steps that are due.
    pub(super) fn apply(&mut self, sim: &mut Sim<'_>, open: &OpenStreams) {
        while let Some((_, step)) = self.0.pop_front_if(|(at, _)| *at <= sim.elapsed()) {
            match step {
                Step::Hold(follower) => sim.hold(follower, WRITER),
                Step::Release(follower) => sim.release(follower, WRITER),
                Step::Partition(follower) => sim.partition(follower, WRITER),
                Step::Repair(follower) => sim.repair(follower, WRITER),
                Step::Crash => {
                    open.set_dying(true);
                    sim.crash(WRITER);
                    open.set_dying(false);
                }
                Step::Bounce => sim.bounce(WRITER),
            }
        }
    }
}
