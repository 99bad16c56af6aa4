//! A world of one follower in which each step is chosen rather than timed: what the model checker
//! enumerates.

mod model;
mod oracle;
mod scenario;
mod world;
mod writer;
