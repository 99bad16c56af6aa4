//! One accepted connection: the server side of direct TCP (`protocol.md` 3.1 to 3.6). Holds what is
//! known of the peer; [`Peers`](super::Peers) acts on it.

use std::collections::BTreeMap;

use super::{keep_alive::KeepAlive, untaken::SendQueue};
use crate::{
    config::Config,
    ids::{ConnectionId, OwnIndex, ReadId},
    stream::{Span, Token},
    time::Timestamp,
    wire::Dialect,
};

/// The state of a peer that connected to us.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    pub(super) conn: ConnectionId,
    pub(crate) dialect: Dialect,
    /// False once we have closed the connection: what still arrives on it is ignored, and nothing
    /// more is sent.
    pub(super) open: bool,
    /// Whether the application was notified of the peer.
    pub(crate) announced: bool,
    pub(super) keep_alive: KeepAlive,
    pub(super) untaken: SendQueue,
    /// Whether more than half of what it may leave untaken was so at the last look, and it has
    /// taken nothing since.
    pub(super) stands_still: bool,
    /// The streams that it has requested; oldest dialect only.
    pub(crate) subscriptions: BTreeMap<OwnIndex, Subscription>,
    /// The state of the read for one of them; oldest dialect only.
    pub(crate) reading: PeerReading,
}

/// The progress of a subscriber of the oldest dialect in one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subscription {
    /// It was sent every row up to here, and gets those above from the log.
    CatchingUp(Token),
    /// It gets what the other peers get.
    Live,
}

/// The state of the reads for a catch-up over the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PeerReading {
    Idle,
    /// Queued for a read.
    InLine,
    /// More than half of what it may leave untaken is: it is queued again when it has taken some.
    NoRoom,
    InFlight {
        query: ReadId,
        stream: OwnIndex,
        span: Span,
    },
}

impl Peer {
    pub(super) fn new(conn: ConnectionId, dialect: Dialect, now: Timestamp) -> Self {
        Self {
            conn,
            dialect,
            open: true,
            announced: true,
            keep_alive: KeepAlive::new(now),
            untaken: SendQueue::default(),
            stands_still: false,
            subscriptions: BTreeMap::new(),
            reading: PeerReading::Idle,
        }
    }

    /// Returns whether rows of `stream` go to this peer as they are published: all rows in later
    /// dialects, in the oldest those of streams that it has requested and caught up with.
    pub(super) fn takes(&self, stream: OwnIndex) -> bool {
        self.open
            && (self.dialect.names_instances()
                || self.subscriptions.get(&stream) == Some(&Subscription::Live))
    }

    /// Returns whether a log may be read on for this peer.
    pub(crate) fn has_room(&self, config: &Config) -> bool {
        !self.untaken.is_half_full(config)
    }
}
