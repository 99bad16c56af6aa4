//! The life of connections: when to connect, whom to ask, when to worry.

mod bus;
mod direction;
mod keep_alive;
mod outbox;
mod peer;
mod peers;
mod server;
mod untaken;

pub(crate) use self::{
    bus::{Bus, Link},
    outbox::Outbox,
    peer::{PeerReading, Subscription},
    peers::{Peers, To},
    server::named_in,
};
