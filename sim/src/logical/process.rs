//! One instance in the world: its machine, its connection, and what its surroundings do to it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use synrepl_core::{
    Config, ConnectionId, Event, FetchId, Input, ReadId, Timestamp,
    stream::{Positions, Source, Token},
    wire::{Command, DecodeError},
};

use crate::{
    machine::Machine,
    oracle::{Counts, Oracle},
    scenario::FetchFault,
};

/// Index of a process: first the writers, then the followers.
pub(super) type ProcessIndex = usize;

/// One command on its way.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) line: Bytes,
    /// The command as the receiver's codec reads it.
    pub(super) read: Result<Command, DecodeError>,
    /// The source that it names, if it is RDATA or POSITION of a source that exists.
    pub(super) source: Option<Source>,
    /// Order in which messages were sent, over all writers.
    pub(super) number: u64,
    pub(super) from: ProcessIndex,
}

/// Makes a machine's number for a connection one that no later life of the machine uses again.
pub(super) const fn in_life(life: u32, conn: ConnectionId) -> ConnectionId {
    ConnectionId::new(((life as u64) << 24) + conn.get())
}

/// The machine's own number for a connection.
pub(super) const fn as_named(conn: ConnectionId) -> ConnectionId {
    ConnectionId::new(conn.get() & ((1 << 24) - 1))
}

/// A connection to the bus.
#[derive(Debug)]
pub(super) struct Link {
    /// The machine's name for it; builtin writers count their own.
    pub(super) conn: ConnectionId,
    pub(super) state: LinkState,
    /// The time since which it is up.
    pub(super) since: Timestamp,
    /// The link carries nothing any more, and neither side has noticed.
    pub(super) broken: bool,
    /// When the last message on each leg arrives: the next message does not arrive sooner.
    pub(super) outward_at: Timestamp,
    pub(super) inward_at: Timestamp,
    /// The count of messages so far, which decides how long the next one takes.
    pub(super) legs: u64,
    /// The delay that every message takes on top, and the time at which that ends.
    pub(super) late_by: Duration,
    pub(super) late_until: Timestamp,
    /// How many attempts to connect fail.
    pub(super) refuse: u8,
    pub(super) refuse_until: Timestamp,
    /// Messages that arrive before this time are not heard.
    pub(super) deaf_until: Timestamp,
    /// The server's name for a direct connection.
    pub(super) peer: Option<ConnectionId>,
    /// Commands that the peer has not taken.
    pub(super) untaken: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkState {
    Down,
    Connecting,
    Up,
}

impl Link {
    pub(super) const fn new() -> Self {
        Self {
            conn: ConnectionId::new(0),
            state: LinkState::Down,
            since: Timestamp::ZERO,
            broken: false,
            outward_at: Timestamp::ZERO,
            inward_at: Timestamp::ZERO,
            legs: 0,
            late_by: Duration::ZERO,
            late_until: Timestamp::ZERO,
            refuse: 0,
            refuse_until: Timestamp::ZERO,
            deaf_until: Timestamp::ZERO,
            peer: None,
            untaken: 0,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.state == LinkState::Up
    }
}

/// A fetch under way.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    pub(super) source: Source,
    pub(super) from: Token,
    pub(super) upto: Token,
    /// The connection under which it was asked for.
    pub(super) conn: ConnectionId,
}

/// What a follower's surroundings do to it, and what it has been seen to do.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) oracle: Oracle,
    pub(super) counts: Counts,
    pub(super) handler_us: u32,
    /// Events that its application has not taken yet.
    pub(super) pending: VecDeque<Event>,
    /// What its driver has not handed in, because the application is behind.
    pub(super) inbox: VecDeque<(Input, Option<Source>)>,
    pub(super) busy_until: Timestamp,
    /// A deadline passed while the application was behind.
    pub(super) tick_missed: bool,
    pub(super) handler_planned: bool,
    /// The positions that went with the events that were handled.
    pub(super) applied: Positions,
    pub(super) cut_after: Option<u8>,
    pub(super) damage: Option<u8>,
    pub(super) lose_replicates: u8,
    /// A REPLICATE got lost, and sources that are not known yet are not asked for again.
    pub(super) replicate_lost: bool,
    pub(super) spoil: VecDeque<FetchFault>,
    /// Until then it has the addresses of the first two writers the wrong way round.
    pub(super) misled_until: Timestamp,
    /// Sources with an open batch on this connection.
    pub(super) open_batches: BTreeSet<Source>,
    /// Sources that said where they stand on this connection.
    pub(super) positioned: BTreeSet<Source>,
    pub(super) last_was_position: bool,
    /// The latest message heard, and who sent it.
    pub(super) latest: (u64, ProcessIndex),
    pub(super) live_since: Option<Timestamp>,
}

