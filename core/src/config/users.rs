//! Settings of the accounts of users and of federation (`protocol.md` 2.3).

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

/// Settings of the accounts that a node keeps of syncing users and of stored `federation` rows. A
/// group of [`Config`](crate::Config), whose table has all defaults.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct UsersConfig {
    /// Whether the node keeps account of the syncing users of all instances, as the presence writer
    /// must. Default false. If so, USER_SYNC and CLEAR_USER_SYNC come as
    /// [`Event::UserSyncing`](crate::Event) and `SyncingCleared`, not as commands.
    pub presence_writer: bool,
    /// The instances that send federation traffic. Default none. Rows of `federation` count as
    /// stored when all of these have acknowledged them
    /// ([`Event::FederationAcked`](crate::Event)); FEDERATION_ACK does not come as a command then.
    pub federation_senders: BTreeSet<String>,
    /// The time without a new sync after which a user of ours counts as gone. Default 10 s, as in
    /// Synapse: most clients come back at once.
    pub user_sync_end_after: Duration,
    /// The time after which an instance that reports none of its syncing users counts as having
    /// none. Default 5 min, as in Synapse.
    pub syncing_expires_after: Duration,
    /// The most syncing (user, device) pairs that are remembered, for our users and for those of
    /// the others, each. Default 100,000 (at most 80 MB). Their names together may have 256 bytes
    /// for each allowed pair; more pairs are left out with a warning.
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
