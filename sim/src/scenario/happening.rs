//! One thing that happens at one time.

use serde::{Deserialize, Serialize};

/// One thing that happens, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// Milliseconds since the start.
    pub at_ms: u32,
    /// What.
    pub what: Happening,
}

/// One thing that happens. All but [`Happening::Write`], [`Happening::WaitFor`] and
/// [`Happening::Pieces`] are faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Happening {
    /// A source appends rows, `rows` of them under each of `tokens` tokens, in one transaction.
    Write {
        /// Which source, in order of the streams and their writers.
        source: u8,
        /// How many tokens, 1 to 8.
        tokens: u8,
        /// How many rows share each token, 1 to 4.
        rows: u8,
    },
    /// The application of a follower waits for a source to reach a token.
    WaitFor {
        /// Which follower.
        follower: u8,
        /// Which source.
        source: u8,
        /// How far above what its writer has reached.
        ahead: u8,
    },
    /// A follower's connection ends once so many more messages have reached it.
    Cut {
        /// Which follower.
        follower: u8,
        /// After how many messages.
        after: u8,
    },
    /// A follower's connection carries nothing any more; it is noticed only after this time.
    HalfOpen {
        /// Which follower.
        follower: u8,
        /// Milliseconds.
        ms: u16,
    },
    /// The next attempts of a follower to connect fail.
    RefuseConnections {
        /// Which follower.
        follower: u8,
        /// How many.
        count: u8,
    },
    /// What goes to a follower is late by this much, for as long.
    DelayFollower {
        /// Which follower.
        follower: u8,
        /// Milliseconds.
        ms: u16,
    },
    /// A follower dies and is started again from the positions that went with what it had
    /// handled.
    CrashFollower {
        /// Which follower.
        follower: u8,
    },
    /// The application of a follower takes no event for this long.
    SlowHandler {
        /// Which follower.
        follower: u8,
        /// Milliseconds.
        ms: u16,
    },
    /// A follower's clock jumps forward.
    ClockJump {
        /// Which follower.
        follower: u8,
        /// Milliseconds.
        ms: u16,
    },
    /// The next REPLICATE of a follower gets lost.
    LoseReplicate {
        /// Which follower.
        follower: u8,
    },
    /// The next RDATA on its way to a follower is damaged behind its names.
    Damage {
        /// Which follower.
        follower: u8,
        /// Where it is cut.
        byte: u8,
    },
    /// The next fetches of a follower go wrong.
    SpoilFetches {
        /// Which follower.
        follower: u8,
        /// How.
        fault: FetchFault,
        /// How many.
        count: u8,
    },
    /// A writer dies and is back after a time; what lives in its memory starts over.
    CrashWriter {
        /// Which writer.
        writer: u8,
        /// Milliseconds.
        down_ms: u16,
    },
    /// A writer has no connection to the bus for this long.
    WriterOffline {
        /// Which writer.
        writer: u8,
        /// Milliseconds.
        ms: u16,
    },
    /// The next RDATA and POSITIONs of a writer get lost on its way to the bus. It does not
    /// notice, unless it is ours: then its connection ends.
    LosePublish {
        /// Which writer.
        writer: u8,
        /// How many.
        count: u8,
    },
    /// What a writer sends is late by this much, for as long, and so comes after what other
    /// writers sent later.
    DelayWriter {
        /// Which writer.
        writer: u8,
        /// Milliseconds.
        ms: u16,
    },
    /// A writer's send loop does not run for this long.
    StallWriter {
        /// Which writer.
        writer: u8,
        /// Milliseconds.
        ms: u16,
    },
    /// A writer sends its last batch once more.
    Repeat {
        /// Which writer.
        writer: u8,
    },
    /// A writer's next look at its log finds nothing, and it says so: POSITION over real rows
    /// (known bug A38).
    EmptyPosition {
        /// Which writer.
        writer: u8,
    },
    /// The bus goes away with all connections.
    RestartBus {
        /// Milliseconds until connections are taken again.
        down_ms: u16,
    },
    /// The next reads of a writer's own log fail.
    FailReads {
        /// Which writer.
        writer: u8,
        /// How many.
        count: u8,
    },
    /// A writer takes no new connection for this long. Only where there are sockets.
    SlowAccept {
        /// Which writer.
        writer: u8,
        /// Milliseconds.
        ms: u16,
    },
    /// From now on every byte stream is read and written in pieces of at most so many bytes, with
    /// pauses between them; 0: as it comes. Only where there are sockets.
    Pieces {
        /// How many bytes at most.
        bytes: u8,
    },
    /// Somebody else says something on the bus.
    Noise {
        /// What.
        noise: Noise,
    },
}

