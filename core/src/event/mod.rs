//! The events that the application receives.
//!
//! An [`Event`] states a fact, a [`Warning`] a fault, and both name their reasons. Only the node
//! makes events; they leave in order as [`Action::Notify`](crate::Action). All of them have a
//! `Display` for people: one line that states the fact or fault, in which the text of others is
//! escaped and cut ([`Printable`](crate::Printable)) and no secret stands ([`crate::secret`]).

mod origin;
mod reasons;
#[cfg(test)]
mod tests;
mod warning;

use std::fmt;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use self::origin::OtherEnd;
pub use self::{
    origin::{ClearedReason, Origin, SyncOrigin},
    reasons::{Break, GapReason, NotAuditedReason, NotSentReason, WaitOutcome},
    warning::Warning,
};
use crate::{
    ids::{ConnectionId, WaitId},
    printable::Printable,
    stream::{Rows, Source, Span, Token},
    time::Timestamp,
    wire::{Command, Dialect, UserSync},
};

/// One event for the application. Events of one source come in order; promises F1 to F10 in the
/// [crate documentation](crate) state what they guarantee.
///
/// `Display` states the event in one line, for a log; it shows no rows and no fields of commands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Event {
    /// The connection that we make is usable. Sources may still have to catch up.
    Connected {
        /// The connection that became usable.
        conn: ConnectionId,
    },
    /// The connection that we make ended or could not be made: no source is live now. The node
    /// makes it again by itself.
    Disconnected {
        /// The connection that was lost.
        conn: ConnectionId,
        /// The error of the system, or the text of the peer. Verbatim.
        reason: String,
        /// The time of the next attempt; `None` after a shutdown.
        retry_at: Option<Timestamp>,
    },
    /// The rows of one token of one source, never split (promise F4).
    Rows {
        /// The source of the rows.
        source: Source,
        /// The token that the rows share.
        token: Token,
        /// One row or more, in wire order.
        rows: Rows,
        /// Whether the rows were received live, fetched, or found by the audit.
        origin: Origin,
        /// The position to resume from once these rows are handled. It equals `token`, except in
        /// streams whose tokens do not rise (see
        /// [`Transport::traits_of`](crate::Transport::traits_of)), where a gap follows because not
        /// all rows of the token could be had, and for rows that the audit found.
        position: Token,
    },
    /// The source is complete up to a new position, and no rows belong to it.
    Position {
        /// The source that moved.
        source: Source,
        /// The new position of the source.
        token: Token,
    },
    /// Rows that may lie in a span could not be had: the gap stands in their place.
    Gap {
        /// The source that lacks rows.
        source: Source,
        /// The tokens whose rows may be missing: everything up to `from` was delivered, and the
        /// position behind the gap is `upto`.
        #[serde(flatten)]
        span: Span,
        /// The reason why the rows could not be had.
        reason: GapReason,
    },
    /// The stream's tokens start over: the rows that this source sent before are void.
    Reset {
        /// The source that starts over.
        source: Source,
        /// The position before the reset.
        from: Token,
        /// The position after the reset.
        token: Token,
    },
    /// The log that the source's rows are fetched from is not the one that the rows before came from
    /// (F11). What it has is not delivered: a [`Gap`](Event::Gap) follows for the rows that were to
    /// be fetched. Rows that the writer sends go on being delivered. A person should see to the
    /// writer's address, or find out what became of its database.
    Discontinuity {
        /// The source whose log is another one.
        source: Source,
        /// The position of the source.
        position: Token,
        /// The sign by which that was seen.
        why: Break,
    },
    /// The writer's log goes back: it was restored from a backup, and the tokens above `to` are
    /// given out again. Rows above `to` that were delivered before are no longer in the log; what
    /// the log has there now is fetched and delivered. Only streams whose tokens rise otherwise
    /// have this event.
    Rewound {
        /// The source that goes back.
        source: Source,
        /// The position before.
        from: Token,
        /// The position after: the highest token under which a delivered row still stands.
        to: Token,
    },
    /// The source misses rows and has begun to fetch them.
    CatchingUp {
        /// The source that is behind.
        source: Source,
        /// The tokens to fetch: `from` is the position of the source.
        #[serde(flatten)]
        span: Span,
    },
    /// The source is no longer live, though the connection stands: a command of it could not be
    /// used. The writer is requested to announce its position; `CatchingUp` or `Live` follows.
    NotLive {
        /// The source that was live.
        source: Source,
        /// The position of the source.
        token: Token,
    },
    /// The source is live: nothing is missing, and new rows are delivered as they are received.
    Live {
        /// The source that became live.
        source: Source,
        /// The position of the source.
        token: Token,
    },
    /// A command was received on the connection that we made. RDATA and POSITION never come here,
    /// nor do commands that only manage the connection, those of which the node keeps account
    /// ([`UsersConfig`](crate::UsersConfig)), and our own LOCK_RELEASED.
    Command {
        /// The command that was received.
        command: Command,
    },
    /// A command of a peer that connected to us was received. Commands that only manage the
    /// connection never come here, nor do those of which the node keeps account
    /// ([`UsersConfig`](crate::UsersConfig)).
    PeerCommand {
        /// The connection that the command was received on.
        conn: ConnectionId,
        /// The command that was received.
        command: Box<Command>,
    },
    /// A peer has connected to our listener.
    PeerConnected {
        /// The new connection.
        conn: ConnectionId,
        /// The dialect of the connection.
        dialect: Dialect,
    },
    /// A peer sent its name: a label for people, which is not checked.
    PeerNamed {
        /// The connection of the peer.
        conn: ConnectionId,
        /// The name, verbatim.
        name: ByteString,
    },
    /// A connection that a peer had made ended.
    PeerDisconnected {
        /// The connection that ended.
        conn: ConnectionId,
        /// The error of the system, or the text with which the peer or we ended it. Verbatim.
        reason: String,
    },
    /// Every row of an own stream up to a token has gone out on the connection to the others: on a
    /// bus, the server has confirmed it.
    Published {
        /// The own stream.
        stream: ByteString,
        /// The token of the last row that has gone out.
        token: Token,
    },
    /// A user of another instance started or stopped syncing there.
    UserSyncing {
        /// The process or connection that reports the user.
        origin: SyncOrigin,
        /// The user, and whether it started or stopped.
        sync: Box<UserSync>,
    },
    /// All reports of one origin are void: none of the users that it reported syncs any more.
    SyncingCleared {
        /// The process or connection whose reports are void.
        origin: SyncOrigin,
        /// The number of (user, device) pairs that were syncing, at least 1.
        users: u32,
        /// The reason why the reports are void.
        reason: ClearedReason,
    },
    /// Every configured federation sender has stored the rows of `federation` up to a token.
    FederationAcked {
        /// The lowest token over the configured senders. It rises with each such event.
        token: Token,
    },
    /// A wait ended.
    WaitEnded {
        /// The wait that ended.
        wait: WaitId,
        /// The way in which it ended.
        outcome: WaitOutcome,
    },
    /// A fault with which the node goes on, but of which a person should know.
    Warning(Warning),
    /// The last event, after a shutdown.
    Stopped,
}

