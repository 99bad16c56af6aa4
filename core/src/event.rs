//! What the application learns.

use std::time::Duration;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{ConnectionId, WaitId},
    stream::{FetchError, LogError, Rows, Source, Token},
    time::Timestamp,
    wire::{Command, DecodeError, Dialect, UserSync},
};

/// One event for the application. Events of one source come in order; see the promises in the
/// crate documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Event {
    /// A connection is usable. Rows may still be caught up.
    Connected {
        /// Which one.
        conn: ConnectionId,
    },
    /// A connection ended or could not be made: no source is live now. It is tried again by itself.
    Disconnected {
        /// Which one.
        conn: ConnectionId,
        /// What the system or the peer said.
        reason: String,
        /// When the next attempt is made; `None` after a shutdown.
        retry_at: Option<Timestamp>,
    },
    /// Rows of one token of one source, whole.
    Rows {
        /// Whose rows.
        source: Source,
        /// The token that they share.
        token: Token,
        /// One row or more, in wire order.
        rows: Rows,
        /// Seen live, or fetched, or found by the audit.
        origin: Origin,
        /// Where to resume once these rows are handled. Equal to `token` but in streams whose
        /// tokens do not rise (see [`Transport::traits_of`](crate::Transport::traits_of)), where a gap follows
        /// because not all rows of the token could be had, and in rows that the audit found.
        position: Token,
    },
    /// The source is complete up to here; no rows came with it.
    Position {
        /// Which source.
        source: Source,
        /// Its position.
        token: Token,
    },
    /// Rows that may lie in `(from, upto]` could not be had.
    Gap {
        /// Which source.
        source: Source,
        /// Delivered up to here before the gap.
        from: Token,
        /// The position after the gap.
        upto: Token,
        /// Why.
        reason: GapReason,
    },
    /// The stream's tokens start over: forget what this source said before.
    Reset {
        /// Which source.
        source: Source,
        /// Position before.
        from: Token,
        /// Position now.
        token: Token,
    },
    /// The source misses rows and has begun to fetch them.
    CatchingUp {
        /// Which source.
        source: Source,
        /// Its position.
        from: Token,
        /// The token to reach.
        upto: Token,
    },
    /// The source is no longer live, though the connection stands: something of it could not be
    /// used. Its writer is asked where it stands; `CatchingUp` or `Live` follows.
    NotLive {
        /// Which source.
        source: Source,
        /// Its position.
        token: Token,
    },
    /// The source is live: nothing is missing, and what comes next comes at once.
    Live {
        /// Which source.
        source: Source,
        /// Its position.
        token: Token,
    },
    /// A command, on the connection that we made, that is neither RDATA nor POSITION.
    Command {
        /// The command.
        command: Command,
    },
    /// A command of a peer that connected to us, but for those that only manage the connection.
    PeerCommand {
        /// Where it came from.
        conn: ConnectionId,
        /// The command.
        command: Box<Command>,
    },
    /// A peer has connected to our listener.
    PeerConnected {
        /// Which connection.
        conn: ConnectionId,
        /// What is spoken there.
        dialect: Dialect,
    },
    /// A peer told its name: a label for people, not checked against anything.
    PeerNamed {
        /// Which connection.
        conn: ConnectionId,
        /// The name.
        name: ByteString,
    },
    /// A connection that a peer had made ended.
    PeerDisconnected {
        /// Which one.
        conn: ConnectionId,
        /// What the system, the peer or we said.
        reason: String,
    },
    /// Every row of an own stream up to here has gone out on the connection to the others: on a
    /// bus, the server has taken it.
    Published {
        /// The own stream.
        stream: ByteString,
        /// Its token.
        token: Token,
    },
    /// A user of another instance started or stopped syncing there.
    UserSyncing {
        /// Who says so.
        origin: SyncOrigin,
        /// What it says.
        sync: Box<UserSync>,
    },
    /// All that was said under this origin is void: it said so, was silent for too long, or its
    /// connection ended.
    SyncingCleared {
        /// Whose users.
        origin: SyncOrigin,
        /// How many (user, device) pairs were syncing.
        users: u32,
        /// Why.
        reason: ClearedReason,
    },
    /// Every configured federation sender has stored the rows of `federation` up to here.
    FederationAcked {
        /// The lowest token over the configured senders.
        token: Token,
    },
    /// A wait ended.
    WaitEnded {
        /// Which one.
        wait: WaitId,
        /// How.
        outcome: WaitOutcome,
    },
    /// Something is wrong that the core can live with, but a person should know.
    Warning(Warning),
    /// The last event, after a shutdown.
    Stopped,
}

