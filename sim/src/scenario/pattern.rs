//! The patterns: orders of events that are known to be hard, each drawn as a scenario from a seed.

mod continuity;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use super::{
    FetchFault, FollowerPlan, Happening, Manners, Mode, Noise, Scenario, StreamPlan, Timed,
    WriterPlan,
};

/// An order of events that is known to be hard. The first ten are families of schedules that show
/// known bugs; the others are orders in which Synapse loses, mixes or delays rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pattern {
    /// The connection is lost at every point of a batch, an announcement, a fetch and a page.
    CutEverywhere,
    /// The batches of two writers interleave, and one of the writers starts over.
    InterleavedWriters,
    /// PUBLISHes of a writer, or REPLICATEs, get lost.
    LostPublishes,
    /// Fetches fail in every way.
    BadFetches,
    /// Streams are reset: seen by the follower, missed, during a fetch, or several times while it
    /// is disconnected.
    Resets,
    /// Every case of POSITION occurs, with live and other sources, resettable and other streams.
    PositionTable,
    /// Followers and writers crash twice and resume from saved positions.
    Restarts,
    /// Messages come that are not a command, of no known stream, or not a whole row.
    OddInput,
    /// The application waits for tokens that come in time, late, or from another writer.
    Waits,
    /// Writers announce ranges as empty that hold rows.
    FaultyWriters,
    /// RDATA of a writer comes before its own POSITION and after that of another writer.
    RdataBeforePosition,
    /// A fetch fails once, and the stream stays quiet afterwards.
    OneFailedFetch,
    /// The rows of one send come in falling order and are fetched in pages.
    FallingBursts,
    /// Connections are cut one by one and come back in another order.
    Swizzle,
    /// Writers are restored from backups, and give tokens out again.
    RestoredBackups,
    /// A follower has the addresses of two writers the wrong way round.
    WrongAddresses,
}

impl Pattern {
    /// All patterns.
    pub const ALL: [Self; 16] = [
        Self::CutEverywhere,
        Self::InterleavedWriters,
        Self::LostPublishes,
        Self::BadFetches,
        Self::Resets,
        Self::PositionTable,
        Self::Restarts,
        Self::OddInput,
        Self::Waits,
        Self::FaultyWriters,
        Self::RdataBeforePosition,
        Self::OneFailedFetch,
        Self::FallingBursts,
        Self::Swizzle,
        Self::RestoredBackups,
        Self::WrongAddresses,
    ];
}

/// A scenario under construction, with the time of its next event.
struct Draft {
    rng: ChaCha8Rng,
    at_ms: u32,
    scenario: Scenario,
}

impl Draft {
    fn new(pattern: Pattern, seed: u64) -> Self {
        let scenario = Scenario {
            seed,
            mode: Mode::Pattern(pattern),
            streams: Vec::new(),
            writers: vec![WriterPlan::default(); 2],
            followers: vec![FollowerPlan::default()],
            delay_us: (200, 2_000),
            page_rows_max: 3,
            events: Vec::new(),
            faults_end_ms: 0,
        };
        Self { rng: ChaCha8Rng::seed_from_u64(seed), at_ms: 100, scenario }
    }

    fn below(&mut self, bound: u8) -> u8 {
        self.rng.next_u32().to_le_bytes()[0] % bound
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.rng.next_u32() as usize % all.len()]
    }

    fn stream(&mut self, name: &str, writers: &[u8]) {
        let plan = StreamPlan { name: name.to_owned(), writers: writers.to_vec() };
        self.scenario.streams.push(plan);
    }

    fn now(&mut self, what: Happening) {
        self.scenario.events.push(Timed { at_ms: self.at_ms, what });
    }

    fn after(&mut self, ms: u32, what: Happening) {
        self.at_ms += ms;
        self.now(what);
    }

    fn write(&mut self, source: u8, tokens: u8, rows: u8) {
        self.now(Happening::Write { source, tokens, rows });
    }

    fn done(mut self) -> Scenario {
        self.scenario.faults_end_ms = self.at_ms + 100;
        self.scenario
    }
}

const CLASSES: [&str; 5] = ["events", "receipts", "backfill", "typing", "device_lists"];

