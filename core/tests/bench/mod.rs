//! A node under test, with its time and its connection: tests hand it inputs and look at its
//! actions.

#![allow(dead_code, reason = "each binary uses its part")]

use std::time::Duration;

use bytes::Bytes;
use synrepl_core::{
    Action, Config, ConnectionId, Input, Misuse, Node, Timestamp,
    wire::{Command, Decoder},
};

/// The command that a good line is.
#[track_caller]
pub(crate) fn command(line: &str) -> Command {
    Decoder::new().decode(&Bytes::copy_from_slice(line.as_bytes())).expect(line)
}

/// A line as it reaches the node, good or not.
pub(crate) fn received(conn: ConnectionId, line: &str) -> Input {
    match Decoder::new().decode(&Bytes::copy_from_slice(line.as_bytes())) {
        Ok(command) => Input::Received { conn, command },
        Err(error) => Input::Malformed { conn, error },
    }
}

#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) node: Node,
    pub(crate) now: Timestamp,
    /// The connection that the node asked for last, until it is lost.
    pub(crate) conn: Option<ConnectionId>,
    /// The connection is made.
    pub(crate) up: bool,
}

impl Bench {
    pub(crate) fn new(config: Config) -> Self {
        let node = Node::new(config).expect("a good configuration");
        Self { node, now: Timestamp::ZERO, conn: None, up: false }
    }

    /// A node whose connection is made, and which has nothing more to do.
    pub(crate) fn connected(config: Config) -> Self {
        let mut bench = Self::new(config);
        bench.actions();
        bench.handle(bench.made());
        bench
    }

    /// Hands the node an input; its actions wait to be polled.
    #[track_caller]
    pub(crate) fn hand(&mut self, input: Input) {
        self.try_hand(input).expect("the contract is kept");
    }

    pub(crate) fn try_hand(&mut self, input: Input) -> Result<(), Misuse> {
        let is_made = matches!(input, Input::Connected { .. });
        let is_lost = matches!(input, Input::Disconnected { conn, .. } if self.conn == Some(conn));
        self.node.handle(self.now, input)?;
        self.up = is_made || self.up && !is_lost;
        self.conn = self.conn.filter(|_| !is_lost);
        Ok(())
    }

    pub(crate) fn poll(&mut self) -> Option<Action> {
        let action = self.node.poll_action()?;
        if let Action::Connect { conn } = action {
            self.conn = Some(conn);
        }
        Some(action)
    }

    /// All actions that wait.
    pub(crate) fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.poll()).collect()
    }

    /// Hands the node an input, and says what it leads to.
    #[track_caller]
    pub(crate) fn handle(&mut self, input: Input) -> Vec<Action> {
        self.hand(input);
        self.actions()
    }

    /// A good line is received.
    #[track_caller]
    pub(crate) fn hear(&mut self, line: &str) -> Vec<Action> {
        self.handle(Input::Received { conn: self.conn(), command: command(line) })
    }

    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Action> {
        self.now = self.now + time;
        self.handle(Input::Tick)
    }

    /// Time goes on to when the node wants to be called next, or to `end` if that is before.
    /// Says whether the node is to be called.
    pub(crate) fn is_due_by(&mut self, end: Timestamp) -> bool {
        let due = self.node.poll_timeout().filter(|at| *at <= end);
        self.now = due.map_or(end, |at| at.max(self.now));
        due.is_some()
    }

    #[track_caller]
    pub(crate) fn conn(&self) -> ConnectionId {
        self.conn.expect("a connection was asked for")
    }

    pub(crate) fn is_connecting(&self) -> bool {
        !self.up && self.conn.is_some()
    }

    /// The connection that was asked for is made.
    #[track_caller]
    pub(crate) fn made(&self) -> Input {
        Input::Connected { conn: self.conn() }
    }

    /// The connection is lost, or could not be made.
    #[track_caller]
    pub(crate) fn lost(&self) -> Input {
        Input::Disconnected { conn: self.conn(), reason: "lost".to_owned() }
    }
}
