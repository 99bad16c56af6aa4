//! Inputs without news change nothing.

use synrepl_core::{Action, Config, Input, Node, Timestamp, wire::Decoder};

const NOW: Timestamp = Timestamp::from_micros(1);

/// A node on a bus, with nothing left to do.
fn connected(config: Config) -> Node {
    let mut node = Node::new(config).expect("it can work");
    let Some(Action::Connect { conn }) = node.poll_action() else { panic!("it connects first") };
    node.handle(NOW, Input::Connected { conn }).expect("it asked for it");
    while node.poll_action().is_some() {}
    node
}

#[test]
fn a_second_shutdown_is_the_first() {
    let mut node = connected(Config::default());
    node.handle(NOW, Input::Shutdown).expect("always taken");
    while node.poll_action().is_some() {}
    node.handle(NOW, Input::Shutdown).expect("always taken");
    assert_eq!(node.poll_action(), None);
}

#[test]
fn the_end_of_a_sync_that_never_began_is_not_told() {
    let mut node = connected(Config::default());
    let (user, device) = ("@a:x".into(), None);
    let ended = Input::Syncing { user, device, syncing: false, at_ms: 1 };
    node.handle(NOW, ended).expect("always taken");
    assert_eq!(node.poll_action(), None);
    assert_eq!(node.poll_timeout(), connected(Config::default()).poll_timeout());
}

#[test]
fn the_end_of_a_sync_that_nobody_spoke_of_is_not_told_the_presence_writer() {
    let mut config = Config::default();
    config.users.presence_writer = true;
    let mut node = connected(config);
    let line = bytes::Bytes::from_static(b"USER_SYNC abcde @a:x None end 1");
    let command = Decoder::new().decode(&line).expect("a command");
    let conn = synrepl_core::ConnectionId::new(1);
    node.handle(NOW, Input::Received { conn, command }).expect("it is connected");
    assert_eq!(node.poll_action(), None);
}
