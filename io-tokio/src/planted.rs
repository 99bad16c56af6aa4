//! The bugs that can be planted in the driver, so that the simulator can be seen to catch them.
//! They exist only with the feature `planted-bugs`, which no build for use has.

#[cfg(feature = "planted-bugs")]
synrepl_core::planted_bugs! {
    /// A known-bad variant of the driver, chosen by [`Limits::planted`](crate::Limits).
    PlantedBug {
        DropsRestOfRead: "what was read together with a message is dropped behind it", "F2";
        ForgetsHalfLines: "a line of direct TCP of which only a part has come is forgotten", "F2, a branch of a select that is not cancel safe";
        ForgetsHalfFrames: "a reply or message of Redis of which only a part has come is forgotten", "F7, a branch of a select that is not cancel safe";
        ForgetsLastRowOfPage: "the last row of a page is left out", "F2";
        KeepsCancelledFetch: "a fetch that is no longer wanted goes on", "F9, A49";
        LosesLogReads: "a read of the log that failed is not reported", "P1, X3";
        ConfirmsWritten: "a PUBLISH counts as gone out when it is written, not when it is answered", "P3, X1";
        TakesRefusalsForDone: "a PUBLISH that is answered with an error counts as gone out", "P3";
        CountsSentTwice: "what a peer has taken counts twice", "P5";
        ResendsAfterReconnect: "PUBLISHes without an answer are sent again on the next connection", "P1, P4";
        OldSubscriptionGoesOn: "the subscription of a connection that was lost is read on", "F4, A04";
        FetchesForEver: "a call for missed rows has no time limit", "F7, X3";
        NeverPings: "a connection on which nothing comes is not tested", "F7, half-open connections";
    }
}

/// The bug that is planted. Without the feature there is none, and this has no size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Planted(
    #[cfg(feature = "planted-bugs")] pub(crate) Option<PlantedBug>,
    #[cfg(not(feature = "planted-bugs"))] pub(crate) (),
);

/// Returns whether this bug is planted: a constant `false` without the feature.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($planted:expr, $bug:ident) => {
        matches!($planted.0, Some($crate::planted::PlantedBug::$bug))
    };
}

/// Returns whether this bug is planted: a constant `false` without the feature.
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($planted:expr, $bug:ident) => {{
        let $crate::planted::Planted(()) = $planted;
        false
    }};
}

pub(crate) use planted;
