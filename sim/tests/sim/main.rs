//! The simulator: its oracle holds and finds what is planted, runs repeat, and the command says so.

mod audit_table;
#[cfg(feature = "command")]
mod command;
mod determinism;
#[cfg(feature = "network")]
mod kept;
#[cfg(feature = "network")]
mod network;
mod planted;
mod seeds;
mod stale_cache;
