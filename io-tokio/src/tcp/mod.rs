//! Direct TCP: lines over a socket, as a client of a main process and as a server of peers
//! (`docs/protocol.md` 1.2). Bytes enter and leave as commands; commands enter and leave as lines,
//! in order. A slow or hostile peer costs the others nothing (P5).

mod accept;
mod client;
mod gather;
mod line;
mod outbox;
mod output;
mod peer;
mod peers;
mod socket;

pub(crate) use self::{
    accept::Acceptor,
    client::{Server, Session},
    line::LineError,
    peers::{PeerInput, Peers, Sent},
};