impl Pattern {
    /// Returns the scenario of this pattern whose details are drawn from `seed`.
    pub fn scenario(self, seed: u64) -> Scenario {
        let mut draft = Draft::new(self, seed);
        match self {
            Self::CutEverywhere => cut_everywhere(&mut draft),
            Self::InterleavedWriters => interleaved_writers(&mut draft),
            Self::LostPublishes => lost_publishes(&mut draft),
            Self::BadFetches => bad_fetches(&mut draft),
            Self::Resets => resets(&mut draft),
            Self::PositionTable => position_table(&mut draft),
            Self::Restarts => restarts(&mut draft),
            Self::OddInput => odd_input(&mut draft),
            Self::Waits => waits(&mut draft),
            Self::FaultyWriters => faulty_writers(&mut draft),
            Self::RdataBeforePosition => rdata_before_position(&mut draft),
            Self::OneFailedFetch => one_failed_fetch(&mut draft),
            Self::FallingBursts => falling_bursts(&mut draft),
            Self::Swizzle => swizzle(&mut draft),
            Self::RestoredBackups => continuity::restored_backups(&mut draft),
            Self::WrongAddresses => continuity::wrong_addresses(&mut draft),
        }
        draft.done()
    }
}

fn cut_everywhere(draft: &mut Draft) {
    let class = draft.one_of(&CLASSES);
    draft.stream(class, &[0, 1]);
    draft.at_ms = 2_500;
    for round in 0..10 {
        draft.write(0, 2, 3);
        draft.now(Happening::Cut { follower: 0, after: round });
        draft.write(1, 1, 2);
        let pause = draft.one_of(&[0, 2, 1_500]);
        draft.after(pause, Happening::Write { source: 0, tokens: 1, rows: 3 });
        // The cut comes while the source catches up, or before the catch-up is requested.
        let pause = draft.one_of(&[1, 3, 1_300, 2_600]);
        draft.after(pause, Happening::Cut { follower: 0, after: 0 });
        draft.at_ms += 3_000;
    }
}

fn interleaved_writers(draft: &mut Draft) {
    let class = draft.one_of(&["events", "receipts", "typing", "device_lists"]);
    draft.stream(class, &[0, 1]);
    draft.at_ms = 500;
    for _ in 0..12 {
        let ms = u16::from(draft.below(6));
        draft.now(Happening::DelayWriter { writer: 0, ms });
        draft.write(0, 1, 4);
        draft.write(1, 1, 4);
        if draft.below(4) == 0 {
            draft.after(1, Happening::CrashWriter { writer: 1, down_ms: 30 });
        }
        draft.at_ms += 300;
    }
}

fn lost_publishes(draft: &mut Draft) {
    draft.stream("events", &[0, 1]);
    draft.stream("typing", &[0]);
    draft.at_ms = 500;
    for _ in 0..6 {
        let count = 1 + draft.below(3);
        draft.now(Happening::LosePublish { writer: 0, count });
        draft.write(0, 2, 2);
        draft.write(2, 1, 1);
        draft.after(400, Happening::LoseReplicate { follower: 0 });
        draft.now(Happening::Cut { follower: 0, after: 0 });
        draft.after(10, Happening::Write { source: 0, tokens: 1, rows: 1 });
        draft.at_ms += 4_000;
    }
}

fn bad_fetches(draft: &mut Draft) {
    let class = draft.one_of(&["events", "receipts", "backfill", "caches", "to_device"]);
    draft.stream(class, &[0]);
    draft.scenario.page_rows_max = u32::from(1 + draft.below(3));
    draft.at_ms = 500;
    for fault in FetchFault::ALL {
        let count = 1 + draft.below(3);
        draft.now(Happening::SpoilFetches { follower: 0, fault, count });
        draft.now(Happening::Cut { follower: 0, after: 0 });
        draft.write(0, 3, 2);
        draft.at_ms += 6_000;
    }
}

