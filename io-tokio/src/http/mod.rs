//! Catch-up over HTTP: one GET to the writer's replication listener (`protocol.md` 6.1).

mod endpoint;

pub(crate) use self::endpoint::Endpoint;
