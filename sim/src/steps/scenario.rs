//! What happens in a run, as plain data.

use serde::{Deserialize, Serialize};

/// A whole run: who is there, with which limits, and what happens in which order.
///
/// Numbers in steps are taken modulo what there is, so that any edit of a scenario is a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scenario {
    /// The seed it was drawn from, for reports.
    pub(super) seed: u64,
    /// Streams and how many writers each has: 1 to 3.
    pub(super) streams: Vec<StreamPlan>,
    /// Whether the follower starts from the beginning rather than from now.
    pub(super) from_beginning: bool,
    /// Rows that a fetch page holds at most, 1 or more.
    pub(super) page_rows_max: u32,
    /// Whether the follower runs with very small limits, so that every queue overflows.
    pub(super) tight_limits: bool,
    /// Whether the follower gives a fetch up after two failures and reports a gap.
    pub(super) gives_up: bool,
    /// What happens, in order; then all faults end and everything must arrive.
    pub(super) steps: Vec<Step>,
}

/// One stream of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StreamPlan {
    /// A name of the catalogue.
    pub(super) name: String,
    /// How many writers it has. They share one sequence of tokens, unless it is resettable.
    pub(super) writers: u8,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub(super) enum Step {
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
pub(super) enum FetchFault {
    /// The writer answers with a 500.
    Status,
    /// The page is as it was when it was asked for.
    Stale,
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