impl Event {
    /// Which source's saved position changes when this event has been handled, and to what.
    ///
    /// Also for events that bring no rows: where a source starts must be saved too, or a restart
    /// before its first row would start it somewhere else.
    pub const fn position(&self) -> Option<(&Source, Token)> {
        match self {
            Self::Rows { source, position: token, .. }
            | Self::Position { source, token }
            | Self::Gap { source, upto: token, .. }
            | Self::Reset { source, token, .. }
            | Self::CatchingUp { source, from: token, .. }
            | Self::NotLive { source, token }
            | Self::Live { source, token } => Some((source, *token)),
            Self::Connected { .. }
            | Self::Disconnected { .. }
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

/// Who speaks of syncing users (`protocol.md` 2.3, USER_SYNC).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SyncOrigin {
    /// A process, by the random id that it draws at its start.
    Instance(ByteString),
    /// A connection of the oldest dialect, which has no ids.
    Connection(ConnectionId),
}

/// Why what an origin said of its users is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClearedReason {
    /// It stops, and said so.
    Stopped,
    /// It said nothing of any user for [`Config::syncing_expires_after`](crate::Config).
    Silent,
    /// Its connection ended.
    Disconnected,
}

/// How rows came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// As RDATA.
    Live,
    /// From the writer's log.
    CatchUp,
    /// From the writer's log, later than rows above: the audit found that they had been lost. They
    /// lie at or below the position, which stays where it is; among themselves their tokens rise.
    Audit,
}

/// Why rows could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GapReason {
    /// There is nowhere to fetch them from.
    NoEndpoint,
    /// Every attempt that [`Config::fetch_attempts_max`](crate::Config) allows has failed.
    GaveUp {
        /// The last error.
        error: FetchError,
    },
    /// A page ended inside the rows of one token and the rest cannot be asked for.
    SplitToken,
}

/// Why rows were not compared with the writer's log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotAuditedReason {
    /// What was delivered there is not known: more than may be remembered
    /// ([`Config::audit_rows_max`](crate::Config), `audit_rows_total_max`); or, in a stream whose
    /// fetch shows the rows of all writers, it was delivered before this process started.
    NotRemembered,
    /// More tokens than one audit may ask for ([`Config::audit_tokens_max`](crate::Config)).
    TooManyTokens,
    /// There is nowhere to fetch from.
    NoEndpoint,
    /// Every attempt that [`Config::fetch_attempts_max`](crate::Config) allows has failed.
    GaveUp {
        /// The last error.
        error: FetchError,
    },
    /// A page ended inside the rows of one token and the rest cannot be asked for. Those that came
    /// were compared.
    SplitToken,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WaitOutcome {
    /// The source's position is at or above the token.
    Reached {
        /// The position.
        position: Token,
    },
    /// The deadline passed first.
    TimedOut {
        /// The position at that time; `None` if the source was never heard of.
        position: Option<Token>,
    },
    /// The source is not followed (unwanted, our own, or one too many), there were too many open
    /// waits, or the node is stopping.
    Refused,
}

