//! The syncing users of other processes: the presence writer keeps them until they are taken back,
//! or their origin is gone.
//!
//! What enters: USER_SYNC and CLEAR_USER_SYNC of others, and the ends of connections. What leaves:
//! the events that the application keeps presence by.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;

use super::UserDevice;
use crate::{
    env::Env,
    event::{ClearedReason, Event, SyncOrigin, Warning},
    ids::ConnectionId,
    timer::TimerKey,
    wire::UserSync,
};

/// The syncing users of every origin that reported one lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct TheirUsers {
    origins: BTreeMap<SyncOrigin, Theirs>,
    /// The origins whose silence is watched, by the number in their timer.
    watched: BTreeMap<u64, SyncOrigin>,
    /// The number of the last such timer.
    watches: u64,
    /// The number of (user, device) pairs of all origins.
    pairs: usize,
}

/// The syncing users of one origin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Theirs {
    users: BTreeSet<UserDevice>,
    watch: u64,
}

impl TheirUsers {
    /// Handles a report of a user: notifies the application, and restarts the timer of the origin's
    /// silence.
    pub(crate) fn on_user_sync(&mut self, conn: ConnectionId, sync: Box<UserSync>, env: &mut Env) {
        let origin =
            sync.instance_id.clone().map_or(SyncOrigin::Connection(conn), SyncOrigin::Instance);
        let who = (sync.user.clone(), sync.device.clone());
        let known = self.origins.get(&origin).is_some_and(|theirs| theirs.users.contains(&who));
        if sync.syncing && !known && self.pairs >= env.config.users.syncing_users_max as usize {
            env.notify(Event::Warning(Warning::TooManySyncing { user: who.0 }));
            return;
        }
        if !sync.syncing && !known {
            return;
        }
        let theirs = self.origins.entry(origin.clone()).or_insert_with(|| {
            self.watches += 1;
            self.watched.insert(self.watches, origin.clone());
            Theirs { users: BTreeSet::new(), watch: self.watches }
        });
        // The timer outlives the last user: an origin that stays silent then is forgotten.
        env.timers.set(
            TimerKey::SyncExpiry(theirs.watch),
            env.now + env.config.users.syncing_expires_after,
        );
        if sync.syncing {
            self.pairs += usize::from(theirs.users.insert(who));
        } else {
            self.pairs -= usize::from(theirs.users.remove(&who));
        }
        env.notify(Event::UserSyncing { origin, sync });
    }

    /// Handles the orderly end of a process, which takes back its reports.
    pub(crate) fn on_clear(&mut self, instance_id: ByteString, env: &mut Env) {
        self.clear(SyncOrigin::Instance(instance_id), ClearedReason::Stopped, env);
    }

    /// Handles the end of a connection: in the oldest dialect, what was reported on it is void.
    pub(crate) fn on_disconnected(&mut self, conn: ConnectionId, env: &mut Env) {
        self.clear(SyncOrigin::Connection(conn), ClearedReason::Disconnected, env);
    }

    /// Handles the timer of an origin that was silent for too long.
    pub(crate) fn on_expiry_due(&mut self, watch: u64, env: &mut Env) {
        if let Some(origin) = self.watched.get(&watch) {
            self.clear(origin.clone(), ClearedReason::Silent, env);
        }
    }

    fn clear(&mut self, origin: SyncOrigin, reason: ClearedReason, env: &mut Env) {
        let Some(theirs) = self.origins.remove(&origin) else { return };
        self.watched.remove(&theirs.watch);
        env.timers.clear(TimerKey::SyncExpiry(theirs.watch));
        self.pairs -= theirs.users.len();
        if !theirs.users.is_empty() {
            let users = u32::try_from(theirs.users.len()).unwrap_or(u32::MAX);
            env.notify(Event::SyncingCleared { origin, users, reason });
        }
    }
}
