//! Random inputs for the target `reference_follower`. This test is the engine `reference` that
//! looks for planted bugs (`sim/bugs`).

use synrepl_fuzz::reference_follower;

use crate::random::random_inputs;

/// Inputs within which every bug is found that can be seen here; the rarest takes 1,127.
const INPUTS: u64 = 3_000;

#[test]
fn the_core_delivers_what_the_plain_follower_does() {
    for input in random_inputs(INPUTS) {
        reference_follower(&input);
    }
}
