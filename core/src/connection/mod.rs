//! The life of connections: the one that we make, and those that we accept.
//!
//! What enters: commands, the ends of connections, and timers. What leaves: requests to connect and
//! to close, greetings, REPLICATE, PING and ERROR. Keeps P5, and F7 as far as connections go: a
//! lost one is made again, and REPLICATE is repeated until every source has announced its position.

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
    untaken::bytes_of_row_max,
    upstream::{Link, Silent, Upstream},
};

/// The connection that we make, and those that we accept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Connections {
    pub(crate) upstream: Upstream,
    pub(crate) peers: Peers,
}