impl Event {
    /// Returns the source whose saved position changes when this event has been handled, and its
    /// new position; `None` if the event changes none.
    ///
    /// Events without rows have a position, too: the point at which a source starts must be saved,
    /// or a restart before its first row would start it somewhere else.
    pub const fn position(&self) -> Option<(&Source, Token)> {
        match self {
            Self::Rows { source, position: token, .. }
            | Self::Position { source, token }
            | Self::Gap { source, span: Span { upto: token, .. }, .. }
            | Self::Reset { source, token, .. }
            | Self::Rewound { source, to: token, .. }
            | Self::CatchingUp { source, span: Span { from: token, .. } }
            | Self::NotLive { source, token }
            | Self::Live { source, token } => Some((source, *token)),
            Self::Connected { .. }
            | Self::Disconnected { .. }
            | Self::Discontinuity { .. }
            | Self::Command { .. }
            | Self::PeerCommand { .. }
            | Self::PeerConnected { .. }
            | Self::PeerNamed { .. }
            | Self::PeerDisconnected { .. }
            | Self::Published { .. }
            | Self::UserSyncing { .. }
            | Self::SyncingCleared { .. }
            | Self::FederationAcked { .. }
            | Self::WaitEnded { .. }
            | Self::Warning(_)
            | Self::Stopped => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { .. } => f.write_str("connected"),
            Self::Disconnected { reason, retry_at, .. } => {
                let next = if retry_at.is_some() { "; trying again" } else { "" };
                write!(f, "disconnected: {}{next}", Printable::foreign(reason))
            }
            Self::Rows { source, token, rows, origin, .. } => {
                let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
                let how = match origin {
                    Origin::Live => String::new(),
                    Origin::CatchUp | Origin::Audit | Origin::Hole => format!(", {origin}"),
                };
                write!(f, "{} of {source} at {token}{how}", Count(count, "row"))
            }
            Self::Position { source, token } => write!(f, "{source} is complete up to {token}"),
            Self::Gap { source, span: Span { from, upto }, reason } => {
                write!(f, "rows ({from}, {upto}] of {source} could not be had: {reason}")
            }
            Self::Reset { source, from, token } => {
                write!(f, "{source} starts over at {token}, was at {from}")
            }
            Self::Discontinuity { source, position, why } => {
                write!(f, "{source} cannot go on from {position}, as its log is another one: {why}")
            }
            Self::Rewound { source, from, to } => write!(
                f,
                "{source} goes back from {from} to {to}: its log was restored from a backup, and \
                 what it has above is fetched"
            ),
            Self::CatchingUp { source, span: Span { from, upto } } => {
                write!(f, "{source} is catching up from {from} to {upto}")
            }
            Self::NotLive { source, token } => write!(
                f,
                "{source} is not live at {token}: its writer is requested to announce its position"
            ),
            Self::Live { source, token } => write!(f, "{source} is live at {token}"),
            Self::Command { command } => write!(f, "received {}", command.name()),
            Self::PeerCommand { conn, command } => {
                write!(f, "{} sent {}", OtherEnd(*conn), command.name())
            }
            Self::PeerConnected { conn, dialect } => {
                let peer = OtherEnd(*conn);
                write!(f, "{peer} has connected; it is spoken to as since release {dialect}")
            }
            Self::PeerNamed { conn, name } => {
                write!(f, "{} is called {}", OtherEnd(*conn), Printable::name(name))
            }
            Self::PeerDisconnected { conn, reason } => {
                write!(f, "{} is gone: {}", OtherEnd(*conn), Printable::foreign(reason))
            }
            Self::Published { stream, token } => {
                write!(f, "{} is published up to {token}", Printable::name(stream))
            }
            Self::UserSyncing { origin, sync } => {
                let does = if sync.syncing { "syncs" } else { "no longer syncs" };
                write!(f, "{} {does} at {origin}", Printable::name(&sync.user))
            }
            Self::SyncingCleared { origin, users, reason } => {
                write!(f, "forgot {} of {origin}: {reason}", Count(*users, "syncing user"))
            }
            Self::FederationAcked { token } => {
                write!(f, "every federation sender has stored federation up to {token}")
            }
            Self::WaitEnded { wait, outcome } => write!(f, "wait {wait} {outcome}"),
            Self::Warning(warning) => warning.fmt(f),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

/// A number of things: `1 row`, `2 rows`.
struct Count(u32, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}
