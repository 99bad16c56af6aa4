//! HTTP of the replication listeners (`docs/protocol.md` 6.1): the catch-up call, with which missed
//! rows are fetched from their writers, and a [`Server`] that answers it for own streams. A fetch
//! brings one page or one error; limits hold for every response and every request.

mod answer;
mod client;
mod connection;
mod endpoint;
mod idle;
mod server;
mod transaction;

pub use self::server::{Server, ServerLimits};
pub(crate) use self::{client::HttpFetch, endpoint::Endpoint};

#[cfg(test)]
mod tests;
