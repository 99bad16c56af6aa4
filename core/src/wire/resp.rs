//! The part of RESP2 that a publishing and subscribing client of Redis needs (`protocol.md` 1.3).
//!
//! The bytes of a connection enter, [`Frame`]s leave, and the other way round. No server can take
//! more memory than [`RespLimits`] allow (promises C2 and F9).

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use bytestring::ByteString;
use thiserror::Error;

pub use self::{
    decode::RespDecoder,
    encode::{encode_command, encode_frame},
};

/// One whole reply of Redis, or one whole command that was sent to it. Bytes are slices of the
/// buffer that they were read into.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Frame {
    /// `+text`: a status, such as `OK`.
    Simple(ByteString),
    /// `-text`: a refusal of a command, for people. Bytes that are not UTF-8 are replaced.
    Error(String),
    /// `:number`.
    Integer(i64),
    /// `$length` and so many bytes; `None` is the null of length -1.
    Bulk(Option<Bytes>),
    /// `*length` and so many frames. An outermost array that has the form of a published message is
    /// decoded as [`Frame::Message`] instead.
    Array(Vec<Self>),
    /// `*-1`: the null array.
    NullArray,
    /// A published message: the array of `message`, channel and payload.
    Message {
        /// The channel that the message was published on.
        channel: Bytes,
        /// The bytes that were published.
        payload: Bytes,
    },
}

/// The limits of a [`RespDecoder`].
///
/// A length above a limit is refused before memory is reserved for it. So a frame has at most
/// `array_len_max` to the power of `depth_max` elements, and takes at most the memory of two of the
/// longest bulk strings and 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RespLimits {
    /// The longest bulk string, in bytes. Default 1 MiB: sixty times the longest line of direct
    /// TCP, thousands of times the longest message seen from Synapse, and small enough for each
    /// connection to hold one.
    pub bulk_bytes_max: usize,
    /// The most elements of one array. Default 16, where a subscriber's replies have at most 4;
    /// less than 3 is taken as 3, since a message has as many.
    pub array_len_max: usize,
    /// The most arrays nested in one another. Default 2, where a subscriber's replies have 1; 0 is
    /// taken as 1.
    pub depth_max: usize,
    /// The longest simple string, error or number, in bytes without its type byte and its line end.
    /// Default 4,096: errors quote at most a few arguments, cut short. Less than 6 is taken as 6.
    pub line_bytes_max: usize,
}

impl Default for RespLimits {
    fn default() -> Self {
        Self { bulk_bytes_max: 1 << 20, array_len_max: 16, depth_max: 2, line_bytes_max: 4_096 }
    }
}

/// The bytes are no RESP2, or exceed a limit. The connection cannot go on, because the start of the
/// next frame is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("byte {offset} of the stream: expected {kind}")]
pub struct RespError {
    kind: RespErrorKind,
    offset: u64,
}

/// The fault at which a [`RespError`] was found. `Display` names the element that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum RespErrorKind {
    /// A byte starts no frame of RESP2.
    #[error("one of `+`, `-`, `:`, `$`, `*`, found byte {found:#04x}")]
    Type {
        /// The byte that was found.
        found: u8,
    },
    /// A line feed has no carriage return before it, or a bulk string goes on behind its length.
    #[error("CR LF")]
    CrLf,
    /// A number is not a decimal integer within 64 bits.
    #[error("a decimal integer")]
    Integer,
    /// A length is below -1.
    #[error("a length, or -1")]
    Length,
    /// A simple string is not UTF-8.
    #[error("UTF-8 text")]
    Utf8,
    /// A line is longer than allowed.
    #[error("the end of the line after at most {max} bytes")]
    LineTooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// A bulk string is longer than allowed.
    #[error("a bulk string of at most {max} bytes, found one of {length}")]
    BulkTooLong {
        /// The announced length, in bytes.
        length: u64,
        /// The limit, in bytes.
        max: usize,
    },
    /// An array is longer than allowed.
    #[error("an array of at most {max} elements, found one of {length}")]
    ArrayTooLong {
        /// The announced length, in elements.
        length: u64,
        /// The limit, in elements.
        max: usize,
    },
    /// The elements of an array together are longer than two of the longest bulk strings and 64
    /// KiB.
    #[error("an array of at most {max} bytes")]
    FrameTooLong {
        /// The limit, in bytes.
        max: u64,
    },
    /// An array is nested in more arrays than allowed.
    #[error("no array here: at most {max} inside one another")]
    TooDeep {
        /// The limit, in arrays.
        max: usize,
    },
}

impl RespError {
    /// Returns the kind of the fault.
    pub const fn kind(&self) -> RespErrorKind {
        self.kind
    }

    /// Returns the place of the fault, in bytes from the first byte that the decoder was given.
    pub const fn offset(&self) -> u64 {
        self.offset
    }
}
