//! The syncing users of other processes: the presence writer keeps them until they are taken back,
//! or their origin is gone.
//!
//! What enters: USER_SYNC and CLEAR_USER_SYNC of others, and the ends of connections. What leaves:
//! the events that the application keeps presence by. An origin is remembered as long as it has a
//! user, so the limit of users is one of origins as well (F9).

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use bytestring::ByteString;

use super::{UserDevice, detached, has_room, name_bytes};
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
    /// The origins by their number, which is that in the timer of their silence.
    numbers: BTreeMap<u64, SyncOrigin>,
    /// The number of the last origin.
    last_number: u64,
    /// The users of all origins, behind the number of theirs. In one set, as a set for each origin
    /// would cost as much for one user as for eleven.
    users: BTreeSet<(u64, UserDevice)>,
    /// The bytes of all names, those of the origins included.
    name_bytes: u64,
}

/// One origin, which has a user at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Theirs {
    number: u64,
    users: u32,
}

impl TheirUsers {
    /// Handles a report of a user: notifies the application, and restarts the timer of the origin's
    /// silence. A report that says nothing new is a sign of life all the same.
    pub(crate) fn on_user_sync(&mut self, conn: ConnectionId, sync: Box<UserSync>, env: &mut Env) {
        let origin =
            sync.instance_id.clone().map_or(SyncOrigin::Connection(conn), SyncOrigin::Instance);
        let who = (sync.user.clone(), sync.device.clone());
        let number = self.origins.get(&origin).map(|theirs| theirs.number);
        if let Some(number) = number {
            let silent_at = env.now + env.config.users.syncing_expires_after;
            env.timers.set(TimerKey::SyncExpiry(number), silent_at);
        }
        let entry = number.map(|number| (number, who.clone()));
        let known = entry.filter(|entry| self.users.contains(entry));
        match known {
            None if !sync.syncing || !self.add(&origin, &who, env) => return,
            Some(entry) if !sync.syncing => {
                self.users.remove(&entry);
                self.forget(&origin, &who, env);
            }
            None | Some(_) => {}
        }
        env.notify(Event::UserSyncing { origin, sync });
    }

    /// Remembers a user who was not known; returns false, and warns, if there are too many. Names
    /// are copied out of the read buffer, which they would keep alive otherwise.
    fn add(&mut self, origin: &SyncOrigin, who: &UserDevice, env: &mut Env) -> bool {
        let is_new = !self.origins.contains_key(origin);
        let bytes = name_bytes(who) + if is_new { origin_bytes(origin) } else { 0 };
        if !has_room(self.users.len(), self.name_bytes + bytes, &env.config) {
            env.notify(Event::Warning(Warning::TooManySyncing { user: who.0.clone() }));
            return false;
        }
        if is_new {
            self.last_number += 1;
            let origin = match origin {
                SyncOrigin::Instance(name) => SyncOrigin::Instance(ByteString::from(&**name)),
                SyncOrigin::Connection(conn) => SyncOrigin::Connection(*conn),
            };
            self.numbers.insert(self.last_number, origin.clone());
            self.origins.insert(origin, Theirs { number: self.last_number, users: 0 });
            let silent_at = env.now + env.config.users.syncing_expires_after;
            env.timers.set(TimerKey::SyncExpiry(self.last_number), silent_at);
        }
        if let Some(theirs) = self.origins.get_mut(origin) {
            theirs.users += 1;
            self.users.insert((theirs.number, detached(who)));
            self.name_bytes += bytes;
        }
        true
    }

    /// Counts out a user who was removed; an origin without users is forgotten.
    fn forget(&mut self, origin: &SyncOrigin, who: &UserDevice, env: &mut Env) {
        self.name_bytes -= name_bytes(who);
        if let Some(theirs) = self.origins.get_mut(origin) {
            theirs.users -= 1;
            if theirs.users == 0 {
                self.forget_origin(origin, env);
            }
        }
    }

    fn forget_origin(&mut self, origin: &SyncOrigin, env: &mut Env) -> Option<Theirs> {
        let theirs = self.origins.remove(origin)?;
        self.numbers.remove(&theirs.number);
        self.name_bytes -= origin_bytes(origin);
        env.timers.clear(TimerKey::SyncExpiry(theirs.number));
        Some(theirs)
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
    pub(crate) fn on_expiry_due(&mut self, number: u64, env: &mut Env) {
        if let Some(origin) = self.numbers.get(&number) {
            self.clear(origin.clone(), ClearedReason::Silent, env);
        }
    }

    fn clear(&mut self, origin: SyncOrigin, reason: ClearedReason, env: &mut Env) {
        let Some(Theirs { number, users }) = self.forget_origin(&origin, env) else { return };
        let first = (number, (ByteString::new(), None));
        while let Some(entry) = self.users.range((Bound::Included(&first), Bound::Unbounded)).next()
            && entry.0 == number
        {
            let entry = entry.clone();
            self.name_bytes -= name_bytes(&entry.1);
            self.users.remove(&entry);
        }
        env.notify(Event::SyncingCleared { origin, users, reason });
    }
}

fn origin_bytes(origin: &SyncOrigin) -> u64 {
    match origin {
        SyncOrigin::Instance(name) => name.len() as u64,
        SyncOrigin::Connection(_) => 0,
    }
}
