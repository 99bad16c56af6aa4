//! The environment of every part of a node: settings, time, shared state, and the ways to act on
//! the world.
//!
//! What enters: the time of each input, and what the parts do. What leaves: actions, in the order
//! in which they were made (C1).

mod addresses;
mod batches;
mod looks;
mod outbox;
mod stream;

use std::collections::VecDeque;

pub(crate) use self::stream::StreamState;
use self::{addresses::Addresses, batches::OpenBatches, outbox::Outbox};
use crate::{
    action::Action,
    config::{Channel, Config, Transport},
    event::{Event, WaitOutcome},
    ids::{ConnectionId, SourceIndex},
    queries::Queries,
    retry::Jitter,
    stats::Stats,
    stream::Token,
    time::Timestamp,
    timer::{TimerKey, Timers},
    wait::Waits,
    wire::Command,
};

/// Everything that the handling of an input reads and changes, besides the part of the node that it
/// concerns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Env {
    pub(crate) config: Config,
    /// The time of the present input.
    pub(crate) now: Timestamp,
    /// Actions that the driver has not taken yet, in order.
    pub(crate) actions: VecDeque<Action>,
    pub(crate) stats: Stats,
    pub(crate) timers: Timers,
    pub(crate) queries: Queries,
    /// Counts of the commands sent on the present connection that we made, or on the last one.
    pub(crate) outbox: Outbox,
    pub(crate) waits: Waits,
    pub(crate) jitter: Jitter,
    /// State that the sources of one stream share, by [`StreamIndex`](crate::ids::StreamIndex).
    pub(crate) streams: Vec<StreamState>,
    /// The number of commands received on the connections that we made, all together.
    pub(crate) commands_received: u64,
    /// The connection, while missed rows can be requested on it: only in the oldest dialect.
    pub(crate) in_band_on: Option<ConnectionId>,
    /// The number of sources whose position is not confirmed on the present connection.
    pub(crate) unconfirmed: u32,
    /// Whether a follower needs its writer's position: REPLICATE is to be sent again.
    pub(crate) replicate_again: bool,
    /// Bytes of rows in open batches, in open bursts, and in memories of repeats, of all sources.
    pub(crate) kept_bytes: u64,
    pub(crate) open_batches: OpenBatches,
    /// What is known of the addresses of the instances.
    pub(crate) addresses: Addresses,
    /// The time until which writers count as having been there from the start; `None` before the
    /// first connection.
    pub(crate) settling_until: Option<Timestamp>,
}

impl Env {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            now: Timestamp::ZERO,
            actions: VecDeque::new(),
            stats: Stats::default(),
            timers: Timers::default(),
            queries: Queries::default(),
            outbox: Outbox::new(),
            waits: Waits::default(),
            jitter: Jitter::new(config.seed),
            streams: Vec::new(),
            commands_received: 0,
            in_band_on: None,
            unconfirmed: 0,
            replicate_again: false,
            kept_bytes: 0,
            open_batches: OpenBatches::default(),
            addresses: Addresses::new(&config.continuity),
            settling_until: None,
            config,
        }
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(crate) fn notify(&mut self, event: Event) {
        self.act(Action::Notify(event));
    }

    /// Sends on the connection that we made; returns the number of the command on it, from 1.
    pub(crate) fn send(&mut self, conn: ConnectionId, command: Command) -> u64 {
        self.send_on(conn, Channel::Main, command)
    }

    /// Sends like [`Env::send`], on a channel of a bus.
    pub(crate) fn send_on(
        &mut self,
        conn: ConnectionId,
        channel: Channel,
        command: Command,
    ) -> u64 {
        self.act(Action::Send { conn, channel, command });
        self.outbox.on_send()
    }

    /// Empties the outbox: a new connection is requested, and nothing was sent on it.
    pub(crate) const fn empty_outbox(&mut self) {
        self.outbox = Outbox::new();
    }

    /// Returns whether writers that announce positions still count as having been there from the
    /// start.
    pub(crate) fn is_settling(&self) -> bool {
        self.settling_until.is_none_or(|until| self.now < until)
    }

    /// Returns whether the other instances are reached over direct TCP, where the one writer is the
    /// process that we are connected to: while the connection stands, it has not started over.
    pub(crate) const fn is_on_tcp(&self) -> bool {
        matches!(self.config.transport, Transport::Tcp(_))
    }

    /// Ends the waits that `source` at `position` satisfies.
    pub(crate) fn end_waits(&mut self, source: SourceIndex, position: Token) {
        if self.waits.is_empty() {
            return;
        }
        while let Some(wait) = self.waits.pop_reached(source, position) {
            self.timers.clear(TimerKey::Wait(wait));
            self.notify(Event::WaitEnded { wait, outcome: WaitOutcome::Reached { position } });
        }
    }
}
