//! The life of connections: when to connect, whom to ask, when to worry.

mod direction;
mod keep_alive;
mod outbox;
mod peer;
mod peers;
mod server;
mod untaken;
mod upstream;

pub(crate) use self::{
    outbox::Outbox,
    peer::{PeerReading, Subscription},
    peers::{Peers, To},
    server::named_in,
    upstream::{Link, Upstream},
};
