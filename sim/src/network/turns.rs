//! Long scenarios in which each fault of hosts and of the ways between them has its turn, with time
//! to recover in.

use synrepl_core::wire::Dialect;

use crate::{
    scenario::{
        FetchFault, FollowerPlan, Happening, Manners, Mode, Scenario, StreamPlan, Timed, Via,
        WriterPlan,
    },
    world::scramble,
};

/// What happens in one turn, in milliseconds after its beginning.
type Turn = Vec<(u32, Happening)>;

/// The milliseconds before the first turn, and after the last one.
const CALM_MS: u32 = 4_000;

/// Two writers on the bus and a follower, whose ways to it and to the writers fail.
///
/// The seed decides the order of the turns, their times, and what is written when.
pub fn links(seed: u64) -> Scenario {
    let no_way = FetchFault::NoEndpoint;
    let turns = vec![
        vec![(0, Happening::DelayFollower { follower: 0, ms: 2_000 })],
        vec![(0, Happening::HalfOpen { follower: 0, ms: 4_000 })],
        vec![(0, Happening::Deafen { follower: 0, ms: 4_000 })],
        vec![(0, Happening::RestartBus { down_ms: 5_000 })],
        vec![
            // The follower has to fetch from writers that it cannot reach.
            (0, Happening::SpoilFetches { follower: 0, fault: no_way, count: 4 }),
            (0, Happening::RestartBus { down_ms: 1_000 }),
        ],
        vec![(0, Happening::WriterOffline { writer: 1, ms: 4_000 })],
        vec![(0, Happening::CrashWriter { writer: 1, down_ms: 3_000 })],
    ];
    let streams = [("events", &[0, 1][..]), ("receipts", &[0])];
    in_turns(seed, &streams, &[Via::Bus], 14_000, turns)
}

/// One writer and a follower in each of three dialects, whose connections to it fail.
///
/// The seed decides the order of the turns, their times, whom they strike, and what is written
/// when.
pub fn direct_links(seed: u64) -> Scenario {
    let mut chance = Chance { seed, link: 8, count: 0 };
    let [held, cut, parted] = [(); 3].map(|()| chance.one_of(&[0, 1, 2]));
    let turns = vec![
        vec![(0, Happening::DelayFollower { follower: held, ms: 3_000 })],
        // This is longer than either side waits.
        vec![(0, Happening::HalfOpen { follower: cut, ms: 33_000 })],
        vec![(0, Happening::CrashWriter { writer: 0, down_ms: 2_000 })],
        vec![
            (0, Happening::HalfOpen { follower: parted, ms: 6_000 }),
            (1_000, Happening::CrashWriter { writer: 0, down_ms: 1_000 }),
        ],
    ];
    let streams = [("events", &[0][..]), ("receipts", &[0])];
    let ways = [Dialect::V0_23, Dialect::V1_13, Dialect::V1_22].map(Via::Tcp);
    // A silent connection is given up after 25 s, and looked at every 5 s.
    in_turns(seed, &streams, &ways, 45_000, turns)
}

/// The scenario in which each of `turns` has `turn_ms` for itself, with writes all the time.
fn in_turns(
    seed: u64,
    streams: &[(&str, &[u8])],
    ways: &[Via],
    turn_ms: u32,
    mut turns: Vec<Turn>,
) -> Scenario {
    let follower =
        |via: &Via| FollowerPlan { via: *via, from_beginning: true, ..FollowerPlan::default() };
    let writers = streams.iter().flat_map(|(_, writers)| *writers).max().map_or(0, |last| last + 1);
    let mut chance = Chance { seed, link: 9, count: 0 };
    let mut events = Vec::new();
    let mut begin_ms = CALM_MS;
    while !turns.is_empty() {
        let turn = turns.swap_remove(chance.below(turns.len()));
        let late_ms = chance.between(0, 2_000);
        for (after_ms, what) in turn {
            events.push(Timed { at_ms: begin_ms + late_ms + after_ms, what });
        }
        begin_ms += turn_ms;
    }
    let faults_end_ms = begin_ms + CALM_MS;
    let sources = streams.iter().map(|(_, writers)| writers.len()).sum();
    let mut at_ms = 500;
    while at_ms < faults_end_ms {
        let (tokens, rows) = (chance.one_of(&[1, 2, 3]), chance.one_of(&[1, 2, 3]));
        let source = u8::try_from(chance.below(sources)).unwrap_or(0);
        events.push(Timed { at_ms, what: Happening::Write { source, tokens, rows } });
        at_ms += chance.between(50, 400);
    }
    events.sort_by_key(|event| event.at_ms);
    Scenario {
        seed,
        mode: Mode::Calm,
        streams: streams
            .iter()
            .map(|(name, writers)| StreamPlan {
                name: (*name).to_owned(),
                writers: writers.to_vec(),
            })
            .collect(),
        writers: (0..writers)
            .map(|_| WriterPlan { manners: Manners::Ours, starts_ms: 0 })
            .collect(),
        followers: ways.iter().map(follower).collect(),
        delay_us: (1_000, 20_000),
        page_rows_max: 15,
        events,
        faults_end_ms,
    }
}

/// Numbers that look drawn and are the same for all time.
struct Chance {
    seed: u64,
    link: u64,
    count: u64,
}

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.count += 1;
        let drawn = scramble(self.seed, self.link, self.count);
        usize::try_from(drawn % bound.max(1) as u64).unwrap_or(0)
    }

    fn between(&mut self, least: u32, most: u32) -> u32 {
        least + u32::try_from(self.below((most - least + 1) as usize)).unwrap_or(0)
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}
