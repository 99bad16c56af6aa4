//! The events of a scenario: writes, waits and faults, each at its time.

use serde::{Deserialize, Serialize};

/// An event of a scenario and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// Milliseconds since the start.
    pub at_ms: u32,
    /// The event.
    pub what: Happening,
}

/// An event of a scenario. All but [`Happening::Write`], [`Happening::WaitFor`] and
/// [`Happening::Pieces`] are faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Happening {
    /// A source appends rows, `rows` of them under each of `tokens` tokens, in one transaction.
    Write {
        /// The source, by number in the order of the streams and their writers.
        source: u8,
        /// The number of tokens, 1 to 8.
        tokens: u8,
        /// The number of rows of each token, 1 to 4.
        rows: u8,
    },
    /// The application of a follower waits for a source to reach a token.
    WaitFor {
        /// The follower, by number.
        follower: u8,
        /// The source, by number.
        source: u8,
        /// How far the token lies above the writer's current one.
        ahead: u8,
    },
    /// A follower's connection ends after a number of further messages.
    Cut {
        /// The follower, by number.
        follower: u8,
        /// The number of messages that still reach it.
        after: u8,
    },
    /// A follower's connection carries nothing any more, which is noticed only after a time.
    HalfOpen {
        /// The follower, by number.
        follower: u8,
        /// The time until the loss is noticed, in milliseconds.
        ms: u16,
    },
    /// What goes to a follower gets lost for this long, on its connection as well as on the way to
    /// a new one; what it says arrives. Never drawn. Only where there are sockets.
    Deafen {
        /// Which follower.
        follower: u8,
        /// Milliseconds.
        ms: u16,
    },
    /// The next attempts of a follower to connect fail.
    RefuseConnections {
        /// The follower, by number.
        follower: u8,
        /// The number of attempts.
        count: u8,
    },
    /// Messages to a follower are late, for a time as long as their delay.
    DelayFollower {
        /// The follower, by number.
        follower: u8,
        /// The delay and its duration, in milliseconds.
        ms: u16,
    },
    /// A follower crashes and starts again from the positions of the last event that its
    /// application had handled.
    CrashFollower {
        /// The follower, by number.
        follower: u8,
    },
    /// The application of a follower handles no event for a time.
    SlowHandler {
        /// The follower, by number.
        follower: u8,
        /// The time in milliseconds.
        ms: u16,
    },
    /// A follower's clock jumps forward.
    ClockJump {
        /// The follower, by number.
        follower: u8,
        /// The size of the jump in milliseconds.
        ms: u16,
    },
    /// The next REPLICATE of a follower gets lost.
    LoseReplicate {
        /// The follower, by number.
        follower: u8,
    },
    /// The next RDATA to a follower is damaged behind its stream and instance names.
    Damage {
        /// The follower, by number.
        follower: u8,
        /// The place of the damage.
        byte: u8,
    },
    /// The next fetches of a follower fail, or get a wrong response.
    SpoilFetches {
        /// The follower, by number.
        follower: u8,
        /// The fault.
        fault: FetchFault,
        /// The number of fetches.
        count: u8,
    },
    /// A writer crashes and starts again after a time; its streams in memory start over.
    CrashWriter {
        /// The writer, by number.
        writer: u8,
        /// The time until it starts again, in milliseconds.
        down_ms: u16,
    },
    /// A writer has no connection to the bus for a time.
    WriterOffline {
        /// The writer, by number.
        writer: u8,
        /// The time in milliseconds.
        ms: u16,
    },
    /// The next RDATA and POSITIONs of a writer get lost on their way to the bus. The writer does
    /// not notice, unless it is ours: then its connection ends.
    LosePublish {
        /// The writer, by number.
        writer: u8,
        /// The number of commands.
        count: u8,
    },
    /// Messages of a writer are late, for a time as long as their delay, so that they arrive after
    /// later ones of other writers.
    DelayWriter {
        /// The writer, by number.
        writer: u8,
        /// The delay and its duration, in milliseconds.
        ms: u16,
    },
    /// The send loop of a writer does not run for a time.
    StallWriter {
        /// The writer, by number.
        writer: u8,
        /// The time in milliseconds.
        ms: u16,
    },
    /// A writer sends its last batch once more.
    Repeat {
        /// The writer, by number.
        writer: u8,
    },
    /// The next read of a writer's log wrongly finds no rows, and the writer announces them as an
    /// empty range: POSITION over real rows (known bug A38).
    EmptyPosition {
        /// The writer, by number.
        writer: u8,
    },
    /// A writer answers a REPLICATE inside its next send, with where the send has come to. Only one
    /// of Synapse's; not on levels with sockets.
    AnswerAmid {
        /// The writer, by number.
        writer: u8,
        /// The number of tokens that it sends before.
        after: u8,
    },
    /// A writer dies inside its next send, and starts again. Only one of Synapse's; not on levels
    /// with sockets.
    DieAmid {
        /// The writer, by number.
        writer: u8,
        /// The number of lines that it sends before.
        after: u8,
        /// The time until it starts again, in milliseconds.
        down_ms: u16,
    },
    /// A writer dies, its logs in the database lose their last tokens, and it starts again and gives
    /// them out anew. Never drawn; only one of Synapse's, where no other writer has the same stream
    /// and its tokens rise; not on levels with sockets.
    RestoreBackup {
        /// The writer, by number.
        writer: u8,
        /// The number of tokens that have rows and are lost.
        tokens: u8,
    },
    /// A follower's connection ends, and for a time it has the address of each of the first two
    /// writers for the other one. Never drawn; not on levels with sockets.
    WrongAddresses {
        /// The follower, by number.
        follower: u8,
        /// The time in milliseconds.
        ms: u16,
    },
    /// The bus stops for a time, which ends all connections.
    RestartBus {
        /// The time until it accepts connections again, in milliseconds.
        down_ms: u16,
    },
    /// The next reads of a writer's log fail.
    FailReads {
        /// The writer, by number.
        writer: u8,
        /// The number of reads.
        count: u8,
    },
    /// A writer accepts no connection for a time. Only on levels with sockets.
    SlowAccept {
        /// The writer, by number.
        writer: u8,
        /// The time in milliseconds.
        ms: u16,
    },
    /// From now on every byte stream is read and written in pieces, with pauses between them. Only
    /// on levels with sockets.
    Pieces {
        /// The most bytes of a piece; 0 for no limit.
        bytes: u8,
    },
    /// A client that is no instance of the scenario publishes a message on the bus.
    Noise {
        /// The message.
        noise: Noise,
    },
}

