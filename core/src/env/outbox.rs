//! What was sent on the connection that we make, and how much of it has gone out.

/// Counts commands, so that `Sent` can be matched with what was sent. Every
/// `Send` on the connection that we make goes through [`Env::send_on`](super::Env::send_on).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Outbox {
    sent: u64,
    gone_out: u64,
}

impl Outbox {
    pub(crate) const fn new() -> Self {
        Self { sent: 0, gone_out: 0 }
    }

    /// One more command is sent; its number on this connection, from 1.
    pub(crate) const fn on_send(&mut self) -> u64 {
        self.sent += 1;
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
