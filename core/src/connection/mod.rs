//! The life of connections: when to connect, whom to ask, when to worry.

mod bus;
mod direction;
mod keep_alive;
mod outbox;
mod peer;
mod peers;
mod untaken;

pub(crate) use self::{
    bus::{Bus, Link},
    peer::{PeerReading, Subscription},
    peers::{Peers, To},
};
