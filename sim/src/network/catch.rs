//! How many scenarios catch a planted bug on this level.

use std::ops::Range;

use super::{orders, play};
use crate::{
    bugs::Caught,
    outcome::Failure,
    planted::Planted,
    scenario::{Mode, Scenario},
};

/// Plays scenarios with the bug planted: first the [`orders`], then for each of `seeds` one of storm
/// and one of swarm, with what goes wrong only where there are sockets. Stops once `enough` have
/// caught it.
pub fn catch(bug: Planted, seeds: Range<u64>, enough: u64) -> Caught {
    let mut found = Caught::default();
    let drawn = seeds.flat_map(|seed| {
        [Mode::Storm, Mode::Swarm].map(|mode| Scenario::draw(mode, seed).with_sockets())
    });
    for scenario in orders().into_iter().chain(drawn) {
        if found.caught >= enough {
            break;
        }
        let violation = play(&scenario, false, Some(bug)).violations.into_iter().next();
        found.played += 1;
        if let Some(violation) = violation {
            found.caught += 1;
            found.first.get_or_insert_with(|| Box::new(Failure { violation, scenario }));
        }
    }
    found
}
