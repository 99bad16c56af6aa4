//! Inputs: everything that enters the core. The same inputs in the same order give the same actions
//! (promise C1), and none of them panics (C2).

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{ConnectionId, FetchId, ReadId, WaitId},
    stream::{FetchError, LogError, Page, Source, Token},
    time::Timestamp,
    wire::{Command, DecodeError, Dialect},
};

/// Something that happened outside, handed to [`Node::handle`](crate::Node::handle).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Input {
    /// The connection that [`Action::Connect`](crate::Action) requested is usable in both
    /// directions. On a bus: the subscription is confirmed.
    Connected {
        /// The connection that became usable.
        conn: ConnectionId,
    },
    /// A peer has connected to our listener.
    Accepted {
        /// The id of the connection, which the driver makes with [`ConnectionId::accepted`], from a
        /// higher number each time.
        conn: ConnectionId,
        /// The dialect of that listener. Nothing on the wire shows it.
        dialect: Dialect,
    },
    /// The connection ended, or could not be made. It is reported once for every `Connect` and
    /// every `Accepted`, also after a `Close`.
    Disconnected {
        /// The connection that ended or could not be made.
        conn: ConnectionId,
        /// The error of the system, or the text of the peer, for people.
        reason: String,
    },
    /// A command was received.
    Received {
        /// The connection that the command was received on.
        conn: ConnectionId,
        /// The command.
        command: Command,
    },
    /// More than [`LINE_BYTES_MAX`](crate::wire::LINE_BYTES_MAX) bytes were received without a
    /// delimiter. Nothing more can be read of this connection. Direct TCP only.
    LineTooLong {
        /// The connection that the bytes were received on.
        conn: ConnectionId,
    },
    /// The oldest `count` commands sent on this connection that were not reported yet have gone
    /// out. Direct TCP: they were written to the socket. On a bus: their PUBLISHes were answered.
    /// [`Action::Send`](crate::Action) and [`Action::Broadcast`](crate::Action) count alike.
    Sent {
        /// The connection that the commands were sent on.
        conn: ConnectionId,
        /// The number of commands, at least 1.
        count: u32,
    },
    /// A line or message was received that is not a command.
    Malformed {
        /// The connection that the line or message was received on.
        conn: ConnectionId,
        /// The fault of the line or message.
        error: DecodeError,
    },
    /// The answer to [`Action::Fetch`](crate::Action).
    Fetched {
        /// The id of the fetch that is answered.
        query: FetchId,
        /// The page, or the reason why there is none.
        result: Result<Page, FetchError>,
    },
    /// The log of an own stream is complete up to `token`: no row at or below it will be added. A
    /// stream that is new begins at [`Token::START`]. Appends may come in any order; the highest
    /// token counts.
    Appended {
        /// The own stream.
        stream: ByteString,
        /// The last token of the stream's log.
        token: Token,
    },
    /// The answer to [`Action::ReadLog`](crate::Action).
    LogRead {
        /// The id of the read that is answered.
        query: ReadId,
        /// The page, or the reason why there is none. A page has whole batches with rising tokens,
        /// all in the requested span; it ends inside the span, and its `limited` is not used.
        result: Result<Page, LogError>,
    },
    /// A sync of a user of ours began or ended; several of one device may overlap. The presence
    /// writer is notified of the beginning, and again on each new connection while the user syncs.
    /// It is notified of the end only if no other sync began within
    /// [`UsersConfig::user_sync_end_after`](crate::UsersConfig::user_sync_end_after).
    Syncing {
        /// The Matrix user id.
        user: ByteString,
        /// The device id, if there is one.
        device: Option<ByteString>,
        /// Whether the sync began.
        syncing: bool,
        /// The time of the beginning or end, in milliseconds since the Unix epoch.
        at_ms: i64,
    },
    /// The application wants to send a command to the other instances.
    Send {
        /// The command to send.
        command: Command,
    },
    /// The application wants to know when a source has reached a token.
    WaitFor {
        /// The id of the wait, unique among open waits.
        wait: WaitId,
        /// The source that is waited for.
        source: Source,
        /// The token to reach.
        token: Token,
        /// The time at which the wait ends without success.
        deadline: Timestamp,
    },
    /// The application no longer waits. An unknown id does no harm: the wait may just have ended.
    CancelWait {
        /// The wait to end.
        wait: WaitId,
    },
    /// A deadline from [`Node::poll_timeout`](crate::Node::poll_timeout) may have passed. Early
    /// or repeated ticks do nothing.
    Tick,
    /// The application wants to stop: what is left to send goes out, then the connections are
    /// closed. Nothing more is fetched. [`Event::Stopped`](crate::Event) follows.
    Shutdown,
}

// Every command that is received passes through both types. Up to 128 bytes are moved by a few
// vector instructions in place, more bytes by a call each time, which costs an eighth of the time
// of a whole line.
const _: () = assert!(size_of::<Input>() <= 128 && size_of::<crate::Action>() <= 128);
