//! Every planted bug of the simulated driver is caught, by a scenario that can be shrunk.

use synrepl_sim::{Choice, DriverBug, Failure, Mode, Pattern, Scenario, play, shrink};

/// Seeds in which each bug must be caught.
const SEEDS: u64 = 400;

/// Returns the first failure with the bug: for each seed a scenario in swarm mode is played, one
/// pattern, in turn, and one in storm mode.
fn first_failure(bug: DriverBug) -> Option<Failure> {
    let patterns = Pattern::ALL.into_iter().cycle();
    let drawn = (0..SEEDS).zip(patterns).flat_map(|(seed, pattern)| {
        let modes = [Mode::Swarm, Mode::Pattern(pattern), Mode::Storm];
        modes.map(|mode| Scenario::draw(mode, seed))
    });
    drawn.into_iter().find_map(|scenario| {
        let mut choice = Choice::default();
        choice.planted = Some(bug);
        let violation = play(&scenario, choice).violations.into_iter().next()?;
        Some(Failure { violation, scenario })
    })
}

#[test]
fn every_planted_bug_is_caught() {
    let survivors: Vec<_> = DriverBug::ALL
        .iter()
        .filter(|bug| first_failure(**bug).is_none())
        .map(|bug| format!("{bug}: {}", bug.description()))
        .collect();
    assert!(survivors.is_empty(), "survived {SEEDS} seeds:\n{}", survivors.join("\n"));
}

#[test]
fn what_catches_a_bug_shrinks_to_at_most_twenty_events() {
    for bug in DriverBug::ALL.iter().copied().step_by(3) {
        let first = first_failure(bug).expect("caught");
        let small = shrink(&first, Some(bug));
        assert_eq!(small.violation.promise, first.violation.promise, "{bug}");
        let events = small.scenario.events.len();
        assert!(events <= 20, "{bug}: {events} events: {small}");
    }
}
