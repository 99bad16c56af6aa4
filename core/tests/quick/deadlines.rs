//! The deadlines of `Node::poll_timeout` that no scenario shows.

use synrepl_core::{
    Action, Config, Input, Node, Timestamp, WaitId,
    stream::{Source, Token},
};

#[test]
fn a_tick_at_the_end_of_time_ends() {
    let mut node = Node::new(Config::default()).expect("the defaults are good");
    let Some(Action::Connect { conn }) = node.poll_action() else { panic!("connects first") };
    let end = Timestamp::from_micros(u64::MAX);
    node.handle(end, Input::Connected { conn }).expect("asked for");
    assert_eq!(node.poll_timeout(), Some(end));
    while node.poll_action().is_some() {}
    node.handle(end, Input::Tick).expect("a tick is always fine");
    let actions = std::iter::from_fn(|| node.poll_action()).count();
    assert!(actions <= 4, "{actions} actions of two deadlines");
}

#[test]
fn a_cancelled_wait_leaves_no_deadline() {
    let mut node = Node::new(Config::default()).expect("the defaults are good");
    let now = Timestamp::ZERO;
    for number in 0..100 {
        let wait = WaitId::new(number);
        let source = Source::new("events", "w");
        let deadline = Timestamp::from_micros(1_000 + number);
        let open = Input::WaitFor { wait, source, token: Token::new(5), deadline };
        node.handle(now, open).expect("the wait is new");
        assert_eq!(node.poll_timeout(), Some(deadline));
        node.handle(now, Input::CancelWait { wait }).expect("any wait may be cancelled");
        assert_eq!(node.poll_timeout(), None);
    }
}
