//! The driver on tokio: against scripted peers, a real redis-server, and followers of its own.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests say what they expect"
)]

mod events;
mod facade;
mod publishing;
mod real_redis;
mod redis_link;
mod redis_part;
mod scripted;
#[path = "../servers/mod.rs"]
mod servers;
#[cfg(feature = "tls")]
mod tls;
