//! The rules of `core_inputs` for the audit can be broken, and are where the core has a known bug.

mod random;

use synrepl_core::PlantedBug;
use synrepl_fuzz::core_inputs_with;

use self::random::random_inputs;

/// Inputs within which a bug is to be found.
const SEARCHED_MAX: u64 = 3_000;

/// Dull settings, and an audit every second.
const AUDITED: [u8; 3] = [0, 0x40, 0];

fn is_found(bug: PlantedBug) -> bool {
    random_inputs(SEARCHED_MAX)
        .any(|input| core_inputs_with(&[&AUDITED, &*input].concat(), Some(bug)).is_err())
}

#[test]
fn an_audit_that_moves_the_position_is_found() {
    assert!(is_found(PlantedBug::AuditMovesPosition));
}

#[test]
fn an_audit_that_repeats_rows_is_found() {
    assert!(is_found(PlantedBug::AuditRepeatsRows));
}
