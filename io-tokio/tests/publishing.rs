//! A writer and those that connect to it, over sockets of loopback.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests say what they expect"
)]

mod publishing {
    mod peers;
    mod raw;
    mod writer;
}
