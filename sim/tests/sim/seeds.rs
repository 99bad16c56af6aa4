//! Many seeds break no promise and reach every mark.

use synrepl_sim::{Mark, Marks, Mode, Pattern, Scenario, run, shrink};

/// Plays the seeds of a mode; what they reached together.
fn play(mode: Mode, seeds: std::ops::Range<u64>) -> (Marks, u64) {
    let mut marks = Marks::default();
    let mut rows = 0;
    for seed in seeds {
        match run(&Scenario::draw(mode, seed)) {
            Ok(report) => {
                marks.unite(report.marks);
                rows += report.rows_delivered;
            }
            Err(failure) => panic!("found {failure}\nsmallest: {}", shrink(&failure, None)),
        }
    }
    (marks, rows)
}

#[test]
fn no_seed_breaks_a_promise_and_every_mark_is_reached() {
    let (mut marks, rows) = play(Mode::Swarm, 0..1_500);
    assert!(rows > 100_000, "{rows} rows");
    marks.unite(play(Mode::Storm, 0..300).0);
    for pattern in [Pattern::RestoredBackups, Pattern::WrongAddresses] {
        marks.unite(play(Mode::Pattern(pattern), 0..30).0);
    }
    let missing: Vec<Mark> = marks.missing(Mark::ALL).collect();
    assert!(missing.is_empty(), "never reached: {missing:?}");
}

#[test]
fn no_calm_run_breaks_a_promise() {
    let (marks, rows) = play(Mode::Calm, 0..300);
    assert!(rows > 10_000, "{rows} rows");
    let faults = [Mark::FetchFailed, Mark::WriterCrashed, Mark::FollowerCrashed, Mark::Untold];
    assert!(!faults.into_iter().any(|fault| marks.has(fault)), "{marks:?}");
}

#[test]
fn no_pattern_breaks_a_promise() {
    for pattern in Pattern::ALL {
        let (_, rows) = play(Mode::Pattern(pattern), 0..30);
        assert!(rows > 100, "{pattern:?}: {rows} rows");
    }
}
