//! The example of an application under the simulator: the right cache breaks no promise, and the
//! wrong one is caught.

use synrepl_sim::{Mode, Promise, Scenario, run_with_handler};

#[path = "../../examples/stale_cache/cache.rs"]
mod cache;

use cache::{Cache, Rule};

#[test]
fn the_right_cache_never_serves_a_stale_entry() {
    for seed in 0..200 {
        let scenario = cache::scenario(Scenario::draw(Mode::Swarm, seed));
        if let Err(failure) = run_with_handler(&scenario, &mut Cache::new(Rule::Right)) {
            panic!("{failure}");
        }
    }
}

#[test]
fn a_cache_that_ignores_gaps_is_caught() {
    let caught = (0..200).find_map(|seed| {
        let scenario = cache::scenario(Scenario::draw(Mode::Swarm, seed));
        run_with_handler(&scenario, &mut Cache::new(Rule::IgnoresGaps)).err()
    });
    let failure = caught.expect("some schedule has a gap");
    assert_eq!(failure.violation.promise, Promise::Application);
}
