//! Bytes to commands and back: decoding of every dialect, encoding for a chosen one, line
//! framing, the RESP2 subset that a pub/sub client needs.

mod command;
mod decode;
mod error;
mod integer;
mod secret;

pub use self::{
    command::{
        Command, FederationAck, InvalidateCache, LockReleased, Position, Rdata, RemovePusher,
        Replicate, UserIp, UserSync,
    },
    decode::Decoder,
    error::{BadRow, DecodeError, DecodeErrorKind, EXCERPT_BYTES_MAX},
    secret::Secret,
};
