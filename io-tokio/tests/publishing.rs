//! A writer and its followers: over direct TCP on loopback, and over Redis.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests say what they expect"
)]

mod scripted;
mod servers;
mod publishing {
    mod followers;
    mod from_log;
    mod peers;
    mod raw;
    mod redis;
    mod writer;
}