/// A message on the bus that comes from no instance of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Noise {
    /// A REPLICATE, which every writer answers.
    Replicate,
    /// Bytes that are not a command.
    Garbage,
    /// An empty message.
    Blank,
    /// A command of an unknown name.
    UnknownCommand,
    /// A POSITION of an unknown stream, by a writer without an endpoint.
    UnknownStream,
    /// A command that concerns no log.
    RemoteServerUp,
}

/// A fault of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FetchFault {
    /// The writer answers with a 500.
    Status,
    /// The writer does not respond in time.
    TimedOut,
    /// The response is larger than the driver allows.
    TooLarge,
    /// The page claims to reach beyond the requested range.
    Beyond,
    /// The page is limited and ends where the request began.
    Stuck,
    /// The page ends at its last row without being limited, as those of some streams do.
    Short,
    /// The page has rows below the requested range.
    TooMuch,
    /// The writer has no endpoint.
    NoEndpoint,
    /// The page is read at once but arrives late, so that it is stale and may come after a
    /// reconnection.
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
    /// Returns what it strikes.
    pub(crate) const fn whom(self) -> Whom {
        match self {
            Self::WaitFor { follower, .. }
            | Self::Cut { follower, .. }
            | Self::HalfOpen { follower, .. }
            | Self::Deafen { follower, .. }
            | Self::RefuseConnections { follower, .. }
            | Self::DelayFollower { follower, .. }
            | Self::CrashFollower { follower }
            | Self::SlowHandler { follower, .. }
            | Self::ClockJump { follower, .. }
            | Self::LoseReplicate { follower }
            | Self::Damage { follower, .. }
            | Self::WrongAddresses { follower, .. }
            | Self::SpoilFetches { follower, .. } => Whom::Follower(follower),
            Self::CrashWriter { writer, .. }
            | Self::WriterOffline { writer, .. }
            | Self::LosePublish { writer, .. }
            | Self::DelayWriter { writer, .. }
            | Self::StallWriter { writer, .. }
            | Self::Repeat { writer }
            | Self::FailReads { writer, .. }
            | Self::SlowAccept { writer, .. }
            | Self::AnswerAmid { writer, .. }
            | Self::DieAmid { writer, .. }
            | Self::RestoreBackup { writer, .. }
            | Self::EmptyPosition { writer } => Whom::Writer(writer),
            Self::Write { .. }
            | Self::RestartBus { .. }
            | Self::Pieces { .. }
            | Self::Noise { .. } => Whom::Bus,
        }
    }

    /// Reduces the event's counts to the least: one token, one row, one repetition.
    pub(crate) const fn make_plain(&mut self) {
        match self {
            Self::Write { tokens, rows, .. } => (*tokens, *rows) = (1, 1),
            Self::SpoilFetches { count, .. }
            | Self::RefuseConnections { count, .. }
            | Self::FailReads { count, .. }
            | Self::LosePublish { count, .. } => *count = 1,
            Self::RestoreBackup { tokens, .. } => *tokens = 1,
            Self::Pieces { bytes } => *bytes = 1,
            Self::Cut { after, .. }
            | Self::AnswerAmid { after, .. }
            | Self::DieAmid { after, .. } => *after = 0,
            Self::WaitFor { .. }
            | Self::HalfOpen { .. }
            | Self::Deafen { .. }
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
            | Self::WrongAddresses { .. }
            | Self::RestartBus { .. }
            | Self::SlowAccept { .. }
            | Self::Noise { .. } => {}
        }
    }

    /// Returns whether this is a fault, rather than a write, a wait or a change of pieces.
    pub const fn is_fault(self) -> bool {
        !matches!(self, Self::Write { .. } | Self::WaitFor { .. } | Self::Pieces { .. })
    }
}

impl Noise {
    /// All kinds of noise.
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
    /// All faults of fetches.
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
