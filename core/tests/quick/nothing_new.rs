//! Inputs without news change nothing.

use crate::bench::Bench;
use synrepl_core::{Config, Input};

#[test]
fn a_second_shutdown_is_the_first() {
    let mut bench = Bench::connected(Config::default());
    bench.handle(Input::Shutdown);
    assert_eq!(bench.handle(Input::Shutdown), []);
}

#[test]
fn the_end_of_a_sync_that_never_began_is_not_told() {
    let mut bench = Bench::connected(Config::default());
    let due = bench.node.poll_timeout();
    let (user, device) = ("@a:x".into(), None);
    assert_eq!(bench.handle(Input::Syncing { user, device, syncing: false, at_ms: 1 }), []);
    assert_eq!(bench.node.poll_timeout(), due);
}

#[test]
fn the_end_of_a_sync_that_nobody_spoke_of_is_not_told_the_presence_writer() {
    let mut config = Config::default();
    config.users.presence_writer = true;
    assert_eq!(Bench::connected(config).hear("USER_SYNC abcde @a:x None end 1"), []);
}
