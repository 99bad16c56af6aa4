//! The audit's side of F1, F3, F4 and F6: what it found had really been missed, lies below a
//! position that stays where it is, and comes in order. And of F2: with it, rows must come that
//! nothing on the wire told of.

use synrepl_core::stream::{Order, Row, Source, Token};

use super::{Oracle, Promise, Verdict, ledger::Ledger, once};
use crate::world::Log;

impl Oracle {
    /// The follower compares what it was given with what the writers hold.
    pub(crate) const fn auditing(mut self, audits: bool) -> Self {
        self.audits = audits;
        self
    }

    /// An audit goes through the tokens in their order.
    pub(super) fn in_order_of_finding(&mut self, source: &Source, token: Token) -> Verdict {
        let last = self.of(source).last_found.replace(token);
        if last.is_some_and(|last| last >= token) {
            let what = format!("found {token} after {last:?}");
            return Err(self.violation(Promise::Order, Some(source), what));
        }
        Ok(())
    }

    /// Rows that an audit found, or that a hole had.
    pub(super) fn on_found(
        &mut self,
        source: &Source,
        (token, position): (Token, Token),
        rows: &[Row],
        logs: &[Log],
    ) -> Verdict {
        let log = self.log_of(source, logs)?;
        let ledger = self.of(source);
        let stands = ledger.position;
        if position != stands || token > stands {
            let what = format!("found {token} at {position}, the position is {stands}");
            return Err(self.violation(Promise::HonestPosition, Some(source), what));
        }
        let shared = log.traits.shared_fetch;
        if log.traits.order != Order::Loose {
            let once = once::check(self.siblings(source, shared), token, rows);
            self.hold(Promise::Once, source, once)?;
        }
        let verdict = self.check_found_whole(log, token, rows, logs);
        self.hold(Promise::Batches, source, verdict)?;
        self.of(source).tokens.entry(token).or_default().extend_from_slice(rows);
        Ok(())
    }

    /// All that was missed of one token comes together.
    fn check_found_whole(
        &self,
        log: &Log,
        token: Token,
        rows: &[Row],
        logs: &[Log],
    ) -> Result<(), String> {
        let shared = log.traits.shared_fetch;
        let first = rows.first().ok_or("no rows at all were found")?;
        let siblings = logs
            .iter()
            .filter(|other| other.source == log.source || (shared && other.stream == log.stream));
        let written = siblings.filter_map(|log| log.wrote(token, first)).next();
        let written =
            written.ok_or_else(|| format!("{} was never written at {token}", first.as_str()))?;
        let ledgers = self.counting(&log.source, shared);
        let came_before = |row: &Row| came(log, &ledgers, token, row);
        // Or a warning, or a gap, has told of the rest.
        let left_out =
            ledgers.iter().any(|ledger| ledger.is_unaudited(token) || ledger.in_gap(token));
        let right = rows.iter().all(|row| written.contains(row));
        let whole = written.iter().all(|row| rows.contains(row) || came_before(row));
        if right && (whole || left_out) {
            return Ok(());
        }
        Err(format!("{} of {} rows were found at {token}", rows.len(), written.len()))
    }

    /// Rows of this token need not come: the writer broke its side of the protocol there, and no
    /// audit can, or will, mend that.
    pub(super) fn excuses(&self, log: &Log, token: Token) -> bool {
        if !log.is_untold(token) {
            return false;
        }
        let all_came = || {
            let ledgers = self.counting(&log.source, log.traits.shared_fetch);
            log.entries
                .get(&token)
                .is_some_and(|rows| rows.iter().all(|row| came(log, &ledgers, token, row)))
        };
        (log.traits.aggregated && all_came())
            || (!self.audits
                || self.order(log) == Order::UnclosedBursts
                // That its tokens have started over may have been missed as well.
                || (log.traits.resettable && log.epoch > 0)
                || self.ledgers.get(&log.source).is_some_and(|ledger| ledger.is_unaudited(token)))
    }

    /// Rows that a follower has passed over without a word, as nothing told it of them.
    pub(crate) fn rows_missed(&self, logs: &[Log]) -> u64 {
        let missed = |log: &Log| {
            let Some(ledger) = self.ledgers.get(&log.source) else { return 0 };
            let ledgers = self.counting(&log.source, log.traits.shared_fetch);
            let from = ledger.start.unwrap_or(ledger.position);
            log.between(from, ledger.position)
                .filter(|(token, _)| !ledger.in_gap(*token))
                .flat_map(|(token, rows)| rows.iter().map(move |row| (token, row)))
                .filter(|(token, row)| !ledgers.iter().any(|ledger| ledger.has(*token, row)))
                .count()
        };
        logs.iter()
            .filter(|log| log.source.instance() != self.instance)
            .map(|log| missed(log) as u64)
            .sum()
    }
}

/// Whether the row came. Where a row only says how far its key has come, a later token may have
/// brought it.
fn came(log: &Log, ledgers: &[&Ledger], token: Token, row: &Row) -> bool {
    let later = |ledger: &Ledger| ledger.tokens.range(token..).any(|(_, rows)| rows.contains(row));
    ledgers.iter().any(|ledger| ledger.has(token, row) || (log.traits.aggregated && later(ledger)))
}
