//! Many seeds, no broken promise; and the same seed, the same run.

use synrepl_sim::{Report, Scenario, run, shrink};

#[test]
fn no_seed_breaks_a_promise() {
    let mut total = Report::default();
    for seed in 0..4_000 {
        match run(&Scenario::from_seed(seed)) {
            Ok(report) => {
                total.inputs += report.inputs;
                total.rows_delivered += report.rows_delivered;
                total.rows_fetched += report.rows_fetched;
                total.gaps += report.gaps;
                total.resets += report.resets;
                total.overflows += report.overflows;
            }
            Err(failure) => panic!("{}", shrink(&failure)),
        }
    }
    // Seeds in which nothing happens would prove nothing.
    assert!(total.rows_delivered > 100_000, "{total:?}");
    assert!(total.rows_fetched > 10_000, "{total:?}");
    assert!(total.resets > 1_000 && total.overflows > 100 && total.gaps > 10, "{total:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..100 {
        let scenario = Scenario::from_seed(seed);
        assert_eq!(run(&scenario), run(&scenario), "seed {seed}");
    }
}
