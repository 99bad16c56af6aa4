//! Who syncs where, and what federation senders have stored.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

/// Who syncs where, and what federation senders have stored. Part of [`Config`](crate::Config), whose table has all defaults.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct UsersConfig {
    /// Keep account of the syncing users of all instances, as the presence writer must. Default
    /// false. Then USER_SYNC and CLEAR_USER_SYNC come as [`Event::UserSyncing`](crate::Event) and
    /// `SyncingCleared` and not as commands.
    pub presence_writer: bool,
    /// Instances that send federation traffic. Default none. Rows of `federation` count as stored
    /// when all of these have said so.
    pub federation_senders: BTreeSet<String>,
    /// Time without a new sync after which a user of ours counts as gone. Default 10 s, the
    /// reference's: most clients come back at once.
    pub user_sync_end_after: Duration,
    /// Time after which an instance that says nothing of its syncing users has none. Default
    /// 5 min, the reference's.
    pub syncing_expires_after: Duration,
    /// Syncing (user, device) pairs remembered, ours and the others' each. Default 100,000.
    pub syncing_users_max: u32,
}

impl Default for UsersConfig {
    fn default() -> Self {
        let millis = Duration::from_millis;
        Self {
            presence_writer: false,
            federation_senders: BTreeSet::new(),
            user_sync_end_after: millis(10_000),
            syncing_expires_after: millis(300_000),
            syncing_users_max: 100_000,
        }
    }
}
