//! The network level: the whole tokio driver, followers and writers, over simulated TCP.
//!
//! The same [`Scenario`](crate::Scenario) as on the logical level, the same oracle and trace. Every instance is the
//! shipped driver: followers as `synrepl follow` runs them, writers with a log, a publisher and the
//! HTTP replication listener as `synrepl serve` does. Between them stands a Redis server of a few
//! commands on the crate's own codec. Faults are those of links and hosts: what is sent is held
//! back or lost, connections are cut or go nowhere, hosts die and come back.
//!
//! What differs from the logical level, because it is the driver that is under test: every writer
//! is ours, whatever its manners; followers are on the bus, whatever their transport; clocks do
//! not jump, pages are not tampered with (a fetch that is to be spoiled finds no way to its
//! writer), and applications do not wait for positions.

mod fault;
mod hosts;
mod links;
mod log;
mod redis;
mod run;
mod stage;
mod watch;

pub use self::run::play;
