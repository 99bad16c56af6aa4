//! Every planted bug of the simulated driver is caught, by a scenario that can be shrunk.

use synrepl_sim::{DriverBug, catch, shrink};

/// Seeds in which each bug must be caught.
const SEEDS: u64 = 400;

#[test]
fn every_planted_bug_is_caught() {
    let survivors: Vec<_> = DriverBug::ALL
        .iter()
        .filter(|bug| catch(**bug, 0..SEEDS, 1).caught == 0)
        .map(|bug| format!("{bug}: {}", bug.description()))
        .collect();
    assert!(survivors.is_empty(), "survived {SEEDS} seeds:\n{}", survivors.join("\n"));
}

#[test]
fn what_catches_a_bug_shrinks_to_at_most_twenty_events() {
    for bug in DriverBug::ALL.iter().copied().step_by(3) {
        let found = catch(bug, 0..SEEDS, 1);
        let first = found.first.expect("caught");
        let small = shrink(&first, Some(bug));
        assert_eq!(small.violation.promise, first.violation.promise, "{bug}");
        let events = small.scenario.events.len();
        assert!(events <= 20, "{bug}: {events} events: {small}");
    }
}
