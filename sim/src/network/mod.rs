//! The network level: the whole tokio driver, followers and writers, over simulated TCP.
//!
//! It plays the same [`Scenario`](crate::Scenario) as the logical level, with the same oracle,
//! trace, report and shrinking. Every instance is the shipped driver. Followers are run as `synrepl
//! follow` does, over the bus or over direct TCP to the main process; writers as `synrepl serve`
//! does, with a log, a publisher, listeners for direct TCP and the HTTP replication listener.
//! Between them stands a Redis server of a few commands on the crate's own codec. It wants a
//! password, and the HTTP listeners want the deployment's secret.
//!
//! Faults are those of links and hosts: what is sent is held back or lost, connections are cut or
//! go nowhere, hosts die and come back, clocks jump. Byte streams come in pieces, down to single
//! bytes; listeners let connections wait; reads of a writer's log fail or take their time; calls
//! for missed rows are refused, stalled, broken off, answered late, with too much, too little or
//! pages that break their rules.
//!
//! Followers are judged as on the logical level. Publishers are judged at the link: on the bus
//! where the server takes a PUBLISH (P1 to P4), on direct TCP line by line where it leaves our
//! server (P1, P2, P4), and by what a peer has not taken (P5). A follower never has more calls for
//! missed rows under way than it may (F9). Once everything has arrived nothing more comes, and a
//! follower that is told to stop does so (F7).
//!
//! Two things differ from the logical level, as the driver is under test. Every writer is ours,
//! whatever its manners, so none repeats itself or hides rows; and applications do not wait for
//! positions.

mod direct;
mod ending;
mod fault;
mod front;
mod hosts;
mod links;
mod log;
mod orders;
mod parts;
mod published;
mod redis;
mod run;
mod shrink;
mod stage;
mod turns;
mod watch;

pub use self::{
    orders::orders,
    run::play,
    shrink::shrink,
    turns::{direct_links, links},
};
