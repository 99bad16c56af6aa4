//! F1: delivered tokens strictly rise, between resets. Known invariant I2.

use synrepl_core::stream::Token;

use super::ledger::Ledger;

pub(super) fn check(ledger: &Ledger, token: Token) -> Result<(), String> {
    match ledger.last_token {
        Some(last) if last >= token => Err(format!("{token} came after {last}")),
        _ => Ok(()),
    }
}
