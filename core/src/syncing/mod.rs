//! Who is syncing where (`protocol.md` 2.3, USER_SYNC): what we say of our users, and, for the
//! presence writer, what the others say of theirs.

mod ours;
mod theirs;

use bytestring::ByteString;

pub(crate) use self::{ours::OurUsers, theirs::TheirUsers};

/// One user on one device; a user without a device id is a pair of its own.
type UserDevice = (ByteString, Option<ByteString>);