/// One instance.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) name: String,
    /// The machine; a builtin writer has none, nor has an instance that is down.
    pub(super) machine: Option<Box<dyn Machine>>,
    pub(super) config: Config,
    pub(super) link: Link,
    /// How far the instance's clock has jumped ahead.
    pub(super) skew: Duration,
    pub(super) timer_at: Option<Timestamp>,
    /// The number of the present life: answers to an earlier life are dropped.
    pub(super) life: u32,
    pub(super) fetches: BTreeMap<FetchId, Fetch>,
    /// Fetches whose answers are not wanted any more, but come.
    pub(super) cancelled: BTreeMap<FetchId, Fetch>,
    pub(super) follower: Option<Follower>,
    pub(super) writer: Option<Writer>,
}

/// What a writer's surroundings do to it, and how far it has come.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) started: bool,
    pub(super) down: bool,
    pub(super) must_announce: bool,
    pub(super) loop_planned: bool,
    pub(super) stalled_until: Timestamp,
    pub(super) lose: u8,
    /// Reads of its log that fail.
    pub(super) fail_reads: u8,
    pub(super) empty_next: bool,
    /// What happens inside its next send.
    pub(super) amid: Option<Amid>,
    /// The last batch it sent, to send again.
    pub(super) last_batch: Vec<Bytes>,
    pub(super) is_builtin: bool,
}

/// Something that happens to a writer inside a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Amid {
    /// It answers a REPLICATE when it has sent so many tokens.
    Answers { after: u8 },
    /// It dies when it has sent so many lines, for so many milliseconds.
    Dies { after: u8, down_ms: u16 },
}

/// An event that is planned.
#[derive(Debug)]
pub(super) enum Due {
    /// An event of the scenario.
    Happening(usize),
    /// A message reaches the bus.
    AtBus { conn: ConnectionId, message: Rc<Message>, leg: u64 },
    /// A message reaches an instance.
    Arrive { to: ProcessIndex, conn: ConnectionId, message: Rc<Message>, leg: u64 },
    /// A line of the server reaches a follower that is connected directly.
    TcpInward { to: ProcessIndex, conn: ConnectionId, line: Bytes, leg: u64 },
    /// A line of such a follower reaches the server.
    TcpOutward { from: ProcessIndex, peer: ConnectionId, line: Bytes, leg: u64 },
    /// The bus has taken a message of a machine.
    Taken { by: ProcessIndex, conn: ConnectionId },
    /// A connection is made, or fails.
    Connect { process: ProcessIndex, conn: ConnectionId },
    /// A connection ends, or its end is noticed.
    Disconnect { process: ProcessIndex, conn: ConnectionId, reason: &'static str },
    /// A machine wants to be woken.
    Tick { process: ProcessIndex, at: Timestamp },
    /// A question for missed rows reaches its writer.
    Asked { process: ProcessIndex, life: u32, query: FetchId, leg: u64 },
    /// The answer to it comes back.
    Answer { process: ProcessIndex, life: u32, query: FetchId, answer: Box<Answer>, leg: u64 },
    /// A read of an own log is done.
    LogRead { process: ProcessIndex, life: u32, query: ReadId, read: Box<LogRead> },
    /// An application is free for the next event.
    HandlerFree { process: ProcessIndex },
    /// A builtin writer's send loop runs.
    SendLoop { writer: ProcessIndex },
    /// A writer starts, for the first time or again.
    WriterStarts { writer: ProcessIndex },
    /// A builtin writer is back on the bus.
    WriterBack { writer: ProcessIndex },
    /// A writer that has stopped inside a send dies.
    WriterDies { writer: ProcessIndex, down_ms: u16 },
}

pub(super) type Answer = Result<synrepl_core::stream::Page, synrepl_core::stream::FetchError>;

/// A read of an own log.
#[derive(Debug)]
pub(super) struct LogRead {
    pub(super) stream: bytestring::ByteString,
    pub(super) from: Token,
    pub(super) upto: Token,
    pub(super) rows_max: u32,
}
