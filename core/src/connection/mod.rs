//! The life of connections: when to connect, whom to ask, when to worry.

mod direction;
mod keep_alive;
mod peer;
mod peers;
mod server;
mod untaken;
mod upstream;

pub(crate) use self::{
    peer::{PeerReading, Subscription},
    peers::{Peers, To},
    upstream::{Link, Upstream},
};

/// The connection that we make, and those that we accept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Connections {
    pub(crate) upstream: Upstream,
    pub(crate) peers: Peers,
}
