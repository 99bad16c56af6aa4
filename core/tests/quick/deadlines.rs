//! The deadlines of `Node::poll_timeout` that no scenario shows.

use crate::bench::Bench;
use synrepl_core::{
    Config, Input, Timestamp, WaitId,
    stream::{Source, Token},
};

#[test]
fn a_tick_at_the_end_of_time_ends() {
    let end = Timestamp::from_micros(u64::MAX);
    let mut bench = Bench { now: end, ..Bench::new(Config::default()) };
    bench.actions();
    bench.hand(bench.made());
    assert_eq!(bench.node.poll_timeout(), Some(end));
    bench.actions();
    let actions = bench.handle(Input::Tick).len();
    assert!(actions <= 4, "{actions} actions of two deadlines");
}

#[test]
fn a_cancelled_wait_leaves_no_deadline() {
    let mut bench = Bench::new(Config::default());
    for number in 0..100 {
        let wait = WaitId::new(number);
        let source = Source::new("events", "w");
        let deadline = Timestamp::from_micros(1_000 + number);
        let open = Input::WaitFor { wait, source, token: Token::new(5), deadline };
        bench.hand(open);
        assert_eq!(bench.node.poll_timeout(), Some(deadline));
        bench.hand(Input::CancelWait { wait });
        assert_eq!(bench.node.poll_timeout(), None);
    }
}
