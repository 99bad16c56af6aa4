//! The part of RESP2 that a publishing and subscribing client of Redis needs
//! (`protocol.md` 1.3).

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

/// One whole reply of Redis, or one whole command sent to it. Bytes are slices of the buffer that
/// they were read into.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Frame {
    /// `+text`: a status, such as `OK`.
    Simple(ByteString),
    /// `-text`: Redis refused a command. For people; bytes that are not UTF-8 are replaced.
    Error(String),
    /// `:number`.
    Integer(i64),
    /// `$length` and so many bytes; `None` is the null of length -1.
    Bulk(Option<Bytes>),
    /// `*length` and so many frames. Never one that could be a [`Frame::Message`], unless inside
    /// another array.
    Array(Vec<Self>),
    /// `*-1`: an array that is not there.
    NullArray,
    /// A published message: the array of `message`, channel and payload.
    Message {
        /// The channel it was published on.
        channel: Bytes,
        /// What was published.
        payload: Bytes,
    },
}

/// Limits of a [`RespDecoder`]. What is announced above them is refused before memory is set
/// aside for it, so a frame takes at most `array_len_max` to the power of `depth_max` elements, and
/// of memory what two of the longest bulk strings do, and 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RespLimits {
    /// Longest bulk string, in bytes. Default 1 MiB: sixty times the longest line of direct TCP,
    /// thousands of times the longest message seen from Synapse, and little enough for each
    /// connection to hold once.
    pub bulk_bytes_max: usize,
    /// Most elements of one array. Default 16, where a subscriber's replies have at most 4;
    /// less than 3 is taken as 3, since a message has as many.
    pub array_len_max: usize,
    /// Arrays inside one another. Default 2, where a subscriber's replies have 1; 0 is taken as 1.
    pub depth_max: usize,
    /// Longest simple string, error or number, in bytes without its type and its end. Default
    /// 4,096: errors quote at most a few arguments, cut short. Less than 6 is taken as 6.
    pub line_bytes_max: usize,
}

impl Default for RespLimits {
    fn default() -> Self {
        Self { bulk_bytes_max: 1 << 20, array_len_max: 16, depth_max: 2, line_bytes_max: 4_096 }
    }
}

/// Bytes that are no RESP2, or more of it than allowed. The connection cannot go on, because the
/// start of the next frame is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("byte {offset} of the stream: expected {kind}")]
pub struct RespError {
    kind: RespErrorKind,
    offset: u64,
}

/// What should have stood where a [`RespError`] was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum RespErrorKind {
    /// A byte that starts no frame of RESP2.
    #[error("one of `+`, `-`, `:`, `$`, `*`, found byte {found:#04x}")]
    Type {
        /// What stood there.
        found: u8,
    },
    /// A line feed without a carriage return, or a bulk string that goes on behind its length.
    #[error("CR LF")]
    CrLf,
    /// Something other than a decimal integer within 64 bits.
    #[error("a decimal integer")]
    Integer,
    /// A length below -1.
    #[error("a length, or -1")]
    Length,
    /// A simple string that is not UTF-8.
    #[error("UTF-8 text")]
    Utf8,
    /// A line that is longer than allowed.
    #[error("the end of the line after at most {max} bytes")]
    LineTooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// A bulk string that is longer than allowed.
    #[error("a bulk string of at most {max} bytes, found one of {length}")]
    BulkTooLong {
        /// The announced length, in bytes.
        length: u64,
        /// The limit, in bytes.
        max: usize,
    },
    /// An array that is longer than allowed.
    #[error("an array of at most {max} elements, found one of {length}")]
    ArrayTooLong {
        /// The announced length, in elements.
        length: u64,
        /// The limit, in elements.
        max: usize,
    },
    /// An array whose elements together are longer than two of the longest bulk strings and 64 KiB.
    #[error("an array of at most {max} bytes")]
    FrameTooLong {
        /// The limit, in bytes.
        max: u64,
    },
    /// An array inside more arrays than allowed.
    #[error("no array here: at most {max} inside one another")]
    TooDeep {
        /// The limit.
        max: usize,
    },
}

impl RespError {
    /// What was expected.
    pub const fn kind(&self) -> RespErrorKind {
        self.kind
    }

    /// Where, in bytes from the first byte that the decoder was given.
    pub const fn offset(&self) -> u64 {
        self.offset
    }
}