fn resets(draft: &mut Draft) {
    let class = draft.one_of(&["typing", "federation", "presence_federation"]);
    draft.stream(class, &[0]);
    if draft.below(2) == 0 {
        // Fetches take so long that the cuts fall into them.
        draft.scenario.delay_us = (20_000, 60_000);
        draft.scenario.page_rows_max = 1;
    }
    draft.at_ms = 500;
    for _ in 0..6 {
        draft.write(0, 4, 1);
        draft.after(500, Happening::CrashWriter { writer: 0, down_ms: 20 });
        let tokens = 1 + draft.below(6);
        draft.after(40, Happening::Write { source: 0, tokens, rows: 1 });
        match draft.below(4) {
            // Resets are missed, with ranges that overlap; two of them while the follower is away.
            0 => {
                draft.after(10, Happening::Cut { follower: 0, after: 0 });
                draft.now(Happening::CrashWriter { writer: 0, down_ms: 20 });
                draft.after(100, Happening::Write { source: 0, tokens: 2, rows: 1 });
                draft.after(100, Happening::CrashWriter { writer: 0, down_ms: 20 });
                draft.after(100, Happening::Write { source: 0, tokens: 6, rows: 1 });
            }
            // A reset comes during a fetch.
            1 => {
                let fault = FetchFault::Stale;
                draft.now(Happening::SpoilFetches { follower: 0, fault, count: 1 });
                draft.after(10, Happening::Cut { follower: 0, after: 0 });
                draft.after(3_000, Happening::CrashWriter { writer: 0, down_ms: 20 });
                draft.after(40, Happening::Write { source: 0, tokens: 1, rows: 1 });
            }
            // A reset comes during a fetch, over a reconnection, and the new epoch passes the old
            // one.
            2 => {
                draft.write(0, 8, 1);
                draft.after(500, Happening::Cut { follower: 0, after: 0 });
                let pause = 900 + 6 * u32::from(draft.below(200));
                draft.after(pause, Happening::Cut { follower: 0, after: 0 });
                draft.now(Happening::CrashWriter { writer: 0, down_ms: 20 });
                draft.after(100, Happening::Write { source: 0, tokens: 8, rows: 1 });
                draft.write(0, 8, 1);
                draft.write(0, 8, 1);
                draft.at_ms += 3_000;
            }
            _ => {}
        }
        draft.at_ms += 3_000;
    }
}

fn position_table(draft: &mut Draft) {
    let class = draft.one_of(&["events", "typing", "profile_updates"]);
    draft.stream(class, &[0, 1]);
    draft.scenario.writers[0].manners = draft.one_of(&[Manners::Synapse, Manners::Hasty]);
    draft.at_ms = 500;
    for _ in 0..8 {
        let tokens = 1 + draft.below(3);
        match draft.below(6) {
            0 => draft.now(Happening::Noise { noise: Noise::Replicate }),
            1 => draft.now(Happening::WriterOffline { writer: 0, ms: 200 }),
            2 => draft.now(Happening::DelayFollower { follower: 0, ms: 300 }),
            3 => draft.now(Happening::Cut { follower: 0, after: 1 }),
            4 => draft.now(Happening::CrashWriter { writer: 0, down_ms: 10 }),
            _ => draft.now(Happening::StallWriter { writer: 0, ms: 50 }),
        }
        draft.after(20, Happening::Write { source: 0, tokens, rows: 1 });
        draft.write(1, 1, 2);
        draft.after(5, Happening::Noise { noise: Noise::Replicate });
        draft.at_ms += 700;
    }
}

fn restarts(draft: &mut Draft) {
    let class = draft.one_of(&CLASSES);
    draft.stream(class, &[0, 1]);
    draft.stream("typing", &[1]);
    draft.scenario.followers[0].handler_us = draft.one_of(&[0, 500, 20_000]);
    draft.at_ms = 500;
    for _ in 0..2 {
        for _ in 0..4 {
            let rows = 1 + draft.below(3);
            draft.write(0, 3, rows);
            draft.write(2, 2, 1);
            let pause = draft.one_of(&[1, 30, 400]);
            draft.after(pause, Happening::CrashFollower { follower: 0 });
            let pause = draft.one_of(&[1, 30, 400]);
            draft.after(pause, Happening::CrashWriter { writer: 1, down_ms: 50 });
            draft.write(1, 1, 1);
        }
        draft.at_ms += 4_000;
    }
    // Our own writer starts over, and loses its next connection before or after its first commands.
    draft.scenario.delay_us = (5_000, 5_000);
    draft.scenario.writers.push(WriterPlan { manners: Manners::Ours, starts_ms: 0 });
    draft.stream("federation", &[2]);
    draft.write(3, 1, 1);
    draft.after(500, Happening::CrashWriter { writer: 2, down_ms: 100 });
    draft.after(101, Happening::Write { source: 3, tokens: 1, rows: 1 });
    let ms = u32::from(10 + draft.below(6));
    draft.after(ms, Happening::WriterOffline { writer: 2, ms: 50 });
    draft.at_ms += 4_000;
}

fn odd_input(draft: &mut Draft) {
    let class = draft.one_of(&CLASSES);
    draft.stream(class, &[0]);
    draft.stream("events", &[1]);
    draft.at_ms = 500;
    for _ in 0..3 {
        for noise in Noise::ALL {
            draft.now(Happening::Noise { noise });
            let byte = draft.below(40);
            draft.now(Happening::Damage { follower: 0, byte });
            draft.after(3, Happening::Write { source: 0, tokens: 2, rows: 2 });
            draft.write(1, 1, 2);
            draft.at_ms += 200;
        }
    }
}

