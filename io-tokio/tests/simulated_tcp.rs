//! A writer and its followers over direct TCP on a simulated network: whatever the network and the
//! processes do, every follower gets every row once and in order, and the same seed gives the same
//! run.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where it fails, also outside its own function"
)]

mod simulated_tcp {
    #[path = "../simulated/chance.rs"]
    mod chance;
    mod faults;
    mod follower;
    mod network;
    mod run;
    mod tests;
    mod writer;
}
