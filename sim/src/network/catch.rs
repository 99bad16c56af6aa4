//! How many scenarios catch a planted bug on this level.

use std::ops::Range;

use super::play;
use crate::{
    bugs::Caught,
    logical::Failure,
    planted::Planted,
    scenario::{Mode, Scenario},
};

/// Plays the scenarios of `seeds` with the bug planted: for each seed one of storm and one of
/// swarm, with what goes wrong only where there are sockets. Stops once `enough` have caught it.
pub fn catch(bug: Planted, seeds: Range<u64>, enough: u64) -> Caught {
    let mut found = Caught::default();
    for seed in seeds {
        for mode in [Mode::Storm, Mode::Swarm] {
            if found.caught >= enough {
                return found;
            }
            let scenario = Scenario::draw(mode, seed).with_sockets();
            let violation = play(&scenario, false, Some(bug)).violations.into_iter().next();
            found.played += 1;
            if let Some(violation) = violation {
                found.caught += 1;
                found.first.get_or_insert_with(|| Box::new(Failure { violation, scenario }));
            }
        }
    }
    found
}
