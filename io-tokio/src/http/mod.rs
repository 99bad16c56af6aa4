//! Catch-up over HTTP: one GET to the writer's replication listener (`protocol.md` 6.1).

mod answer;
mod client;
mod connection;
mod endpoint;

pub(crate) use self::{client::HttpFetch, endpoint::Endpoint};

#[cfg(test)]
mod tests;