/// Something is wrong that the core can live with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Warning {
    /// A line or message that is not a command. If it was an RDATA of a known source, its rows are
    /// fetched once the writer has said where it stands.
    Malformed {
        /// What is wrong with it.
        error: DecodeError,
    },
    /// Connected, but nothing but REPLICATE came: wrong channel or server name, or nobody is
    /// there.
    NothingHeard {
        /// Time since the connection was made.
        after: Duration,
    },
    /// Known sources have not said where they stand on this connection; asked again, but for a
    /// server of the oldest dialect, which answers once or never.
    Unanswered {
        /// How many.
        sources: u32,
        /// One of them.
        example: Source,
        /// How often was asked on this connection.
        asked: u32,
    },
    /// A fetch failed; it is tried again.
    FetchFailed {
        /// Which source.
        source: Source,
        /// Rows above this token were wanted.
        from: Token,
        /// Rows up to this token were wanted.
        upto: Token,
        /// Failures in a row.
        attempt: u32,
        /// Time until the next attempt.
        retry_in: Duration,
        /// What happened.
        error: FetchError,
    },
    /// Rows or positions under our own name, though we have written none: two instances have the
    /// same name.
    DuplicateInstance {
        /// The name.
        instance: String,
    },
    /// Rows in `(from, upto]` were not compared with the writer's log, though the audit is on: one
    /// that got lost there is not found.
    NotAudited {
        /// Which source.
        source: Source,
        /// Compared up to here.
        from: Token,
        /// The audit goes on from here.
        upto: Token,
        /// Why.
        reason: NotAuditedReason,
    },
    /// More rows arrived during a catch-up than may be held; they will be fetched as well.
    HoldingOverflow {
        /// Which source.
        source: Source,
    },
    /// A batch is longer than allowed; its rows will be fetched.
    BatchOverflow {
        /// Which source.
        source: Source,
    },
    /// More sources than allowed: this one is ignored.
    TooManySources {
        /// The ignored one.
        source: Source,
    },
    /// A peer on an accepted connection took its commands too slowly and was cut off.
    PeerTooSlow {
        /// Which connection.
        conn: ConnectionId,
        /// Commands that it had not taken.
        pending: u32,
    },
    /// A peer on an accepted connection broke the protocol and was cut off.
    PeerRefused {
        /// Which connection.
        conn: ConnectionId,
        /// What it was told.
        told: String,
    },
    /// A peer said ERROR: it is about to close the connection.
    PeerError {
        /// Which connection.
        conn: ConnectionId,
        /// What it said.
        text: ByteString,
    },
    /// More accepted connections than allowed: this one was refused.
    TooManyPeers {
        /// Which connection.
        conn: ConnectionId,
    },
    /// A peer said what its side may not say to the other; it was ignored.
    WrongDirection {
        /// Which connection.
        conn: ConnectionId,
        /// Name of the command.
        command: String,
    },
    /// The server on the other end speaks a later dialect than it was said to: it would not
    /// understand what missed rows are asked for with. The connection is closed and made again.
    WrongDialect {
        /// The dialect that was configured.
        configured: Dialect,
    },
    /// The server on the other end is of another homeserver.
    WrongServer {
        /// The name that was configured.
        expected: String,
        /// The name that it gave; empty if it spoke of streams before it gave any.
        found: ByteString,
    },
    /// The log of an own stream could not be read; it is tried again.
    LogFailed {
        /// What happened.
        error: LogError,
        /// Failures in a row.
        attempt: u32,
        /// Time until the next attempt.
        retry_in: Duration,
    },
    /// A row of an own stream is too long for a line of direct TCP: its batch is announced there,
    /// so that followers fetch it.
    RowTooLong {
        /// The own stream.
        stream: ByteString,
        /// The token of the batch.
        token: Token,
    },
    /// A batch of an own stream is longer than what a peer may leave untaken
    /// ([`Config::peer_pending_max`](crate::Config), `peer_pending_bytes_max`): each peer that gets
    /// it is cut off, and fetches it. Said of each such batch.
    BatchTooLong {
        /// The own stream.
        stream: ByteString,
        /// The token of the batch.
        token: Token,
        /// How many rows it has.
        rows: u32,
    },
    /// More own streams than allowed: this one is not published.
    TooManyStreams {
        /// The stream.
        stream: ByteString,
    },
    /// More syncing users than may be remembered: this one is not.
    TooManySyncing {
        /// Matrix user id.
        user: ByteString,
    },
    /// A command of the application was not sent.
    NotSent {
        /// Name of the command.
        command: String,
        /// Why.
        reason: NotSentReason,
    },
}

/// Why a command was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NotSentReason {
    /// There is no connection now.
    Disconnected,
    /// The node observes only.
    ObserveOnly,
    /// A client of this dialect may not say it, or the node itself says it when it is due.
    NotForClients,
    /// RDATA and POSITION are of own streams alone, and go out as their logs say
    /// ([`Input::Appended`](crate::Input)): anything else would be a row that no follower can fetch.
    OnlyFromLog,
}
