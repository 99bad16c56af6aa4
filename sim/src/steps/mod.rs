//! Small worlds in which each step is chosen rather than timed: what the model checker enumerates.
//! [`model`] has one real follower among scripted writers, [`pair`] a real writer and a real
//! follower.

mod follower;
mod member;
mod model;
mod pair;
mod search;
mod world;
mod worlds;
