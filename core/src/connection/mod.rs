//! The life of connections: when to connect, whom to ask, when to worry.

mod bus;

pub(crate) use self::bus::{Bus, Link};
