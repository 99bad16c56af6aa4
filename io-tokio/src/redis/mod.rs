//! Redis as a bus: one channel that every instance publishes to and listens to.

mod url;

pub(crate) use self::url::{RedisUrl, redacted, split_port};