/// What a stranger says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Noise {
    /// A REPLICATE: everyone announces.
    Replicate,
    /// Something that is no command.
    Garbage,
    /// An empty message.
    Blank,
    /// A command that there is not.
    UnknownCommand,
    /// A POSITION of a stream that there is not, by a writer that nobody can ask.
    UnknownStream,
    /// A command without a place in the logs.
    RemoteServerUp,
}

/// What goes wrong with a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// The page has rows from below what was asked.
    TooMuch,
    /// There is nowhere to fetch from.
    NoEndpoint,
    /// The answer is made at once but comes late: stale, and maybe after a reconnection.
    Stale,
}

/// What a happening is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// A writer, by a number that is taken modulo the writers that there are.
    Writer(u8),
    /// A follower, by such a number.
    Follower(u8),
    /// Everybody, or a log.
    Bus,
}

impl Happening {
    /// Whom it strikes.
    pub(crate) const fn whom(self) -> Whom {
        match self {
            Self::WaitFor { follower, .. }
            | Self::Cut { follower, .. }
            | Self::HalfOpen { follower, .. }
            | Self::RefuseConnections { follower, .. }
            | Self::DelayFollower { follower, .. }
            | Self::CrashFollower { follower }
            | Self::SlowHandler { follower, .. }
            | Self::ClockJump { follower, .. }
            | Self::LoseReplicate { follower }
            | Self::Damage { follower, .. }
            | Self::SpoilFetches { follower, .. } => Whom::Follower(follower),
            Self::CrashWriter { writer, .. }
            | Self::WriterOffline { writer, .. }
            | Self::LosePublish { writer, .. }
            | Self::DelayWriter { writer, .. }
            | Self::StallWriter { writer, .. }
            | Self::Repeat { writer }
            | Self::FailReads { writer, .. }
            | Self::SlowAccept { writer, .. }
            | Self::EmptyPosition { writer } => Whom::Writer(writer),
            Self::Write { .. }
            | Self::RestartBus { .. }
            | Self::Pieces { .. }
            | Self::Noise { .. } => Whom::Bus,
        }
    }

    /// The least of the same: one token, one row, one time.
    pub(crate) const fn make_plain(&mut self) {
        match self {
            Self::Write { tokens, rows, .. } => (*tokens, *rows) = (1, 1),
            Self::SpoilFetches { count, .. }
            | Self::RefuseConnections { count, .. }
            | Self::FailReads { count, .. }
            | Self::LosePublish { count, .. } => *count = 1,
            Self::Pieces { bytes } => *bytes = 1,
            Self::Cut { after, .. } => *after = 0,
            Self::WaitFor { .. }
            | Self::HalfOpen { .. }
            | Self::DelayFollower { .. }
            | Self::CrashFollower { .. }
            | Self::SlowHandler { .. }
            | Self::ClockJump { .. }
            | Self::LoseReplicate { .. }
            | Self::Damage { .. }
            | Self::CrashWriter { .. }
            | Self::WriterOffline { .. }
            | Self::DelayWriter { .. }
            | Self::StallWriter { .. }
            | Self::Repeat { .. }
            | Self::EmptyPosition { .. }
            | Self::RestartBus { .. }
            | Self::SlowAccept { .. }
            | Self::Noise { .. } => {}
        }
    }

    /// Whether this is something that goes wrong, rather than something that is done.
    pub const fn is_fault(self) -> bool {
        !matches!(self, Self::Write { .. } | Self::WaitFor { .. } | Self::Pieces { .. })
    }
}

impl Noise {
    /// All of it.
    pub const ALL: [Self; 6] = [
        Self::Replicate,
        Self::Garbage,
        Self::Blank,
        Self::UnknownCommand,
        Self::UnknownStream,
        Self::RemoteServerUp,
    ];
}

impl FetchFault {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Status,
        Self::TimedOut,
        Self::TooLarge,
        Self::Beyond,
        Self::Stuck,
        Self::Short,
        Self::TooMuch,
        Self::NoEndpoint,
        Self::Stale,
    ];
}
