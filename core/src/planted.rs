//! Planted bugs: known-bad variants of the code, which show that the simulator catches them. They
//! exist only with the feature `planted-bugs`, which no build for use has.

/// Declares an enum of known-bad variants, each with what it does wrong and where that is known
/// from. Serves the core and what is put around it: the driver, and the simulator's own.
#[cfg(feature = "planted-bugs")]
#[doc(hidden)]
#[macro_export]
macro_rules! planted_bugs {
    ($(#[$doc:meta])* $enum:ident { $($name:ident: $description:literal, $origin:literal;)+ }) => {
        $(#[$doc])*
        #[derive(
            Clone,
            Copy,
            Debug,
            PartialEq,
            Eq,
            PartialOrd,
            Ord,
            Hash,
            serde::Serialize,
            serde::Deserialize,
        )]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum $enum {
            $(#[doc = $description] #[doc = ""] #[doc = concat!("Origin: ", $origin, ".")] $name,)+
        }

        impl $enum {
            /// All variants.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Returns what the bug does wrong, in one line.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$name => $description,)+
                }
            }

            /// Returns where the bug is known from: a known bug, a hazard of `protocol.md`, or the
            /// promise that it breaks.
            pub const fn origin(self) -> &'static str {
                match self {
                    $(Self::$name => $origin,)+
                }
            }
        }
    };
}

#[cfg(feature = "planted-bugs")]
planted_bugs! {
    /// A known-bad variant of the core, chosen by [`Config::planted`](crate::Config).
    PlantedBug {
        StaysLiveAcrossConnections: "a live source stays live when its connection is lost", "A04";
        IgnoresPositionInBatch: "an announcement leaves a half batch alone", "A10";
        TakesTornBatchForWhole: "the rest of a torn batch passes for a whole one", "A10";
        DeliversOldRows: "RDATA at or below the position is delivered again", "A06";
        NeverResets: "a lower announcement of a stream that can start over is taken for an old one", "A07, X6";
        ResetsAnyStream: "a lower announcement resets streams that cannot start over", "A64b";
        DiscardsRedundantPositions: "an announcement that brings nothing new does not make the source live", "A09";
        BelievesRowsBeforePosition: "the first row on a connection makes the source live without a fetch", "X5, H3";
        IgnoresPrevious: "an announcement is believed to go on from wherever the source is", "A28";
        DeliversPagesUnderOneToken: "all rows of a page are delivered under its last token", "A03";
        BelievesPagesBeyond: "a page that claims to reach beyond what was asked is believed", "A24";
        EndsAtStuckPages: "a page that does not move ends the catch-up", "A27";
        BelievesCutTokens: "a limited page's last token is taken for whole", "A25, H15";
        NeverRetriesFetches: "a fetch that failed is not tried again", "X3";
        NeverAsksAgain: "REPLICATE is sent once a connection, answered or not", "X2";
        NeverReconnects: "a connection that could not be made is not tried again", "A56";
        DropsRowsWhileCatchingUp: "rows that arrive during a catch-up are dropped", "H4";
        RepeatsHeldRows: "held rows that the catch-up covered are delivered again", "A06";
        DeliversEchoes: "rows under the own name are delivered", "A35";
        DropsFallingRows: "rows of a burst below its highest are dropped", "H13";
        MovesPositionInsideBursts: "the position moves with each row of a burst", "H13";
        BelievesBurstPages: "a cut page of a burst stream is taken for whole", "H13, H15";
        RepeatsSharedRows: "rows that a shared fetch showed are delivered again under their writer", "A32";
        HidesGaps: "rows that are given up are passed over without a word", "F2";
        GivesUpUnasked: "a fetch that was to be tried for ever is given up", "F2";
        GapsFromStart: "a gap reaches back over rows that were delivered", "F2";
        ResetsLiveSources: "an announcement of where a live source stands resets it", "F10, F3";
        TellsPositionFirst: "the end of a page is told before its rows", "A14";
        DropsOverflow: "what no longer fits into a holding queue is dropped, not fetched", "F9";
        HoldsWithoutLimit: "holding queues have no limit", "X9";
        FetchesWithoutLimit: "fetches in flight have no limit", "A49";
        IgnoresMalformedRows: "an RDATA that cannot be read is ignored", "A11";
        EndsWaitsEarly: "a wait ends one token too early", "A17";
        NeverEndsWaits: "a wait never ends", "A20";
        OldFetchMakesLive: "a fetch begun under an earlier connection makes the source live", "F7, A04";
        KeepsFetchOverReset: "a fetch outlives its connection in a stream that can start over", "X6";
        ObserverAsks: "an observer publishes REPLICATE", "observe only";
        SkipsFirstRowsOfNewWriters: "a writer that appears later starts where it is, not where the stream was", "A41";
        UpsetsOthers: "a row that cannot be read makes every source lose its footing", "A02, F8";
        NeverAnnouncesOnConnect: "a writer says nothing when it comes back to the bus", "P4, A28";
        NeverAnswersReplicate: "a writer does not answer REPLICATE", "P4, A29";
        ForgetsUnconfirmed: "a writer goes on behind sends of unknown fate", "P3, X1";
        AnnouncesAhead: "a writer announces ahead of rows it has not sent", "P4, A33";
        DropsOwnRows: "a writer passes over long batches of its own", "P2, A38";
        SplitsOwnBatches: "a writer sends every row of a batch with its token", "P1";
        NeverCutsOff: "a peer that takes nothing is never cut off", "P5";
        SkipsUnheardStart: "a restarted writer goes on beyond a start that nobody may have heard of", "P3, X6";
        TellsUnconfirmed: "what was only sent is told to the application as gone out", "P3";
        ForgetsMovedTokens: "that tokens without rows have gone out is not told", "P3";
        ReadsOnePage: "of an own log only one page is read at a time that it grows", "P1";
        StaysFull: "a bus that was full is not written to once it has room", "P1";
        AuditBelievesTokens: "the audit takes a token for whole of which one row was delivered", "X1, F2";
        AuditRepeatsRows: "the audit delivers rows again that were delivered", "F3";
        AuditMovesPosition: "rows that the audit found are delivered with their own token as position", "F6";
        AuditForgetsSilently: "the audit does not say what it left out", "F2";
        RefusesLateAnswers: "an answer that is no longer wanted is an error of the driver", "C2";
    }
}

/// Tells whether this bug is planted and its condition holds. A constant `false` without the
/// feature.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($config:expr, $bug:ident $(if $condition:expr)?) => {
        $config.planted == Some($crate::planted::PlantedBug::$bug) $(&& $condition)?
    };
}

/// Tells whether this bug is planted and its condition holds. A constant `false` without the
/// feature.
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($config:expr, $bug:ident $(if $condition:expr)?) => {
        false $(&& $condition)?
    };
}

pub(crate) use planted;
