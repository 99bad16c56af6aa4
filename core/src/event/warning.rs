//! Faults with which the node goes on, but of which a person should know.

#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::{Count, NotAuditedReason, NotSentReason, origin::OtherEnd};
use crate::{
    ids::ConnectionId,
    printable::Printable,
    stream::{FetchError, LogError, Source, Span, Token},
    wire::{DecodeError, Dialect},
};

/// A fault with which the node goes on.
///
/// `Display` states the fault in one line, with its place and its numbers. The remedy depends on
/// how the node was set up, so the application adds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Warning {
    /// A line or message was received that is not a command. If it was an RDATA of a known source,
    /// its rows are fetched once the writer has announced its position.
    Malformed {
        /// The fault of the line, and its place.
        error: DecodeError,
    },
    /// The connection is usable, but nothing of another instance was received on it, other than
    /// REPLICATE: the channel or the server name is wrong, or no other instance runs.
    NothingHeard {
        /// The time since the connection was made.
        after: Duration,
    },
    /// Known sources have not announced their positions on this connection. They are requested
    /// again, except from a server of the oldest dialect, which answers once or never.
    Unanswered {
        /// The number of such sources.
        sources: u32,
        /// One of the sources.
        example: Source,
        /// The number of requests on this connection.
        asked: u32,
    },
    /// A fetch failed; it is tried again.
    FetchFailed {
        /// The source that lacks rows.
        source: Source,
        /// The tokens whose rows were requested.
        #[serde(flatten)]
        span: Span,
        /// The number of failures in a row.
        attempt: u32,
        /// The time until the next attempt.
        retry_in: Duration,
        /// The error of this attempt.
        error: FetchError,
    },
    /// Rows or positions were received under our own name, though we have written none: two
    /// instances have the same name. It is reported once per connection.
    DuplicateInstance {
        /// The name that both have.
        instance: String,
    },
    /// Another instance announces one of our own streams, of which Synapse takes one writer only: in
    /// its configuration (`stream_writers`) that instance is the writer, and each process logs an
    /// error at our announcements. It is reported once per stream.
    OtherWriter {
        /// The own stream, which goes out on the deployment's channel
        /// ([`MainChannel`](crate::MainChannel)).
        stream: ByteString,
        /// The instance that announces it.
        instance: ByteString,
    },
    /// Rows in a span were not compared with the writer's log, though the audit is on: a row that
    /// got lost there is not found.
    NotAudited {
        /// The source that was to be audited.
        source: Source,
        /// The tokens that were left out: everything up to `from` was compared, and the audit goes
        /// on from `upto`.
        #[serde(flatten)]
        span: Span,
        /// The reason why the rows were not compared.
        reason: NotAuditedReason,
    },
    /// Tokens were passed without a row and are not looked into (F12): a row that got lost there is
    /// not found. Of each stream only the first such span is reported, and each token of which a
    /// page showed a part; [`Stats::hole_tokens_left`](crate::Stats) counts the others.
    HoleLeft {
        /// The source that has passed the tokens.
        source: Source,
        /// The tokens.
        #[serde(flatten)]
        span: Span,
        /// The reason why they are not looked into.
        reason: NotAuditedReason,
    },
    /// None of the rows of a source that were delivered last is in its writer's log any more. That
    /// may be in order: they were deleted, or others took their place. Nothing shows that the log is
    /// another one, so it is believed. It is reported at most once per connection and source.
    RowsGone {
        /// The source whose rows were looked for.
        source: Source,
        /// The number of rows that were looked for.
        looked_for: u32,
    },
    /// Rows that an instance had just sent were not found where its rows are to be fetched. It is
    /// reported once per instance.
    WrongAddress {
        /// The source of the row that was looked for last.
        source: Source,
        /// The number of times that a row was looked for.
        looks: u32,
        /// The error of the last attempt; `None` if the row was not there.
        error: Option<FetchError>,
    },
    /// The writer announced itself below the position, and its log has none of the rows that were
    /// delivered; but nothing proves that this is the same log.
    NotRewound {
        /// The source that was announced lower.
        source: Source,
        /// The position, which stays.
        position: Token,
        /// The token that was announced.
        announced: Token,
    },
    /// More rows were received of a source that is not live than may be held; they will be fetched
    /// as well.
    HoldingOverflow {
        /// The source that is not live.
        source: Source,
    },
    /// A batch is longer than allowed; its rows will be fetched.
    BatchOverflow {
        /// The source of the batch.
        source: Source,
    },
    /// There are more sources than allowed: this one is ignored. Only the first one is reported.
    TooManySources {
        /// The ignored source.
        source: Source,
    },
    /// A peer on an accepted connection took its commands too slowly and was cut off.
    PeerTooSlow {
        /// The connection of the peer.
        conn: ConnectionId,
        /// The number of commands that it had not taken.
        pending: u32,
    },
    /// A peer on an accepted connection broke the protocol and was cut off.
    PeerRefused {
        /// The connection of the peer.
        conn: ConnectionId,
        /// The text of the ERROR that was sent to it.
        told: String,
    },
    /// A peer sent ERROR: it is about to close the connection.
    PeerError {
        /// The connection of the peer.
        conn: ConnectionId,
        /// The text of the ERROR, verbatim.
        text: ByteString,
    },
    /// There are more accepted connections than allowed: this one was refused.
    TooManyPeers {
        /// The refused connection.
        conn: ConnectionId,
    },
    /// The server of a direct TCP connection sent a command that its side may not send; the command
    /// was ignored (`protocol.md` 3.5).
    WrongDirection {
        /// The connection to the server.
        conn: ConnectionId,
        /// The name of the command.
        command: String,
    },
    /// The server on the other end has a later dialect than was configured: it would not understand
    /// how missed rows are requested. The connection is closed and made again.
    WrongDialect {
        /// The dialect that was configured.
        configured: Dialect,
    },
    /// The server on the other end is of another homeserver.
    WrongServer {
        /// The name that was configured.
        expected: String,
        /// The name that the server sent; empty if it sent rows or positions before any name.
        found: ByteString,
    },
    /// The log of an own stream could not be read; it is tried again.
    LogFailed {
        /// The error of this attempt.
        error: LogError,
        /// The number of failures in a row.
        attempt: u32,
        /// The time until the next attempt.
        retry_in: Duration,
    },
    /// A row of an own stream is too long for a line of direct TCP: its batch is announced to peers
    /// instead, so that they fetch it. Peers of the oldest dialect, which cannot fetch, miss the
    /// row.
    RowTooLong {
        /// The own stream.
        stream: ByteString,
        /// The token of the batch.
        token: Token,
    },
    /// A batch of an own stream is longer than what a peer may leave untaken
    /// ([`PublishConfig::peer_pending_max`](crate::PublishConfig::peer_pending_max),
    /// `peer_pending_bytes_max`): each peer that is sent it is cut off and has to fetch it. Each
    /// such batch is reported.
    BatchTooLong {
        /// The own stream.
        stream: ByteString,
        /// The token of the batch.
        token: Token,
        /// The number of rows in the batch.
        rows: u32,
    },
    /// There are more own streams than allowed: this one is not published. Only the first one is
    /// reported.
    TooManyStreams {
        /// The stream that is not published.
        stream: ByteString,
    },
    /// More users sync than may be remembered: this one is not remembered.
    TooManySyncing {
        /// The Matrix user id of the user that is not remembered.
        user: ByteString,
    },
    /// A command of the application was not sent.
    NotSent {
        /// The name of the command.
        command: String,
        /// The reason why it was not sent.
        reason: NotSentReason,
    },
}

