//! The count of commands sent on the connection that we made, and of those that have gone out.
//!
//! What enters: sends, and the driver's `Sent`. What leaves: the number of the last command that is
//! known to have gone out (P3).

/// Counts commands, so that `Sent` can be matched with what was sent. Every `Send` on the
/// connection that we made goes through [`Env::send_on`](super::Env::send_on).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Outbox {
    sent: u64,
    gone_out: u64,
}

impl Outbox {
    pub(crate) const fn new() -> Self {
        Self { sent: 0, gone_out: 0 }
    }

    /// Counts one more command; returns its number on this connection, from 1.
    pub(crate) const fn on_send(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// Returns the number of commands whose fate is not known yet.
    pub(crate) const fn unconfirmed(&self) -> u64 {
        self.sent - self.gone_out
    }

    /// Returns the number of the last command that has gone out.
    pub(crate) const fn gone_out(&self) -> u64 {
        self.gone_out
    }

    /// Notes that the oldest `count` commands that were unconfirmed have gone out, or all if there
    /// are fewer.
    pub(crate) fn on_sent(&mut self, count: u32) {
        self.gone_out = self.sent.min(self.gone_out + u64::from(count));
    }
}
