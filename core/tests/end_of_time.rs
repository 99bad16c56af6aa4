//! Deadlines that no addition can move on: a tick must end all the same.

use synrepl_core::{Action, Config, Input, Node, Timestamp};

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
