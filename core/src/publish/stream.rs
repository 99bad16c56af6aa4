//! One own stream: how far its log goes, and how far each outlet has come (P3).

use bytestring::ByteString;

use crate::{
    config::Channel,
    ids::ReadId,
    stream::{Span, Token, traits},
};

/// The state of one own stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct OwnStream {
    pub(super) name: ByteString,
    /// The channel of the bus on which it goes out.
    pub(super) channel: Channel,
    /// The last token of its log.
    pub(super) end: Token,
    pub(super) bus: BusCursor,
    /// The token up to which peers that take the stream were sent everything.
    pub(super) peers: Token,
    pub(super) reading: Reading,
    /// The number of reads of its log that failed in a row.
    pub(super) attempt: u32,
    /// Whether the application was warned that another instance writes it.
    pub(super) other_writer_reported: bool,
    /// Whether the last read was for the peers, where the outlets stand at different tokens.
    pub(super) last_was_peers: bool,
}

/// The progress of a stream on the bus. `confirmed <= sent <= highest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct BusCursor {
    /// The token up to which everything was sent on the present connection, or is confirmed.
    pub(super) sent: Token,
    /// The token up to which everything is known to have gone out.
    pub(super) confirmed: Token,
    /// The token up to which the application was notified of what has gone out.
    pub(super) notified: Token,
    /// The last token that may have gone out, on any connection.
    pub(super) highest: Token,
    /// Whether an announcement of this process is known to have gone out.
    pub(super) announced: bool,
    /// The token of the last announcement that waits for a confirmation on the present connection.
    pub(super) announced_on_this: Option<Token>,
}

/// The state of the reads of a stream for its outlets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reading {
    /// No outlet is behind, or none that is can take more now.
    Idle,
    /// Queued for a read.
    InLine,
    InFlight {
        query: ReadId,
        span: Span,
    },
    /// The log could not be read, and is not read before the timer.
    BackingOff,
}

impl OwnStream {
    /// Creates the state of a stream whose log ends at `end`; only rows above are sent.
    pub(super) const fn new(name: ByteString, channel: Channel, end: Token) -> Self {
        Self {
            name,
            channel,
            end,
            bus: BusCursor {
                sent: end,
                confirmed: end,
                notified: end,
                highest: end,
                announced: false,
                announced_on_this: None,
            },
            peers: end,
            reading: Reading::Idle,
            attempt: 0,
            other_writer_reported: false,
            last_was_peers: false,
        }
    }

    /// Sets where the stream goes on, on a new connection to the bus. What went out on the one
    /// before is known up to `confirmed`; between that and `highest` it is unknown.
    ///
    /// A follower that has such a row drops it when it is sent again. But where tokens can start
    /// over, a follower takes a lower token for a new epoch, so there the rows are not sent again:
    /// the announcement stands beyond them, and the follower fetches what it misses. Not so while
    /// the announcement of where we started may have reached nobody: a follower would take our rows
    /// beyond it for those of the epoch before.
    pub(super) fn resume_on_bus(&mut self) {
        self.bus.announced_on_this = None;
        let may_start_over = traits(&self.name).resettable && self.bus.announced;
        self.bus.sent = if may_start_over { self.bus.highest } else { self.bus.confirmed };
    }
}
