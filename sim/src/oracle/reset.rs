//! F10: tokens go back only after a reset, only on resettable streams. Known invariants I2 and
//! I14.

use synrepl_core::stream::Token;

use super::ledger::Ledger;
use crate::logical::Log;

pub(super) fn check_position(ledger: &Ledger, position: Token) -> Result<(), String> {
    if position < ledger.position {
        return Err(format!("the position went from {} to {position}", ledger.position));
    }
    Ok(())
}

pub(super) fn check_reset(log: Option<&Log>) -> Result<(), String> {
    match log {
        Some(log) if !log.traits.resettable => {
            Err("a stream that cannot start over was reset".to_owned())
        }
        _ => Ok(()),
    }
}
