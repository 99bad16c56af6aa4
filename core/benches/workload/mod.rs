//! The shared part of the benches of the receiving side: lines, a node that is live, and the cases.

mod cases;
mod corpus;
mod cpu_time;
mod floor;
mod follower;

pub(crate) use self::cases::{Case, Group, all};
