//! F2: every row that the writer's log holds between two positions is delivered, or a gap stands
//! in its place. Known invariants I1 and I5.

use synrepl_core::stream::{Row, Token};

use super::ledger::Ledger;
use crate::world::Log;

/// The first token in `(from, upto]` of which something never came, with its rows. `ledgers` are
/// those whose rows count: one ledger, or all of the stream where a fetch shows the rows of other
/// writers as well. Rows of an `excused` token need not have come.
pub(super) fn first_missing<'a>(
    log: &'a Log,
    ledgers: &[&Ledger],
    from: Token,
    upto: Token,
    excused: impl Fn(Token) -> bool,
) -> Option<(Token, &'a [Row])> {
    let missing = |(token, rows): &(Token, &Vec<Row>)| {
        let came = |row: &Row| ledgers.iter().any(|ledger| ledger.has(*token, row));
        !rows.iter().all(came)
            && !ledgers.iter().any(|ledger| ledger.in_gap(*token) || ledger.split == Some(*token))
            && !excused(*token)
    };
    log.between(from, upto).find(missing).map(|(token, rows)| (token, rows.as_slice()))
}
