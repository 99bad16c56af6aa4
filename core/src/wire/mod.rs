//! The wire format: bytes to commands and back.
//!
//! Bytes of a socket enter through the framing of direct TCP ([`LineDecoder`]) or through the part
//! of RESP2 that a pub/sub client needs ([`RespDecoder`]); a [`Decoder`] makes a [`Command`] of
//! each line or message, whatever its dialect, and [`encode`](fn@encode) writes one in a chosen
//! [`Dialect`]. [`decode_page`] reads a page of a catch-up. The promise kept here is C2: no bytes
//! cause a panic, and bad bytes give a typed error.

mod command;
mod decode;
mod dialect;
mod encode;
mod error;
mod integer;
mod line;
mod page;
mod resp;

pub(crate) use self::line::LINE_OVERHEAD_BYTES;
pub use self::{
    command::{
        Command, FederationAck, InvalidateCache, LockReleased, Position, Rdata, RemovePusher,
        Replicate, UserIp, UserSync,
    },
    decode::Decoder,
    dialect::{Dialect, UnknownRelease},
    encode::{EncodeError, encode},
    error::{BadRow, DecodeError, DecodeErrorKind, EXCERPT_BYTES_MAX},
    line::{LINE_BYTES_MAX, LineDecoder, LineTooLong},
    page::{PageError, decode_page, encode_page},
    resp::{
        Frame, RespDecoder, RespError, RespErrorKind, RespLimits, encode_command, encode_frame,
    },
};
pub use crate::secret::Secret;
