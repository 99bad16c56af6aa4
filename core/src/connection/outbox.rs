//! What was sent on the connection that we make, and how much of it has gone out.

use crate::{action::Action, follow::Common, ids::ConnectionId, wire::Command};

/// Counts commands, so that `Sent` can be matched with what was sent. Every `Send` on the
/// connection that we make goes through here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Outbox {
    sent: u64,
    gone_out: u64,
}

impl Outbox {
    pub(super) const fn new() -> Self {
        Self { sent: 0, gone_out: 0 }
    }

    /// Sends; the number of the command on this connection, from 1.
    pub(super) fn send(
        &mut self,
        conn: ConnectionId,
        command: Command,
        common: &mut Common,
    ) -> u64 {
        self.sent += 1;
        common.actions.push_back(Action::Send { conn, command });
        self.sent
    }

    /// Commands whose fate is not known yet.
    pub(crate) const fn unconfirmed(&self) -> u64 {
        self.sent - self.gone_out
    }

    /// The number of the last command that has gone out.
    pub(crate) const fn gone_out(&self) -> u64 {
        self.gone_out
    }

    /// The oldest `count`, at most those that are unconfirmed, have gone out.
    pub(crate) fn on_sent(&mut self, count: u32) {
        self.gone_out = self.sent.min(self.gone_out + u64::from(count));
    }
}
