//! The logical level: cores on one queue of events, in virtual time.

mod actions;
mod arrivals;
mod fault;
mod fetch;
mod phases;
mod population;
mod process;
mod queue;
mod tcp;
mod world;
mod writers;
mod writing;

pub(crate) use self::world::World;
