//! F7: once network, writer and fetch source work again, every source reaches the last announced
//! token. Known invariants I8 and I11.

use synrepl_core::stream::{Row, Token};

use super::{complete, ledger::Ledger};
use crate::{oracle::Promise, world::Log};

/// Checks that all of `log` up to `upto` has arrived, except rows of `excused` tokens.
pub(super) fn check(
    log: &Log,
    ledger: Option<&Ledger>,
    ledgers: &[&Ledger],
    upto: Token,
    excused: impl Fn(Token) -> bool,
) -> Result<(), (Promise, String)> {
    let Some(ledger) = ledger else {
        return Err((Promise::Progress, "was never heard of".to_owned()));
    };
    if !ledger.live {
        return Err((Promise::Progress, "is not live".to_owned()));
    }
    if ledger.position < upto {
        let what = format!("is at {}, its writer announced {upto}", ledger.position);
        return Err((Promise::Progress, what));
    }
    let from = ledger.start.unwrap_or(upto);
    if let Some((token, rows)) = complete::first_missing(log, ledgers, from, upto, excused) {
        let rows = rows.iter().map(Row::as_str).collect::<Vec<_>>().join(" ");
        let what = format!("everything has come to rest, but {rows} at {token} never came");
        return Err((Promise::Complete, what));
    }
    Ok(())
}
