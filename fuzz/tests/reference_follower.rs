//! The core against the plain follower. Where a bug of following is planted they disagree
//! (`sim/bugs`).

mod random;

use synrepl_fuzz::reference_follower;

use self::random::random_inputs;

/// Inputs within which every bug is found that can be seen here; the rarest takes 1,127.
const INPUTS: u64 = 3_000;

#[test]
fn the_core_delivers_what_the_plain_follower_does() {
    for input in random_inputs(INPUTS) {
        reference_follower(&input);
    }
}
