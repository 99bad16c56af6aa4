//! Random inputs for the target `core_inputs`, beyond its corpus. This test is the engine `inputs`
//! that looks for planted bugs (`sim/bugs`).

use synrepl_fuzz::core_inputs;

use crate::random::random_inputs;

/// Inputs within which every bug is found that can be seen here.
const INPUTS: u64 = 3_000;

/// Dull settings, and an audit every second.
const AUDITED: [u8; 3] = [0, 0x40, 0];

#[test]
fn random_inputs_keep_every_rule() {
    for input in random_inputs(INPUTS) {
        core_inputs(&input);
    }
}

#[test]
fn random_inputs_keep_every_rule_with_an_audit() {
    for input in random_inputs(INPUTS) {
        core_inputs(&[&AUDITED, &*input].concat());
    }
}
