//! How many scenarios catch a planted bug.

use std::ops::Range;

use crate::{
    choice::Choice,
    outcome::Failure,
    planted::DriverBug,
    run::play,
    scenario::{Mode, Pattern, Scenario},
};

/// What a search for a planted bug found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caught {
    /// Scenarios played.
    pub played: u64,
    /// Scenarios of these that broke a promise.
    pub caught: u64,
    /// The first of them.
    pub first: Option<Box<Failure>>,
}

/// Plays the scenarios of `seeds` with the bug planted: for each seed one of swarm, one of storm
/// and one pattern, in turn. Stops once `enough` have caught it.
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
