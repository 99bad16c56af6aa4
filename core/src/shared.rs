//! The state that all parts of a node share, and the ways to act on the world through it.

use std::collections::VecDeque;

use crate::{
    action::{Action, Channel},
    connection::Outbox,
    event::Event,
    follow::Fetches,
    ids::ConnectionId,
    retry::Jitter,
    stats::Stats,
    time::Timestamp,
    timer::Timers,
    wait::Waits,
    wire::Command,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shared {
    pub(crate) actions: VecDeque<Action>,
    pub(crate) stats: Stats,
    pub(crate) timers: Timers,
    pub(crate) fetches: Fetches,
    /// What was sent on the present connection that we made, or the last one.
    pub(crate) outbox: Outbox,
    pub(crate) waits: Waits,
    pub(crate) jitter: Jitter,
    /// Commands received on the connection that we make.
    pub(crate) heard: u64,
    /// The connection, while it can be asked for missed rows: only in the oldest dialect.
    pub(crate) replays_on: Option<ConnectionId>,
    /// Sources that have not said on the present connection where they stand.
    pub(crate) unanswered: u32,
    /// A follower lost its footing and wants its writer asked again.
    pub(crate) ask_again: bool,
    /// Bytes of rows in open batches, in open bursts, and remembered to know repeats.
    pub(crate) kept_bytes: u64,
    /// Until when writers are taken to be the ones that were there from the start.
    pub(crate) settling_until: Option<Timestamp>,
}

impl Shared {
    pub(crate) fn notify(&mut self, event: Event) {
        self.actions.push_back(Action::Notify(event));
    }

    /// Sends on the connection that we make; the number of the command on it.
    pub(crate) fn send(&mut self, conn: ConnectionId, command: Command) -> u64 {
        self.send_on(conn, Channel::Main, command)
    }

    /// The same on a channel of a bus.
    pub(crate) fn send_on(
        &mut self,
        conn: ConnectionId,
        channel: Channel,
        command: Command,
    ) -> u64 {
        self.actions.push_back(Action::Send { conn, channel, command });
        self.outbox.on_send()
    }
}
