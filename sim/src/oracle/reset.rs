//! F10: tokens go back only after a reset, only on resettable streams. Known invariants I2 and
//! I14.

use synrepl_core::stream::Token;

use super::ledger::Ledger;
use crate::world::Log;

pub(super) fn check_position(ledger: &Ledger, position: Token) -> Result<(), String> {
    if position < ledger.position {
        return Err(format!("the position went from {} to {position}", ledger.position));
    }
    Ok(())
}

/// A live source is reset only by an announcement below what its writer said before. Were it reset
/// for less, rows could come twice for nothing, and no other invariant would see it.
pub(super) fn check_reset(ledger: &Ledger, log: Option<&Log>) -> Result<(), String> {
    match log {
        Some(log) if !log.traits.resettable => {
            Err("a stream that cannot start over was reset".to_owned())
        }
        Some(log) if ledger.live && ledger.live_resets >= log.falls => Err(format!(
            "was reset {} times while it was live, its writer went back {} times",
            ledger.live_resets + 1,
            log.falls
        )),
        _ => Ok(()),
    }
}