/// The number of failures in a row, and the time until the next attempt.
struct Attempt(u32, Duration);

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(attempt {}, the next one in {:.1} s)", self.0, self.1.as_secs_f64())
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Printable::name;
        match self {
            Self::Malformed { error } => {
                let sequel = match error.row() {
                    Some(row) => {
                        let (stream, instance) = (name(&row.stream), name(&row.instance));
                        format!("its rows of {stream}/{instance} are fetched instead")
                    }
                    None => "it is left out".to_owned(),
                };
                write!(f, "a message is not a command: {error}; {sequel}")
            }
            Self::NothingHeard { after } => {
                let seconds = after.as_secs();
                write!(f, "nothing was received from any instance for {seconds} s after connecting")
            }
            Self::Unanswered { sources, example, asked } => {
                let others = match sources.saturating_sub(1) {
                    0 => String::new(),
                    others => format!(" and {}", Count(others, "other source")),
                };
                let requests = Count(*asked, "request");
                write!(
                    f,
                    "{example}{others} announced no position on this connection after {requests}"
                )
            }
            Self::FetchFailed { source, span: Span { from, upto }, attempt, retry_in, error } => {
                let attempt = Attempt(*attempt, *retry_in);
                let rows = format_args!("rows ({from}, {upto}] of {source}");
                write!(f, "{rows} could not be fetched {attempt}: {error}")
            }
            Self::DuplicateInstance { instance } => write!(
                f,
                "another instance is called {} as well: its rows are taken for our own and left out",
                name(instance)
            ),
            Self::OtherWriter { stream, instance } => write!(
                f,
                "{} writes {} as well, of which Synapse takes one writer only",
                name(instance),
                name(stream)
            ),
            Self::NotAudited { source, span: Span { from, upto }, reason } => {
                let rows = format_args!("rows ({from}, {upto}] of {source}");
                write!(f, "{rows} were not compared with the writer's log: {reason}")
            }
            Self::HoleLeft { source, span: Span { from, upto }, reason } => {
                let rows = format_args!("rows ({from}, {upto}] of {source}");
                write!(f, "{rows} may be missing and are not looked for: {reason}")
            }
            Self::RowsGone { source, looked_for } => write!(
                f,
                "none of the {} of {source} that were delivered last is in its writer's log any \
                 more: deleted, or replaced by others",
                Count(*looked_for, "row")
            ),
            Self::WrongAddress { source, looks, error } => {
                let found = match error {
                    Some(error) => format!("the last attempt failed: {error}"),
                    None => "they were not there".to_owned(),
                };
                write!(
                    f,
                    "rows that {} had just sent were looked for at its address {}: {found}; is \
                     it the address of another instance?",
                    name(source.instance()),
                    Count(*looks, "time")
                )
            }
            Self::NotRewound { source, position, announced } => write!(
                f,
                "{source} is announced at {announced}, below its position {position}, and no \
                 delivered row is in its log; is it the log of another instance?"
            ),
            Self::HoldingOverflow { source } => write!(
                f,
                "more rows of {source} came during its catch-up than are held in memory; they will \
                 be fetched as well"
            ),
            Self::BatchOverflow { source } => {
                write!(f, "a batch of {source} is longer than allowed; its rows will be fetched")
            }
            Self::TooManySources { source } => {
                write!(f, "there are more sources than are followed at once; {source} is ignored")
            }
            Self::PeerTooSlow { conn, pending } => {
                let (peer, pending) = (OtherEnd(*conn), Count(*pending, "command"));
                write!(
                    f,
                    "{peer} left {pending} untaken and was cut off; it can connect again and catch up"
                )
            }
            Self::PeerRefused { conn, told } => {
                write!(f, "{} was cut off: {}", OtherEnd(*conn), Printable::foreign(told))
            }
            Self::PeerError { conn, text } => {
                write!(f, "{} sent ERROR: {}", OtherEnd(*conn), Printable::foreign(text))
            }
            Self::TooManyPeers { conn } => {
                let peer = OtherEnd(*conn);
                write!(f, "{peer} was refused: there are as many connections as are allowed")
            }
            Self::WrongDirection { conn, command } => {
                let (sender, command) = (OtherEnd(*conn), name(command));
                write!(f, "{sender} sent {command}, which its side may not send; it is left out")
            }
            Self::WrongDialect { configured } => write!(
                f,
                "the server there is of a later release than {configured}, which is configured: it \
                 would not understand how missed rows are requested"
            ),
            Self::WrongServer { expected, found } if found.is_empty() => write!(
                f,
                "the server there sent rows or positions before its name, which should be {}",
                name(expected)
            ),
            Self::WrongServer { expected, found } => {
                write!(f, "the server there is of {}, not of {}", name(found), name(expected))
            }
            Self::LogFailed { error, attempt, retry_in } => {
                let attempt = Attempt(*attempt, *retry_in);
                write!(f, "{error} {attempt}; nothing is lost, but rows wait to be published")
            }
            Self::RowTooLong { stream, token } => write!(
                f,
                "a row of {} at {token} is too long for a line of direct TCP: its batch is \
                 announced there, and has to be fetched",
                name(stream)
            ),
            Self::BatchTooLong { stream, token, rows } => write!(
                f,
                "the batch of {} at {token} has {}, more than a peer may leave untaken: peers that \
                 get it are cut off and have to fetch it",
                name(stream),
                Count(*rows, "row")
            ),
            Self::TooManyStreams { stream } => {
                write!(f, "there are more own streams than are published; {} is not", name(stream))
            }
            Self::TooManySyncing { user } => {
                write!(f, "more users sync than are remembered; {} is not", name(user))
            }
            Self::NotSent { command, reason } => {
                write!(f, "{} was not sent: {reason}", name(command))
            }
        }
    }
}
