//! F3: no row is delivered twice, between resets. Known invariant I3.

use synrepl_core::stream::{Row, Source, Token};

use super::ledger::Ledger;

/// `ledgers` are those in which the row must not stand yet.
pub(super) fn check<'a>(
    ledgers: impl Iterator<Item = (&'a Source, &'a Ledger)>,
    token: Token,
    rows: &[Row],
) -> Result<(), String> {
    for (source, ledger) in ledgers {
        let repeated = |row: &&Row| ledger.has(token, row) && !ledger.may_come_again(token, row);
        if let Some(row) = rows.iter().find(repeated) {
            return Err(format!("{} at {token} came again, as {source} before", row.as_str()));
        }
    }
    Ok(())
}
