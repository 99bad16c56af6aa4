//! Syncing users (`protocol.md` 2.3, USER_SYNC): the reports of our users, and, at the presence
//! writer, those of all other processes. The pairs of both are limited in number, and their names
//! in bytes (F9).

mod ours;
mod theirs;

use bytestring::ByteString;

pub(crate) use self::{ours::OurUsers, theirs::TheirUsers};
use crate::config::Config;

/// One user on one device; a user without a device id is a pair of its own.
type UserDevice = (ByteString, Option<ByteString>);

/// The length of the names of one pair, in bytes, on average over as many pairs as are allowed. A
/// user's name has at most 255, most have 30; a device has 10.
const NAME_BYTES_MAX: u64 = 256;

/// Returns the length of the names of a pair, in bytes.
fn name_bytes((user, device): &UserDevice) -> u64 {
    (user.len() + device.as_ref().map_or(0, |device| device.len())) as u64
}

/// Returns whether one more pair may be remembered beside `pairs` others, if all names together
/// have `name_bytes` then.
fn has_room(pairs: usize, name_bytes: u64, config: &Config) -> bool {
    let max = config.users.syncing_users_max;
    pairs < max as usize && name_bytes <= u64::from(max) * NAME_BYTES_MAX
}

/// Returns a copy that keeps no read buffer alive.
fn detached((user, device): &UserDevice) -> UserDevice {
    (ByteString::from(&**user), device.as_deref().map(ByteString::from))
}
