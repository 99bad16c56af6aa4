//! F12: a token of which nothing reached the bus leaves a hole once its writer has passed it, and
//! its rows come by a look.

use synrepl_core::{
    Transport,
    stream::{Order, Row},
};

use super::{Oracle, Promise, Verdict, complete};
use crate::world::Log;

impl Oracle {
    /// Every hole that can be looked into has been.
    pub(crate) fn check_looked_into(&self, logs: &[Log]) -> Verdict {
        for log in logs.iter().filter(|log| self.has_holes(log, logs)) {
            let Some(ledger) = self.ledgers.get(&log.source) else { continue };
            let Some(live_from) = ledger.live_from else { continue };
            let from = ledger.start.unwrap_or(live_from).max(live_from);
            let ledgers = self.counting(&log.source, log.traits.shared_fetch);
            let excused = |token| {
                !log.leaves_hole(token) || ledgers.iter().any(|ledger| ledger.is_unaudited(token))
            };
            let upto = ledger.position;
            if let Some((token, rows)) = complete::first_missing(log, &ledgers, from, upto, excused)
            {
                let rows = rows.iter().map(Row::as_str).collect::<Vec<_>>().join(" ");
                let what = format!("{rows} at {token} got lost, and nobody asks for them");
                return Err(self.violation(Promise::Holes, Some(&log.source), what));
            }
        }
        Ok(())
    }

    /// Whether holes of the log are looked into: not where nothing gets lost, where tokens are
    /// skipped or start over, and where the pages would show our own rows.
    fn has_holes(&self, log: &Log, logs: &[Log]) -> bool {
        let of_us = |log: &Log| log.source.instance() == self.instance;
        let shows_ours = || {
            let mut siblings = logs.iter().filter(|other| other.stream == log.stream);
            log.traits.shared_fetch && siblings.any(of_us)
        };
        self.transport == Transport::Bus
            && self.order(log) == Order::Rising
            && !log.traits.resettable
            && !of_us(log)
            && !shows_ours()
    }
}
