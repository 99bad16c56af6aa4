//! One own stream: how far its log goes, and how far each outlet has come.

use bytestring::ByteString;

use crate::{
    config::Channel,
    ids::ReadId,
    stream::{Span, Token, traits},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct OwnStream {
    pub(super) name: ByteString,
    /// The channel of the bus on which it goes out.
    pub(super) channel: Channel,
    /// The last token of its log.
    pub(super) end: Token,
    pub(super) bus: BusCursor,
    /// Peers that take the stream were sent everything up to here.
    pub(super) peers: Token,
    pub(super) reading: Reading,
    /// Reads of its log that failed in a row.
    pub(super) attempt: u32,
    /// The next read is for the peers, if the outlets stand at different tokens.
    pub(super) peers_turn: bool,
}

/// How far a stream has come on the bus. `confirmed <= sent <= highest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct BusCursor {
    /// Everything up to here was sent on the present connection, or is confirmed.
    pub(super) sent: Token,
    /// Everything up to here is known to have gone out.
    pub(super) confirmed: Token,
    /// The application was told of this much.
    pub(super) told: Token,
    /// The last token that may have gone out, on any connection.
    pub(super) highest: Token,
    /// An announcement of this process is known to have gone out.
    pub(super) heard: bool,
}

/// Where the reads of a stream for its outlets stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reading {
    /// No outlet is behind, or none that is can take more now.
    Idle,
    /// In the line for a read.
    InLine,
    InFlight {
        query: ReadId,
        span: Span,
    },
    /// The log could not be read; nobody reads it until the timer.
    BackingOff,
}

impl OwnStream {
    /// A stream whose log ends at `end`; only rows above are news.
    pub(super) const fn new(name: ByteString, channel: Channel, end: Token) -> Self {
        Self {
            name,
            channel,
            end,
            bus: BusCursor { sent: end, confirmed: end, told: end, highest: end, heard: false },
            peers: end,
            reading: Reading::Idle,
            attempt: 0,
            peers_turn: false,
        }
    }

    /// A connection was made to the bus: where it goes on. What went out on the one before is known
    /// up to `confirmed`; between that and `highest` is anybody's guess.
    ///
    /// A follower that has such a row drops it when it comes again. But where tokens can start over
    /// it takes a lower one for a new epoch, so there the rows are not sent again: it is told
    /// that we are beyond them, and fetches what it misses. Not so while nobody may have heard
    /// where we started: beyond that it would take our rows for those of the epoch before.
    pub(super) fn resume_on_bus(&mut self, planted: bool) {
        let may_start_over = traits(&self.name).resettable && (self.bus.heard || planted);
        self.bus.sent = if may_start_over { self.bus.highest } else { self.bus.confirmed };
    }
}
