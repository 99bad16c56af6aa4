//! The whole driver against simulated writers, Redis and network: nothing is lost, repeated or out
//! of order whatever the network does, and the same seed gives the same run.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where it fails, also outside its own function"
)]

mod simulated {
    mod chance;
    mod faults;
    mod follower;
    mod redis;
    mod run;
    mod tests;
    mod writer;
}
