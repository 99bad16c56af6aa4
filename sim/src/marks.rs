//! Coverage marks: what a run reached. A test unites the marks of its seeds and fails when one is
//! missing, so that a kind of fault that quietly stopped happening is noticed.

use serde::{Deserialize, Serialize};

macro_rules! marks {
    (
        logical: { $($(#[$doc:meta])* $name:ident,)+ }
        network: { $($(#[$network_doc:meta])* $network:ident,)+ }
        both: { $($both:ident,)+ }
    ) => {
        /// Something that a run can reach.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Mark {
            $($(#[$doc])* $name,)+
            $($(#[$network_doc])* $network,)+
        }

        impl Mark {
            /// All marks of the logical level.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// All marks of the network level.
            pub const NETWORK: &[Self] = &[$(Self::$network,)+ $(Self::$both,)+];
        }
    };
}

marks! {
logical: {
    /// A connection ended inside a batch.
    CutInBatch,
    /// A connection ended during a catch-up.
    CutInCatchUp,
    /// A connection ended between an announcement and the rows after it.
    CutAfterPosition,
    /// A connection carried nothing for a while before it ended.
    HalfOpen,
    /// A connection could not be made.
    ConnectionRefused,
    /// Messages of two writers arrived in another order than they were sent.
    WritersReordered,
    /// Batches of two writers interleaved at a follower.
    BatchesInterleaved,
    /// A REPLICATE got lost.
    ReplicateLost,
    /// A PUBLISH of a writer that does not notice got lost.
    PublishLost,
    /// A PUBLISH of our own writer got lost.
    OurPublishLost,
    /// A follower heard its own commands.
    Echo,
    /// Rows came twice.
    Repeated,
    /// An RDATA was damaged.
    Damaged,
    /// A stranger said something that is no command.
    Garbage,
    /// A stranger announced a stream that there is not.
    UnknownStream,
    /// A fetch failed.
    FetchFailed,
    /// A fetch was answered with a page that breaks its rules.
    FetchUnusable,
    /// A page was limited.
    FetchPaged,
    /// A page ended between the rows of one token.
    FetchSplitToken,
    /// A page had rows from below what was asked.
    FetchTooMuch,
    /// A page came after the connection under which it was asked for.
    FetchAfterReconnect,
    /// There was nowhere to fetch from.
    FetchNoEndpoint,
    /// Events were handled late.
    SlowHandler,
    /// A follower took its messages so slowly that the bus cut it off.
    SlowFollowerCut,
    /// A writer died and came back.
    WriterCrashed,
    /// A follower died and came back.
    FollowerCrashed,
    /// A follower died with events that it had not handled.
    FollowerCrashedBusy,
    /// A writer was away from the bus.
    WriterOffline,
    /// A writer appeared mid-run.
    WriterAppeared,
    /// A writer announced ahead of its rows.
    AnnouncedAhead,
    /// A writer announced that there is nothing where there are rows.
    EmptyPosition,
    /// A clock jumped.
    ClockJumped,
    /// The bus went away.
    BusRestarted,
    /// A follower had a writer's name.
    SameName,
    /// An observer became live.
    ObserverLive,
    /// A stream started over.
    Reset,
    /// A stream started over twice at one follower.
    ResetTwice,
    /// A reset came during a catch-up.
    ResetInCatchUp,
    /// A holding queue overflowed.
    Overflow,
    /// A gap was reported.
    Gap,
    /// A source lost its footing.
    NotLive,
    /// POSITION: the follower was behind.
    PositionBehind,
    /// POSITION: the follower was at its previous token.
    PositionAtPrev,
    /// POSITION: the follower was inside.
    PositionInside,
    /// POSITION: the follower was there.
    PositionAtNew,
    /// POSITION: the follower was ahead.
    PositionAhead,
    /// RDATA of a source came before its POSITION on this connection.
    RdataBeforePosition,
    /// A wait was met.
    WaitMet,
    /// Two waits for one token were open at once.
    WaitTwice,
    /// Rows of one send came in falling order.
    FallingBurst,
    /// A fetch showed another writer's rows.
    SharedFetch,
    /// A follower that resumed caught up.
    ResumedCatchUp,
    /// Our own writer published.
    OursPublished,
    /// A log of our own writer was read in more than one page.
    LogPaged,
    /// Our own writer announced again after a send of unknown fate.
    OursAnnouncedAgain,
    /// A peer connected over direct TCP.
    Accepted,
    /// Our server closed a peer's connection.
    PeerClosed,
    /// An audit found a row that had been missed without a trace.
    AuditFound,
    /// An audit left something out.
    AuditLeftOut,
    /// Rows could be missed without a trace on the wire.
    Untold,
}
network: {
    /// A byte stream was cut into pieces.
    Pieces,
    /// A byte stream was cut into single bytes.
    SingleBytes,
    /// A follower on direct TCP delivered rows as they came.
    DirectLive,
    /// A follower on direct TCP delivered rows that it had missed.
    DirectCatchUp,
    /// Our server had to wait until a peer took what it was sent.
    DirectFull,
    /// Our server cut off a peer that did not keep up.
    DirectCutOff,
    /// What a writer had published on a connection that it had given up came late.
    LatePublish,
    /// An answer to a fetch broke off in its middle.
    PageBroken,
    /// An answer to a fetch was announced as longer than it may be.
    PageTooLong,
    /// An answer to a fetch did not come.
    PageStalled,
    /// An answer to a fetch came late.
    PageLate,
    /// A fetch found no way to its writer.
    FetchNoWay,
    /// A connection for fetches served more than one.
    FetchReused,
    /// A PUBLISH was answered with an error.
    PublishRefused,
    /// A read of an own log failed.
    LogReadFailed,
    /// A read of an own log took its time.
    LogReadStalled,
    /// A listener let a connection wait.
    SlowAccept,
    /// Of the two connections to the bus, only the publishing one was lost.
    PublishingCut,
}
both: {
    HalfOpen,
    ConnectionRefused,
    ReplicateLost,
    OurPublishLost,
    Damaged,
    Garbage,
    UnknownStream,
    FetchFailed,
    FetchUnusable,
    FetchPaged,
    FetchTooMuch,
    SlowHandler,
    WriterCrashed,
    FollowerCrashed,
    WriterOffline,
    WriterAppeared,
    ClockJumped,
    BusRestarted,
    SameName,
    Reset,
    Gap,
    NotLive,
    OursPublished,
    OursAnnouncedAgain,
    Accepted,
    PeerClosed,
}
}

/// A set of marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Marks(u128);

impl Marks {
    /// Adds one.
    pub const fn hit(&mut self, mark: Mark) {
        self.0 |= 1 << mark as u32;
    }

    /// Adds those of another run.
    pub const fn unite(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether it was reached.
    pub const fn has(self, mark: Mark) -> bool {
        self.0 & (1 << mark as u32) != 0
    }

    /// Those of `wanted` that were not reached: [`Mark::ALL`] or [`Mark::NETWORK`].
    pub fn missing(self, wanted: &[Mark]) -> impl Iterator<Item = Mark> {
        wanted.iter().copied().filter(move |mark| !self.has(*mark))
    }
}

const _: () = assert!(Mark::ALL.len() + Mark::NETWORK.len() <= 128);
