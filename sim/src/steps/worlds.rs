//! The worlds of [`model`](super::model), and the bugs that are found in them.

use super::{
    model::{Budget, NONE, SmallWorld, why},
    search::{bounds_are_large, is_wanted, shortest, visit_all},
};

type Streams = &'static [(&'static str, usize)];

/// Two streams of different class; the first writer of `events` also writes `typing`.
const TWO_STREAMS: Streams = &[("events", 2), ("typing", 1)];

const fn world(streams: Streams, budget: Budget) -> SmallWorld {
    SmallWorld { streams, budget, tight_limits: false }
}

/// Visits the world with the first budget, or with the second if the larger bounds are asked for.
#[track_caller]
fn check(name: &str, world: SmallWorld, large: Budget) {
    let budget = if bounds_are_large() { large } else { world.budget };
    let states = visit_all(name, SmallWorld { budget, ..world }, why);
    assert!(states > 1_000, "{states} states");
}

#[test]
fn two_streams_of_two_writers_under_a_lost_connection() {
    let small = Budget { writes: 1, losses: 1, ..NONE };
    let large = Budget { writes: 2, losses: 1, ..NONE };
    check("events and typing, lost connection", world(TWO_STREAMS, small), large);
}

#[test]
fn two_streams_of_one_writer_under_a_lost_connection() {
    let small = Budget { writes: 2, losses: 1, ..NONE };
    let large = Budget { writes: 3, losses: 1, failures: 1, ..NONE };
    let streams = &[("events", 1), ("typing", 1)];
    check("events and typing of one, lost connection", world(streams, small), large);
}

#[test]
fn two_streams_of_two_writers_one_of_which_starts_over() {
    let small = Budget { writes: 1, restarts: 1, ..NONE };
    let large = Budget { writes: 2, restarts: 1, ..NONE };
    check("events and typing, restart", world(TWO_STREAMS, small), large);
}

#[test]
fn a_rising_stream_of_two_writers_under_a_lost_connection() {
    let small = Budget { writes: 1, losses: 1, ..NONE };
    let large = Budget { writes: 2, losses: 1, ..NONE };
    check("events, lost connection", world(&[("events", 2)], small), large);
}

#[test]
fn a_rising_stream_whose_writer_is_not_heard_to_be_asked() {
    let small = Budget { writes: 2, losses: 1, lost_asks: 1, ..NONE };
    let large = Budget { writes: 3, losses: 1, lost_asks: 2, ..NONE };
    check("events, lost REPLICATE", world(&[("events", 1)], small), large);
}

#[test]
fn a_rising_stream_of_two_writers_with_a_damaged_row() {
    let small = Budget { writes: 2, damages: 1, ..NONE };
    let large = Budget { writes: 2, damages: 2, ..NONE };
    check("events, damaged row", world(&[("events", 2)], small), large);
}

#[test]
fn a_rising_stream_whose_writer_loses_the_bus() {
    let small = Budget { writes: 2, losses: 1, outages: 1, ..NONE };
    let large = Budget { writes: 3, losses: 1, outages: 2, ..NONE };
    check("events, outage of the writer", world(&[("events", 1)], small), large);
}

#[test]
fn a_rising_stream_under_a_lost_connection_and_failing_fetches() {
    let small = Budget { writes: 2, losses: 1, failures: 1, timeouts: 1, ..NONE };
    let large = Budget { writes: 3, losses: 1, failures: 1, timeouts: 1, ..NONE };
    let world = SmallWorld { tight_limits: true, ..world(&[("receipts", 1)], small) };
    check("receipts, lost connection, failing fetches", world, large);
}

#[test]
fn a_burst_stream_under_a_lost_connection() {
    let small = Budget { writes: 2, losses: 1, timeouts: 1, ..NONE };
    let large = Budget { writes: 3, losses: 1, timeouts: 1, ..NONE };
    check("backfill, lost connection", world(&[("backfill", 1)], small), large);
}

#[test]
fn a_resettable_stream_under_restarts_and_a_lost_connection() {
    let small = Budget { writes: 2, losses: 1, failures: 1, stale: 1, restarts: 1, ..NONE };
    let large = Budget { writes: 3, losses: 1, stale: 1, restarts: 2, ..NONE };
    check("typing, restarts, lost connection", world(&[("typing", 1)], small), large);
}

#[test]
fn a_loose_stream_of_two_writers_under_a_lost_connection() {
    let small = Budget { writes: 1, losses: 1, ..NONE };
    let large = Budget { writes: 2, losses: 1, ..NONE };
    let world = SmallWorld { tight_limits: true, ..world(&[("caches", 2)], small) };
    check("caches, lost connection", world, large);
}

#[test]
fn a_shared_stream_of_two_writers_under_a_restarted_follower() {
    let small = Budget { writes: 1, follower_restarts: 1, ..NONE };
    let large = Budget { writes: 2, follower_restarts: 1, ..NONE };
    check("device_lists, restarted follower", world(&[("device_lists", 2)], small), large);
}

/// A planted bug and the smallest world known to show it.
const SHOWING: [(&str, Streams, Budget); 13] = {
    const EVENTS: Streams = &[("events", 1)];
    const TYPING: Streams = &[("typing", 1)];
    const WRITE: Budget = Budget { writes: 1, ..NONE };
    const WRITES: Budget = Budget { writes: 2, ..NONE };
    const LOSS: Budget = Budget { writes: 2, losses: 1, ..NONE };
    const FAILURE: Budget = Budget { writes: 1, losses: 1, failures: 1, ..NONE };
    const UNASKED: Budget = Budget { writes: 3, losses: 1, lost_asks: 1, ..NONE };
    const DAMAGE: Budget = Budget { writes: 1, damages: 1, ..NONE };
    const RESTART: Budget = Budget { writes: 2, restarts: 1, losses: 1, ..NONE };
    [
        ("stays_live_across_connections", EVENTS, LOSS),
        ("ignores_malformed_rows", EVENTS, DAMAGE),
        ("believes_rows_before_position", EVENTS, UNASKED),
        ("ignores_previous", EVENTS, LOSS),
        ("old_fetch_makes_live", EVENTS, UNASKED),
        ("never_retries_fetches", EVENTS, FAILURE),
        ("tells_position_first", EVENTS, WRITE),
        ("drops_rows_while_catching_up", EVENTS, WRITES),
        ("never_resets", TYPING, RESTART),
        ("keeps_fetch_over_reset", TYPING, Budget { stale: 1, ..RESTART }),
        ("drops_falling_rows", &[("backfill", 1)], WRITES),
        ("moves_position_inside_bursts", &[("backfill", 1)], WRITES),
        ("repeats_shared_rows", &[("device_lists", 2)], WRITES),
    ]
};

#[test]
fn worlds_that_show_a_planted_bug_hold_without_it() {
    for (bug, streams, budget) in SHOWING.into_iter().filter(|(bug, ..)| is_wanted(bug)) {
        let found = shortest(bug, world(streams, budget), why);
        assert!(found.is_none(), "{bug}: {}", found.unwrap());
    }
}
