//! Syncing users (`protocol.md` 2.3, USER_SYNC): the reports of our users, and, at the presence
//! writer, those of all other processes. The pairs of both are limited in number (F9).

mod ours;
mod theirs;

use bytestring::ByteString;

pub(crate) use self::{ours::OurUsers, theirs::TheirUsers};

/// One user on one device; a user without a device id is a pair of its own.
type UserDevice = (ByteString, Option<ByteString>);
