//! Promise C1: the same scenario gives the same run, and another one another run.

use synrepl_sim::{Mode, Scenario, check_determinism, fingerprint};

#[test]
fn a_thousand_scenarios_run_the_same_twice() {
    for seed in 0..1_000 {
        let mode = [Mode::Swarm, Mode::Storm, Mode::Calm][usize::try_from(seed % 3).unwrap()];
        if let Err(difference) = check_determinism(&Scenario::draw(mode, seed)) {
            panic!("seed {seed}: {difference}");
        }
    }
}

#[test]
fn another_seed_is_another_run() {
    let (one, other) = (Scenario::from_seed(1), Scenario::from_seed(2));
    assert_ne!(fingerprint(&one), fingerprint(&other));
    let mut other = one.clone();
    other.delay_us.1 += 1;
    assert_ne!(fingerprint(&one), fingerprint(&other), "a delay changes the run");
}
