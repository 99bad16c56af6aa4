//! Coverage marks: the situations that a run reached. A test unites the marks of its seeds and
//! fails when one is missing, so a kind of fault that no longer happens is noticed.

use serde::{Deserialize, Serialize};

macro_rules! marks {
    (
        logical: { $($(#[$doc:meta])* $name:ident,)+ }
        network: { $($(#[$network_doc:meta])* $network:ident,)+ }
        both: { $($both:ident,)+ }
    ) => {
        /// A situation that a run can reach.
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
            /// All marks that the logical level can reach.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// All marks that the network level can reach.
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
    /// An attempt to connect was refused.
    ConnectionRefused,
    /// Messages of two writers arrived in another order than they were sent.
    WritersReordered,
    /// Batches of two writers interleaved at a follower.
    BatchesInterleaved,
    /// A REPLICATE got lost.
    ReplicateLost,
    /// A PUBLISH got lost of a writer that does not notice.
    PublishLost,
    /// A PUBLISH of a writer that is our own node got lost.
    OurPublishLost,
    /// A follower received its own command back from the bus.
    Echo,
    /// A writer sent a batch twice.
    Repeated,
    /// An RDATA was damaged.
    Damaged,
    /// A message arrived on the bus that is not a command.
    Garbage,
    /// A POSITION arrived of a stream that no instance of the scenario writes.
    UnknownStream,
    /// A fetch failed.
    FetchFailed,
    /// A fetch was answered with a page that breaks its rules.
    FetchUnusable,
    /// A page was limited.
    FetchPaged,
    /// A page ended between the rows of one token.
    FetchSplitToken,
    /// A page had rows below the requested range.
    FetchTooMuch,
    /// A page came after the end of the connection under which it was requested.
    FetchAfterReconnect,
    /// A fetch failed because the writer has no endpoint.
    FetchNoEndpoint,
    /// An application handled its events late.
    SlowHandler,
    /// A follower took its messages so slowly that the bus cut it off.
    SlowFollowerCut,
    /// A writer crashed and started again.
    WriterCrashed,
    /// A follower crashed and started again.
    FollowerCrashed,
    /// A follower crashed before its application had handled all events.
    FollowerCrashedBusy,
    /// A writer had no connection to the bus for a while.
    WriterOffline,
    /// A writer started later than the run.
    WriterAppeared,
    /// A writer announced a token whose rows it had not sent yet.
    AnnouncedAhead,
    /// A writer announced a range as empty in which it had written rows.
    EmptyPosition,
    /// A writer answered a REPLICATE inside a send.
    AnsweredAmid,
    /// A writer died inside a send.
    DiedAmid,
    /// The clock of a follower jumped forward.
    ClockJumped,
    /// The bus restarted, which ended all connections.
    BusRestarted,
    /// A follower had the instance name of a writer.
    SameName,
    /// A source became live at an observer.
    ObserverLive,
    /// A source was reset.
    Reset,
    /// A source was reset twice at one follower.
    ResetTwice,
    /// A source was reset during a catch-up.
    ResetInCatchUp,
    /// A holding queue overflowed.
    Overflow,
    /// A gap was reported.
    Gap,
    /// A live source ceased to be live.
    NotLive,
    /// A POSITION came with the follower below its previous token.
    PositionBehind,
    /// A POSITION came with the follower at its previous token.
    PositionAtPrev,
    /// A POSITION came with the follower between its two tokens.
    PositionInside,
    /// A POSITION came with the follower at its new token.
    PositionAtNew,
    /// A POSITION came with the follower above its new token.
    PositionAhead,
    /// RDATA of a source came before its POSITION on this connection.
    RdataBeforePosition,
    /// A wait ended because its source reached the token.
    WaitMet,
    /// Two waits for one token were open at once.
    WaitTwice,
    /// Rows of one send came in falling order.
    FallingBurst,
    /// A page held rows of another writer of the stream.
    SharedFetch,
    /// A follower that resumed from saved positions caught up.
    ResumedCatchUp,
    /// A writer that is our own node published rows.
    OursPublished,
    /// A writer that is our own node read its log in more than one page.
    LogPaged,
    /// A writer that is our own node announced again after a send of unknown fate.
    OursAnnouncedAgain,
    /// Our server accepted a peer over direct TCP.
    Accepted,
    /// Our server closed a peer's connection.
    PeerClosed,
    /// An audit found a row that had been missed without a trace on the wire.
    AuditFound,
    /// An audit reported a range that it left out.
    AuditLeftOut,
    /// A writer's log was seen to have gone back.
    Rewound,
    /// A writer's log was seen to be another one.
    OtherLog,
    /// A writer's address was seen to be another instance's.
    WrongAddress,
    /// A writer broke its side of the protocol, so that rows could be missed without a trace.
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
    /// Our server had to wait until a peer read what it was sent.
    DirectFull,
    /// Our server cut off a peer that did not keep up.
    DirectCutOff,
    /// A PUBLISH of a connection that its writer had given up arrived late.
    LatePublish,
    /// The response to a fetch broke off in its middle.
    PageBroken,
    /// The response to a fetch declared a length above the limit.
    PageTooLong,
    /// The response to a fetch did not come.
    PageStalled,
    /// The response to a fetch came late.
    PageLate,
    /// A fetch could not connect to its writer.
    FetchNoWay,
    /// A connection served more than one fetch.
    FetchReused,
    /// A PUBLISH was answered with an error.
    PublishRefused,
    /// A read of an own log failed.
    LogReadFailed,
    /// A read of an own log was slow.
    LogReadStalled,
    /// A listener accepted a connection late.
    SlowAccept,
    /// The publishing connection to the bus was lost, and the subscribed one was not.
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
    /// Adds a mark.
    pub const fn hit(&mut self, mark: Mark) {
        self.0 |= 1 << mark as u32;
    }

    /// Adds the marks of another run.
    pub const fn unite(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Returns whether a mark was reached.
    pub const fn has(self, mark: Mark) -> bool {
        self.0 & (1 << mark as u32) != 0
    }

    /// Returns the marks of `wanted`, [`Mark::ALL`] or [`Mark::NETWORK`], that were not reached.
    pub fn missing(self, wanted: &[Mark]) -> impl Iterator<Item = Mark> {
        wanted.iter().copied().filter(move |mark| !self.has(*mark))
    }
}

const _: () = assert!(Mark::ALL.len() + Mark::NETWORK.len() <= 128);
