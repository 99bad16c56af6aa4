//! The whole driver on a simulated network.
#![cfg(feature = "network")]

use synrepl_sim::{Mode, Pattern, Planted, Report, Scenario, network::play};

fn scenarios() -> impl Iterator<Item = Scenario> {
    let swarm = (0..6).map(|seed| Scenario::draw(Mode::Swarm, seed));
    let storm = (0..4).map(|seed| Scenario::draw(Mode::Storm, seed));
    let calm = Scenario::draw(Mode::Calm, 0);
    let cut = Scenario::draw(Mode::Pattern(Pattern::CutEverywhere), 0);
    swarm.chain(storm).chain([calm, cut])
}

#[test]
fn no_schedule_breaks_a_promise() {
    let mut total = Report::default();
    for scenario in scenarios() {
        let outcome = play(&scenario, false, None);
        let (seed, mode) = (scenario.seed, scenario.mode);
        assert_eq!(outcome.violations, [], "seed {seed}, {mode:?}");
        total.rows_delivered += outcome.report.rows_delivered;
        total.rows_fetched += outcome.report.rows_fetched;
    }
    // Runs in which nothing happens would prove nothing.
    assert!(total.rows_delivered > 2_000, "{total:?}");
    assert!(total.rows_fetched > 200, "{total:?}");
}

#[test]
fn the_same_scenario_is_the_same_run_traced_or_not() {
    for scenario in scenarios().take(3) {
        let (first, second) = (play(&scenario, false, None), play(&scenario, true, None));
        assert_eq!(first.report, second.report);
        assert!(first.trace.is_none() && !second.trace.unwrap().moments.is_empty());
    }
    let mut fingerprints: Vec<_> =
        scenarios().take(3).map(|it| play(&it, false, None).report.fingerprint).collect();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), 3, "it is the scenario that decides");
}

#[test]
fn a_bug_in_the_core_is_caught_through_the_whole_driver() {
    let bug = Planted::all().find(|bug| bug.to_string() == "NeverRetriesFetches").unwrap();
    let caught = (0..40).map(|seed| Scenario::draw(Mode::Storm, seed)).any(|scenario| {
        let violations = play(&scenario, false, Some(bug)).violations;
        !violations.is_empty()
    });
    assert!(caught);
}

#[test]
fn a_scenario_without_instances_is_an_empty_run() {
    let mut scenario = Scenario::draw(Mode::Calm, 0);
    scenario.followers.clear();
    let outcome = play(&scenario, true, None);
    assert_eq!((outcome.report.rows_delivered, outcome.violations.len()), (0, 0));
}
