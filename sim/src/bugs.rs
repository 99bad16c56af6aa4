//! The search for a planted bug of the simulated driver: plays drawn scenarios with the bug, and
//! counts those in which a promise breaks.

use std::ops::Range;

use crate::{
    choice::Choice,
    outcome::Failure,
    planted::DriverBug,
    run::play,
    scenario::{Mode, Pattern, Scenario},
};

/// The result of a search for a planted bug.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caught {
    /// The number of scenarios played.
    pub played: u64,
    /// How many of them broke a promise.
    pub caught: u64,
    /// The first of those, with the broken promise.
    pub first: Option<Box<Failure>>,
}

/// Plays the scenarios of `seeds` with the bug planted: for each seed one in swarm mode, one
/// pattern, in turn, and one in storm mode. Stops once `enough` scenarios have caught it.
pub fn catch(bug: DriverBug, seeds: Range<u64>, enough: u64) -> Caught {
    let mut found = Caught::default();
    for seed in seeds {
        let pattern = Pattern::ALL[usize::try_from(seed).unwrap_or(0) % Pattern::ALL.len()];
        for mode in [Mode::Swarm, Mode::Pattern(pattern), Mode::Storm] {
            if found.caught >= enough {
                return found;
            }
            let scenario = Scenario::draw(mode, seed);
            let choice = Choice { planted: Some(bug), ..Choice::default() };
            let outcome = play(&scenario, choice);
            found.played += 1;
            if let Some(violation) = outcome.violations.into_iter().next() {
                found.caught += 1;
                found.first.get_or_insert_with(|| Box::new(Failure { violation, scenario }));
            }
        }
    }
    found
}
