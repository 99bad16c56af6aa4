//! A cache in front of a database, invalidated by a stream, under the simulator: it must never
//! serve an entry older than the position of its follower.
//!
//! `cargo run -p synrepl-sim --example stale_cache` plays 200 schedules with the right cache, then
//! looks for one that catches a wrong one. `sim/tests/sim/stale_cache.rs` does the same as a test.

use std::process::ExitCode;

use synrepl_sim::{Mode, Scenario, run_with_handler};

#[path = "stale_cache/cache.rs"]
mod cache;

use cache::{Cache, Rule};

#[expect(clippy::print_stdout, reason = "an example tells what it does")]
fn main() -> ExitCode {
    for seed in 0..200 {
        let scenario = cache::scenario(Scenario::draw(Mode::Swarm, seed));
        if let Err(failure) = run_with_handler(&scenario, &mut Cache::new(Rule::Right)) {
            println!("the right cache served a stale entry: {failure}");
            return ExitCode::FAILURE;
        }
    }
    println!("200 schedules, no stale entry");
    let caught = (0..200).find_map(|seed| {
        let scenario = cache::scenario(Scenario::draw(Mode::Swarm, seed));
        run_with_handler(&scenario, &mut Cache::new(Rule::IgnoresGaps)).err()
    });
    match caught {
        Some(failure) => println!("the wrong cache is caught: {}", failure.violation),
        None => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}
