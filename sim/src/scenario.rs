//! What happens in a run, as plain data.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

/// A whole run: who is there, with which limits, and what happens in which order.
///
/// Numbers in steps are taken modulo what there is, so that any edit of a scenario is a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// The seed it was drawn from, for reports.
    pub seed: u64,
    /// Streams and how many writers each has: 1 to 3.
    pub streams: Vec<StreamPlan>,
    /// Whether the follower starts from the beginning rather than from now.
    pub from_beginning: bool,
    /// Rows that a fetch page holds at most, 1 or more.
    pub page_rows_max: u32,
    /// Whether the follower runs with very small limits, so that every queue overflows.
    pub tight_limits: bool,
    /// Whether the follower gives a fetch up after two failures and reports a gap.
    pub gives_up: bool,
    /// What happens, in order; then all faults end and everything must arrive.
    pub steps: Vec<Step>,
}

/// One stream of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamPlan {
    /// A name of the catalogue.
    pub name: String,
    /// How many writers it has. They share one sequence of tokens, unless it is resettable.
    pub writers: u8,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Step {
    /// A source appends rows under one token; they are in its log from now on.
    Write {
        /// Which source.
        source: u8,
        /// How many rows share the token, 1 to 4.
        rows: u8,
    },
    /// A writer's send loop runs: what is pending goes to the bus.
    Flush {
        /// Which writer.
        writer: u8,
    },
    /// The follower receives messages.
    Deliver {
        /// How many at most.
        count: u8,
    },
    /// Two neighbouring messages of different writers change places on the bus.
    Swap {
        /// Which message of those waiting.
        at: u8,
    },
    /// A message on the bus is damaged.
    Damage {
        /// Which message of those waiting.
        at: u8,
        /// Byte at which it is cut.
        byte: u8,
    },
    /// A fetch is answered.
    Answer {
        /// Which of those in flight.
        fetch: u8,
        /// What goes wrong, if anything.
        fault: Option<FetchFault>,
    },
    /// The follower's connection ends; what was on its way is lost.
    Lose,
    /// The connection that the follower wants is made, or fails.
    Connect {
        /// Whether it is made.
        works: bool,
    },
    /// The next REPLICATE gets lost.
    LoseReplicate,
    /// Time passes.
    Wait {
        /// Milliseconds.
        ms: u16,
    },
    /// A writer dies and comes back: what lives in its memory starts over.
    RestartWriter {
        /// Which writer.
        writer: u8,
    },
    /// A writer loses the bus; what it would have sent is not sent.
    WriterOffline {
        /// Which writer.
        writer: u8,
    },
    /// A writer is back on the bus and announces itself.
    WriterOnline {
        /// Which writer.
        writer: u8,
    },
    /// The follower stops and is started again from the positions that went with its events.
    RestartFollower,
    /// The application waits for a source to reach a token.
    WaitFor {
        /// Which source.
        source: u8,
        /// How far above what its writer has reached.
        ahead: u8,
    },
}

/// What goes wrong with a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FetchFault {
    /// The writer answers with a 500.
    Status,
    /// No answer in time.
    TimedOut,
    /// The answer is larger than the driver allows.
    TooLarge,
    /// The page claims to reach beyond what was asked.
    Beyond,
    /// The page is limited and does not move.
    Stuck,
    /// The page ends at its last row without being limited, as those of some streams do.
    Short,
    /// There is nowhere to fetch from.
    NoEndpoint,
}

struct Draw(ChaCha8Rng);

impl Draw {
    /// A number below `bound`. The bias does not matter.
    fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    fn byte(&mut self) -> u8 {
        self.0.next_u32().to_le_bytes()[0]
    }

    fn one_in(&mut self, bound: u8) -> bool {
        self.below(bound) == 0
    }
}

const STREAMS: [&str; 9] = [
    "events",
    "backfill",
    "caches",
    "typing",
    "receipts",
    "device_lists",
    "profile_updates",
    "federation",
    "presence_federation",
];

impl Scenario {
    /// The scenario of this seed. The same for all time as long as the version of this crate is.
    pub fn from_seed(seed: u64) -> Self {
        let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed));
        let streams = (0..1 + draw.below(3))
            .map(|_| StreamPlan {
                name: STREAMS[usize::from(draw.below(9))].to_owned(),
                writers: 1 + draw.below(3),
            })
            .collect();
        let from_beginning = draw.one_in(3);
        let page_rows_max = [1, 2, 3, 5, 100][usize::from(draw.below(5))];
        let tight_limits = draw.one_in(3);
        let gives_up = draw.one_in(8);
        // Each kind of fault is on or off for the whole run, then drawn at a rate of its own:
        // runs in which everything goes wrong at once hide the errors of quieter ones.
        let faults: [bool; 8] = std::array::from_fn(|_| draw.one_in(2));
        let steps = (0..20 + draw.below(180)).map(|_| Step::draw(&mut draw, &faults)).collect();
        Self { seed, streams, from_beginning, page_rows_max, tight_limits, gives_up, steps }
    }
}

impl Step {
    fn draw(draw: &mut Draw, faults: &[bool; 8]) -> Self {
        let [lose, damage, fetch, restart, offline, follower, replicate, swap] = *faults;
        loop {
            return match draw.below(41) {
                0..=8 => Self::Write { source: draw.byte(), rows: 1 + draw.below(4) },
                9..=15 => Self::Flush { writer: draw.byte() },
                16..=23 => Self::Deliver { count: 1 + draw.below(6) },
                24..=28 => {
                    let fault = (fetch && draw.one_in(3)).then(|| match draw.below(32) / 5 {
                        0 => FetchFault::Status,
                        1 => FetchFault::TimedOut,
                        2 => FetchFault::TooLarge,
                        3 => FetchFault::Beyond,
                        4 => FetchFault::Stuck,
                        5 => FetchFault::Short,
                        _ => FetchFault::NoEndpoint,
                    });
                    Self::Answer { fetch: draw.byte(), fault }
                }
                29 | 30 => Self::Connect { works: !lose || !draw.one_in(4) },
                31 | 32 => Self::Wait { ms: [10, 200, 1_000, 3_000][usize::from(draw.below(4))] },
                33 if lose => Self::Lose,
                34 if damage => Self::Damage { at: draw.byte(), byte: draw.byte() },
                35 if restart => Self::RestartWriter { writer: draw.byte() },
                36 if offline => {
                    let writer = draw.byte();
                    if draw.one_in(2) {
                        Self::WriterOffline { writer }
                    } else {
                        Self::WriterOnline { writer }
                    }
                }
                37 if follower => Self::RestartFollower,
                38 if replicate => Self::LoseReplicate,
                39 if swap => Self::Swap { at: draw.byte() },
                40 => Self::WaitFor { source: draw.byte(), ahead: draw.below(4) },
                _ => continue,
            };
        }
    }
}
