//! A real writer, a bus that keeps the order and loses what is under way when a connection ends,
//! and a real follower with fetches from the writer's log.

mod model;
mod world;
mod worlds;
