//! A driver that writes a stream, against followers: bare sockets and drivers over direct TCP on
//! loopback, a scripted Redis server, and a real one. Every appended row reaches every follower
//! once and in order.

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
