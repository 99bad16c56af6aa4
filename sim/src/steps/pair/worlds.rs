//! The worlds of [`model`](super::model), and the bugs that are found in them.

use super::{
    model::{Budget, NONE, Pair, why},
    world::Manner,
};
use crate::steps::search::{bounds_are_large, is_wanted, shortest, visit_all};

const COARSE: Manner = Manner { echoes: false, one_by_one: false, cold: false };
const FINE: Manner = Manner { echoes: true, one_by_one: true, cold: true };

const fn pair(streams: &'static [&'static str], budget: Budget) -> Pair {
    Pair { streams, budget, manner: COARSE }
}

/// Visits the first world, or the second if the larger bounds are asked for.
#[track_caller]
fn check(name: &str, small: Pair, large: Pair) {
    let name = format!("pair: {name}");
    let states = visit_all(&name, if bounds_are_large() { large } else { small }, why);
    assert!(states > 500, "{states} states");
}

#[test]
fn two_streams_whose_writer_loses_its_connection() {
    let streams = &["events", "typing"];
    let small = Budget { batches: 2, writer_cuts: 1, ..NONE };
    let large = Budget { batches: 2, writer_cuts: 1, follower_cuts: 1, ..NONE };
    check("events and typing, writer cut", pair(streams, small), pair(streams, large));
}

#[test]
fn a_rising_stream_where_both_lose_their_connections() {
    let small = Budget { batches: 1, writer_cuts: 1, follower_cuts: 1, ..NONE };
    let large = Budget { batches: 2, writer_cuts: 1, follower_cuts: 1, ..NONE };
    check("events, both cut", pair(&["events"], small), pair(&["events"], large));
}

#[test]
fn both_connect_for_the_first_time_while_rows_are_written() {
    let cold = Manner { cold: true, echoes: true, ..COARSE };
    let small = Pair { manner: cold, ..pair(&["events"], Budget { batches: 1, ..NONE }) };
    let budget = Budget { batches: 1, follower_cuts: 1, ..NONE };
    let large = Pair { manner: FINE, ..pair(&["events"], budget) };
    check("events, first connections", small, large);
}

#[test]
fn a_rising_stream_with_failing_fetches_and_a_lost_connection_of_the_follower() {
    let small = Budget { batches: 2, follower_cuts: 1, failures: 1, ..NONE };
    let large = Budget { batches: 2, follower_cuts: 2, failures: 2, ..NONE };
    check("receipts, follower cut", pair(&["receipts"], small), pair(&["receipts"], large));
}

#[test]
fn a_resettable_stream_whose_writer_starts_over() {
    let small = Budget { batches: 2, writer_cuts: 1, restarts: 1, ..NONE };
    let large = Budget { batches: 2, writer_cuts: 1, restarts: 1, failures: 1, ..NONE };
    check("typing, writer cut, restart", pair(&["typing"], small), pair(&["typing"], large));
}

#[test]
fn a_resettable_stream_with_answers_of_the_epoch_before() {
    let small = Budget { batches: 1, follower_cuts: 1, restarts: 1, stale: 1, ..NONE };
    let large = Budget { batches: 2, follower_cuts: 1, restarts: 1, stale: 1, ..NONE };
    check(
        "typing, follower cut, restart, stale",
        pair(&["typing"], small),
        pair(&["typing"], large),
    );
}

#[test]
fn a_loose_stream_whose_writer_loses_its_connection() {
    let small = Budget { batches: 2, writer_cuts: 1, failures: 1, ..NONE };
    let large = Budget { batches: 2, writer_cuts: 2, failures: 1, ..NONE };
    check("caches, writer cut", pair(&["caches"], small), pair(&["caches"], large));
}

#[test]
fn a_burst_stream_whose_writer_loses_its_connection() {
    let small = Budget { batches: 2, writer_cuts: 1, ..NONE };
    let large = Budget { batches: 2, writer_cuts: 1, failures: 1, ..NONE };
    check("backfill, writer cut", pair(&["backfill"], small), pair(&["backfill"], large));
}

/// A planted bug and the smallest world known to show it.
const SHOWING: [(&str, Pair); 10] = {
    const EVENTS: &[&str] = &["events"];
    const TYPING: &[&str] = &["typing"];
    const BATCH: Budget = Budget { batches: 1, ..NONE };
    const CUT: Budget = Budget { batches: 1, writer_cuts: 1, ..NONE };
    const FOLLOWER_CUT: Budget = Budget { batches: 1, follower_cuts: 1, ..NONE };
    const COLD: Manner = Manner { cold: true, ..COARSE };
    [
        ("forgets_unconfirmed", pair(EVENTS, CUT)),
        ("never_announces_on_connect", pair(EVENTS, CUT)),
        ("never_answers_replicate", Pair { manner: COLD, ..pair(EVENTS, BATCH) }),
        ("announces_ahead", pair(EVENTS, FOLLOWER_CUT)),
        ("splits_own_batches", pair(EVENTS, BATCH)),
        (
            "skips_unheard_start",
            pair(TYPING, Budget { batches: 2, writer_cuts: 1, restarts: 1, ..NONE }),
        ),
        ("stays_live_across_connections", pair(EVENTS, FOLLOWER_CUT)),
        (
            "never_retries_fetches",
            pair(EVENTS, Budget { batches: 1, follower_cuts: 1, failures: 1, ..NONE }),
        ),
        ("never_resets", pair(TYPING, Budget { batches: 2, restarts: 1, ..NONE })),
        (
            "refuses_late_answers",
            pair(TYPING, Budget { batches: 1, follower_cuts: 2, stale: 1, ..NONE }),
        ),
    ]
};

#[test]
fn worlds_that_show_a_planted_bug_hold_without_it() {
    for (bug, pair) in SHOWING.into_iter().filter(|(bug, _)| is_wanted(bug)) {
        let found = shortest(&format!("pair: {bug}"), pair, why);
        assert!(found.is_none(), "{bug}: {}", found.unwrap());
    }
}
