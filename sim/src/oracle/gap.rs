//! F2, for what a gap may say: it stands where the source stands, its reason is true, and nothing is
//! given up that was to be tried for ever.

use synrepl_core::{
    GapReason,
    stream::{Order, Source, Token},
};

use super::{Oracle, Promise, Verdict, ledger::Ledger};
use crate::world::Log;

impl Oracle {
    /// The follower gives fetches up after some failures.
    pub(crate) const fn giving_up(mut self, gives_up: bool) -> Self {
        self.gives_up = gives_up;
        self
    }

    /// The follower has been told that there is nowhere to fetch the source's rows from.
    pub(crate) fn on_no_endpoint(&mut self, source: &Source) {
        self.of(source).no_endpoint = true;
    }

    /// A gap stands in the place of rows.
    pub(super) fn on_gap(
        &mut self,
        source: &Source,
        (from, upto): (Token, Token),
        reason: &GapReason,
        logs: &[Log],
    ) -> Verdict {
        let log = logs.iter().find(|log| log.source == *source);
        let order = log.map(|log| self.order(log));
        let gives_up = self.gives_up;
        let ledger = self.of(source);
        // Rows of these streams come below the position too, and so do their losses.
        let goes_back = order == Some(Order::Loose)
            || matches!(reason, GapReason::Unreadable | GapReason::Discontinuity);
        let verdict = check_place(ledger, (from, upto), goes_back)
            .and_then(|()| check_reason(ledger, reason, gives_up, (log, order)));
        (ledger.no_endpoint, ledger.is_other_log) = (false, false);
        ledger.gaps.push((from, upto));
        ledger.split = None;
        self.hold(Promise::Complete, source, verdict)
    }
}

fn check_place(
    ledger: &Ledger,
    (from, upto): (Token, Token),
    goes_back: bool,
) -> Result<(), String> {
    if from >= upto {
        return Err(format!("a gap from {from} up to {upto} is none"));
    }
    if upto < ledger.position {
        return Err(format!("a gap ends at {upto}, below the position {}", ledger.position));
    }
    if from < ledger.position && !goes_back {
        return Err(format!("a gap begins at {from}, below the position {}", ledger.position));
    }
    Ok(())
}

/// Checks what can be known: a source that no writer writes has no log to compare with.
#[expect(clippy::wildcard_enum_match_arm, reason = "a reason of a later core is not known here")]
fn check_reason(
    ledger: &Ledger,
    reason: &GapReason,
    gives_up: bool,
    (log, order): (Option<&Log>, Option<Order>),
) -> Result<(), String> {
    match reason {
        GapReason::GaveUp { error } if !gives_up => {
            Err(format!("gave up though it was to try for ever: {error}"))
        }
        GapReason::NoEndpoint if log.is_some() && !ledger.no_endpoint => {
            Err("says that there is nowhere to fetch from, and there is".to_owned())
        }
        GapReason::Discontinuity if !ledger.is_other_log => {
            Err("says that the log is another one, and nothing has said so before".to_owned())
        }
        GapReason::Unreadable if matches!(order, Some(Order::Rising | Order::Bursts)) => {
            Err("says that it cannot be fetched below the position, and it can".to_owned())
        }
        GapReason::SplitToken if log.is_some_and(|log| !log.traits.splits_tokens) => {
            Err("says that a token was split, in a stream whose pages split none".to_owned())
        }
        _ => Ok(()),
    }
}
