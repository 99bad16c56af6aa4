//! F6: a position is told only after every row up to it, and none is ahead of its writer. Known
//! invariants I1 and I9.

use synrepl_core::stream::{Row, Token};

use super::{complete, ledger::Ledger};
use crate::world::Log;

/// Gives the token of which only a part came, if that is the token of the position. A gap must
/// follow then.
pub(super) fn check(
    log: &Log,
    ledger: &Ledger,
    ledgers: &[&Ledger],
    position: Token,
) -> Result<Option<Token>, String> {
    if log.traits.resettable {
        // No log holds the rows of an epoch that is over. What the writer holds is judged at the
        // end of the run.
        return Ok(None);
    }
    // A log that was restored from a backup lies below positions that were right before.
    if position > log.current && (log.restored_to.is_empty() || position > log.highest_ever()) {
        return Err(format!("the position is {position}, its writer only at {}", log.current));
    }
    let from = ledger.start.unwrap_or(position).max(ledger.checked);
    // Where the writer broke its side of the protocol, the audit may yet come.
    let untold = |token| log.is_untold(token);
    match complete::first_missing(log, ledgers, from, position, untold) {
        Some((token, _)) if token == position && log.traits.splits_tokens => Ok(Some(token)),
        Some((token, rows)) => Err(format!(
            "the position is {position} but {} at {token} never came",
            rows.iter().map(Row::as_str).collect::<Vec<_>>().join(" "),
        )),
        None => Ok(None),
    }
}
