//! Redis as a bus: channels that every instance publishes to and subscribes to (`docs/protocol.md`
//! 1.3). Commands enter and leave as PUBLISHes; messages leave as commands, in order. A command
//! counts as gone out once the server has answered its PUBLISH (P3).

mod keep_alive;
mod link;
mod login;
mod part;
mod publisher;
mod session;
mod socket;
mod url;

pub(crate) use self::{
    login::Bus,
    part::Purpose,
    session::Session,
    url::{RedisUrl, decoded, split_port},
};
