//! HTTP of the replication listeners: the catch-up call to the writers of others
//! (`protocol.md` 6.1), and a [`Server`] that answers it for own streams.

mod answer;
mod client;
mod connection;
mod endpoint;
mod server;

pub use self::server::{Server, ServerLimits};
pub(crate) use self::{client::HttpFetch, endpoint::Endpoint};

#[cfg(test)]
mod tests;
