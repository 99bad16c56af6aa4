//! One accepted connection: the server side of direct TCP (`protocol.md` 3.1 to 3.6).

use std::collections::BTreeMap;

use super::{keep_alive::KeepAlive, untaken::Untaken};
use crate::{
    config::Config,
    ids::{ConnectionId, OwnIndex, ReadId},
    stream::{Span, Token},
    time::Timestamp,
    wire::Dialect,
};

/// What is known of a peer that connected to us.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    pub(super) conn: ConnectionId,
    pub(crate) dialect: Dialect,
    /// False once we have closed: what still arrives is ignored, and nothing more is sent.
    pub(super) open: bool,
    /// The application knows of it.
    pub(crate) announced: bool,
    pub(super) keep_alive: KeepAlive,
    pub(super) untaken: Untaken,
    /// It has taken something since the last look.
    pub(super) moved: bool,
    /// The oldest dialect only: the streams that it asked for.
    pub(crate) subscriptions: BTreeMap<OwnIndex, Subscription>,
    /// The oldest dialect only: the read for one of them.
    pub(crate) reading: PeerReading,
}

/// How far a subscriber of the oldest dialect is with one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subscription {
    /// It has every row up to here, and gets those above it from the log.
    CatchingUp(Token),
    /// It gets what the other peers get.
    Live,
}

/// Where the reads for a catch-up over the connection stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PeerReading {
    Idle,
    /// In the line for a read.
    InLine,
    /// More than half of what it may leave untaken is: a look when it has taken some.
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
            untaken: Untaken::default(),
            moved: false,
            subscriptions: BTreeMap::new(),
            reading: PeerReading::Idle,
        }
    }

    /// Whether rows of `stream` go to it as they are published: later dialects get all from the
    /// start, the oldest one what was asked for and is caught up.
    pub(super) fn takes(&self, stream: OwnIndex) -> bool {
        self.open
            && (self.dialect.names_instances()
                || self.subscriptions.get(&stream) == Some(&Subscription::Live))
    }

    /// Whether it may be given more than what comes by itself.
    pub(crate) fn has_room(&self, config: &Config) -> bool {
        !self.untaken.is_half_full(config)
    }
}
