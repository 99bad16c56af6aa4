//! Redis as a bus: one channel that every instance publishes to and listens to (`protocol.md`
//! 1.3).

mod keep_alive;
mod link;
mod login;
mod session;
mod socket;
mod url;

pub(crate) use self::{
    login::Bus,
    session::Session,
    url::{RedisUrl, decoded, split_port},
};
