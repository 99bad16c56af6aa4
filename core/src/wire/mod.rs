//! Bytes to commands and back: decoding of every dialect, encoding for a chosen one, line
//! framing, the RESP2 subset that a pub/sub client needs, and the pages of a catch-up.

mod command;
mod decode;
mod dialect;
mod encode;
mod error;
mod integer;
mod line;
mod page;
mod resp;

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