fn waits(draft: &mut Draft) {
    draft.stream("events", &[0, 1]);
    draft.stream("typing", &[0]);
    draft.at_ms = 500;
    for _ in 0..8 {
        let (source, ahead) = (draft.below(3), draft.below(4));
        draft.now(Happening::WaitFor { follower: 0, source, ahead });
        draft.now(Happening::WaitFor { follower: 0, source, ahead });
        let other = draft.below(3);
        draft.after(20, Happening::Write { source: other, tokens: 1, rows: 1 });
        draft.after(300, Happening::Write { source, tokens: 3, rows: 1 });
        if draft.below(3) == 0 {
            draft.now(Happening::Cut { follower: 0, after: 1 });
        }
        draft.at_ms += 500;
    }
}

fn faulty_writers(draft: &mut Draft) {
    draft.stream("to_device", &[0]);
    draft.stream("events", &[0, 1]);
    draft.scenario.writers[0].manners = draft.one_of(&[Manners::Hasty, Manners::Mute]);
    draft.at_ms = 500;
    for _ in 0..6 {
        match draft.below(3) {
            0 => draft.now(Happening::EmptyPosition { writer: 0 }),
            1 => draft.now(Happening::WriterOffline { writer: 0, ms: 100 }),
            _ => draft.now(Happening::Repeat { writer: 0 }),
        }
        draft.after(10, Happening::Write { source: 0, tokens: 3, rows: 1 });
        draft.write(1, 1, 2);
        draft.after(300, Happening::Write { source: 0, tokens: 1, rows: 1 });
        draft.after(50, Happening::Noise { noise: Noise::Replicate });
    }
}

fn rdata_before_position(draft: &mut Draft) {
    let class = draft.one_of(&["events", "receipts", "typing"]);
    draft.stream(class, &[0, 1]);
    draft.at_ms = 2_500;
    for _ in 0..4 {
        draft.write(1, 2, 1);
        draft.after(300, Happening::Cut { follower: 0, after: 0 });
        draft.write(1, 2, 1);
        // The announcement of one writer is late, its rows are not.
        draft.after(700, Happening::StallWriter { writer: 1, ms: 4_000 });
        draft.after(3_000, Happening::Write { source: 1, tokens: 1, rows: 1 });
        draft.now(Happening::Repeat { writer: 1 });
        draft.at_ms += 4_000;
    }
}

fn one_failed_fetch(draft: &mut Draft) {
    let class = draft.one_of(&CLASSES);
    draft.stream(class, &[0]);
    draft.at_ms = 500;
    draft.write(0, 2, 1);
    draft.after(500, Happening::Cut { follower: 0, after: 0 });
    draft.now(Happening::SpoilFetches { follower: 0, fault: FetchFault::Status, count: 1 });
    draft.write(0, 3, 1);
    draft.at_ms += 1_500;
}

fn falling_bursts(draft: &mut Draft) {
    draft.stream("backfill", &[0, 1]);
    draft.scenario.page_rows_max = u32::from(1 + draft.below(4));
    draft.at_ms = 500;
    for _ in 0..8 {
        let tokens = 2 + draft.below(6);
        draft.write(0, tokens, 2);
        draft.write(1, 2, 1);
        let after = draft.below(8);
        draft.now(Happening::Cut { follower: 0, after });
        let pause = draft.one_of(&[2, 50, 1_200, 3_000]);
        draft.after(pause, Happening::Write { source: 0, tokens: 2, rows: 1 });
        draft.at_ms += 2_500;
    }
}

fn swizzle(draft: &mut Draft) {
    let class = draft.one_of(&CLASSES);
    draft.stream(class, &[0, 1]);
    draft.stream("events", &[1]);
    let second = draft.scenario.followers[0].clone();
    draft.scenario.followers.push(second);
    draft.at_ms = 500;
    for _ in 0..3 {
        let mut stops = [
            Happening::HalfOpen { follower: 0, ms: 700 },
            Happening::Cut { follower: 1, after: 0 },
            Happening::WriterOffline { writer: 0, ms: 500 },
            Happening::WriterOffline { writer: 1, ms: 300 },
        ];
        let first = usize::from(draft.below(4));
        stops.rotate_left(first);
        for stop in stops {
            draft.now(stop);
            draft.write(0, 2, 2);
            draft.write(1, 1, 1);
            draft.at_ms += 60;
        }
        draft.at_ms += 2_500;
        draft.now(Happening::RestartBus { down_ms: 100 });
        draft.at_ms += 4_000;
    }
}
