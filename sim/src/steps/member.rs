//! A real node in a small world, and its connection to the bus.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use synrepl_core::{
    Action, Config, ConnectionId, Input, Misuse, Node, Timestamp,
    stream::Source,
    wire::{Command, Decoder, Dialect, encode},
};

use crate::world::Logs;

/// The line that says a command.
pub(super) fn line(command: &Command) -> Bytes {
    let mut line = BytesMut::new();
    encode(command, Dialect::LATEST, &mut line).expect("a node says what can be said");
    line.freeze()
}

/// A node that is connected, or wants to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member {
    pub(super) node: Node,
    /// The connection that it wants or has.
    pub(super) conn: Option<ConnectionId>,
    pub(super) up: bool,
    /// Lines that are on their way to it.
    pub(super) inbox: VecDeque<Bytes>,
}

impl Member {
    pub(super) fn new(config: Config) -> Self {
        let node = Node::new(config).expect("the settings of small worlds are good");
        Self { node, conn: None, up: false, inbox: VecDeque::new() }
    }

    /// Hands an input in: what the node wants done then.
    ///
    /// # Errors
    /// The node refuses the input.
    pub(super) fn handle(&mut self, now: Timestamp, input: Input) -> Result<Vec<Action>, Misuse> {
        self.node.handle(now, input)?;
        Ok(self.drain())
    }

    /// What the node wants done. That it wants a connection is noted here.
    pub(super) fn drain(&mut self) -> Vec<Action> {
        let actions: Vec<_> = std::iter::from_fn(|| self.node.poll_action()).collect();
        for action in &actions {
            if let Action::Connect { conn } = action {
                self.conn = Some(*conn);
            }
        }
        actions
    }

    /// Whether it has asked for a connection and has none.
    pub(super) const fn wants_connection(&self) -> bool {
        self.conn.is_some() && !self.up
    }

    /// Its connection is made, if it wants one.
    pub(super) fn connect(&mut self) -> Option<Input> {
        let conn = self.conn?;
        self.up = true;
        Some(Input::Connected { conn })
    }

    /// Its connection ends, with all that was on its way.
    pub(super) fn lose(&mut self) -> Option<Input> {
        self.up = false;
        self.inbox.clear();
        let conn = self.conn.take()?;
        Some(Input::Disconnected { conn, reason: "lost".to_owned() })
    }

    /// The next line reaches it: an input, and the source that it names.
    pub(super) fn receive(&mut self, logs: &Logs) -> Option<(Input, Option<Source>)> {
        let (conn, line) = (self.conn?, self.inbox.pop_front()?);
        let read = Decoder::new().decode(&line);
        let about = logs.named_in(&read);
        let input = match read {
            Ok(command) => Input::Received { conn, command },
            Err(error) => Input::Malformed { conn, error },
        };
        Some((input, about))
    }

    /// The bus passes a line on to it, if it is there.
    pub(super) fn post(&mut self, line: Bytes) {
        if self.up {
            self.inbox.push_back(line);
        }
    }
}
