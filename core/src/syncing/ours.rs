//! Our own syncing users: they are reported on every connection, and their end only after a delay.
//!
//! What enters: the beginnings and ends of syncs, and which reports were sent. What leaves:
//! USER_SYNC and CLEAR_USER_SYNC. What was reported holds until it is taken back, whatever happens
//! to the connection: an end that could not be sent is sent on the next one.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::{UserDevice, detached, has_room, name_bytes};
use crate::{
    config::Config,
    env::Env,
    event::{Event, Warning},
    timer::TimerKey,
    wire::{Command, UserSync},
};

/// Our users who sync, or did until a moment ago.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct OurUsers {
    users: BTreeMap<UserDevice, Ours>,
    /// The bytes of the names of all pairs.
    name_bytes: u64,
    /// The pairs whose end is going to be reported, by the number in their timer.
    ending: BTreeMap<u64, UserDevice>,
    /// The number of the last such timer.
    ends: u64,
    /// Whether anything was reported under our id, and so must be taken back at the end.
    spoken: bool,
}

/// The syncs of one user on one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ours {
    /// The number of syncs under way; several of one device may overlap.
    under_way: u32,
    last_sync_ms: i64,
    /// Whether the others were told that the user syncs.
    told: bool,
    end: End,
}

/// How far the end of a user's syncs has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    /// A sync is under way.
    Not,
    /// The timer of this number ends the user's time to come back.
    Waits(u64),
    /// The user is gone, which could not be reported yet.
    Untold,
}

impl OurUsers {
    /// Handles the beginning or end of a sync, at `at_ms` in milliseconds since the Unix epoch.
    /// Returns what is to be reported at once, if anything.
    pub(crate) fn on_syncing(
        &mut self,
        who: UserDevice,
        syncing: bool,
        at_ms: i64,
        env: &mut Env,
    ) -> Option<Command> {
        let Some(known) = self.users.get_mut(&who) else {
            if !syncing {
                return None;
            }
            let bytes = self.name_bytes + name_bytes(&who);
            if !has_room(self.users.len(), bytes, &env.config) {
                let user = who.0;
                env.notify(Event::Warning(Warning::TooManySyncing { user }));
                return None;
            }
            let said = start(&env.config, &who, at_ms);
            self.name_bytes = bytes;
            let ours = Ours { under_way: 1, last_sync_ms: at_ms, told: false, end: End::Not };
            self.users.insert(detached(&who), ours);
            return Some(said);
        };
        known.last_sync_ms = at_ms;
        if syncing {
            known.under_way = known.under_way.saturating_add(1);
            if let End::Waits(number) = std::mem::replace(&mut known.end, End::Not) {
                self.ending.remove(&number);
                env.timers.clear(TimerKey::SyncEnd(number));
            }
        } else if known.under_way > 0 {
            known.under_way -= 1;
            if known.under_way == 0 {
                self.ends += 1;
                known.end = End::Waits(self.ends);
                self.ending.insert(self.ends, who);
                let at = env.now + env.config.users.user_sync_end_after;
                env.timers.set(TimerKey::SyncEnd(self.ends), at);
            }
        }
        None
    }

    /// Handles the timer of a user who did not sync again in time; returns the report of its end,
    /// unless nobody was told that the user syncs.
    pub(crate) fn on_end_due(&mut self, number: u64, config: &Config) -> Option<Command> {
        let who = self.ending.remove(&number)?;
        let ours = self.users.get_mut(&who)?;
        if !ours.told {
            self.forget(&who);
            return None;
        }
        ours.end = End::Untold;
        Some(said(config, &who, false, ours.last_sync_ms))
    }

    /// Returns the reports for a new connection: one for each user.
    pub(crate) fn everyone(&self, config: &Config) -> impl Iterator<Item = Command> {
        self.users.iter().map(|(who, ours)| {
            let syncing = ours.end != End::Untold;
            said(config, who, syncing, ours.last_sync_ms)
        })
    }

    /// Returns the report of any one user, so that we do not count as silent.
    pub(crate) fn anyone(&self, config: &Config) -> Option<Command> {
        self.everyone(config).next()
    }

    /// Notes that a report was sent.
    pub(crate) fn on_said(&mut self, report: &Command) {
        self.spoken = true;
        let Command::UserSync(sync) = report else { return };
        let who = (sync.user.clone(), sync.device.clone());
        if !sync.syncing {
            self.forget(&who);
        } else if let Some(ours) = self.users.get_mut(&who) {
            ours.told = true;
        }
    }

    /// Handles the end of a connection on which reports hold no longer than it does, as in the
    /// oldest dialect: nobody believes any more what was reported on it.
    pub(crate) fn on_reports_void(&mut self) {
        self.users.retain(|_, ours| ours.end != End::Untold);
        self.users.values_mut().for_each(|ours| ours.told = false);
        self.name_bytes = self.users.keys().map(name_bytes).sum();
    }

    fn forget(&mut self, who: &UserDevice) {
        if self.users.remove(who).is_some() {
            self.name_bytes -= name_bytes(who);
        }
    }

    /// Returns the command that takes all reports back at an orderly shutdown, if there were any.
    /// The oldest dialect has none: there, the end of the connection voids them.
    pub(crate) fn clear_command(&self, config: &Config) -> Option<Command> {
        self.spoken.then(|| Command::ClearUserSync(config.instance_id.clone()))
    }
}

fn start(config: &Config, who: &UserDevice, last_sync_ms: i64) -> Command {
    said(config, who, true, last_sync_ms)
}

fn said(config: &Config, who: &UserDevice, syncing: bool, last_sync_ms: i64) -> Command {
    let (user, device): &(ByteString, Option<ByteString>) = who;
    Command::UserSync(Box::new(UserSync {
        instance_id: Some(config.instance_id.clone()),
        user: user.clone(),
        device: device.clone(),
        syncing,
        last_sync_ms,
    }))
}
