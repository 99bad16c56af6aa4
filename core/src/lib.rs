//! Synapse's worker replication protocol as a pure state machine.
#![forbid(unsafe_code)]

mod action;
mod config;
mod connection;
mod error;
mod event;
mod follow;
mod ids;
mod input;
mod node;
mod retry;
mod sources;
mod stats;
pub mod stream;
mod time;
mod timer;
pub mod trace;
mod wait;
pub mod wire;

pub use crate::{
    action::Action,
    config::{Backoff, Config, Start},
    error::{ConfigError, Misuse},
    event::{Event, GapReason, NotSentReason, Origin, WaitOutcome, Warning},
    ids::{ConnectionId, QueryId, WaitId},
    input::Input,
    node::Node,
    stats::Stats,
    time::Timestamp,
};
pub use bytestring::ByteString;
