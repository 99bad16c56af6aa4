//! The life of connections: when to connect, whom to ask, when to worry.

mod bus;
mod direction;
mod keep_alive;
mod server;

pub(crate) use self::{
    bus::{Bus, Link},
    server::named_in,
};
