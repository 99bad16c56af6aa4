//! Our own syncing users: they are reported on every connection, and their end only after a delay.
//!
//! What enters: the beginnings and ends of syncs. What leaves: USER_SYNC and CLEAR_USER_SYNC.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::UserDevice;
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
    /// The number of the timer, once no sync is under way.
    ending: Option<u64>,
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
            if self.users.len() >= env.config.users.syncing_users_max as usize {
                let user = who.0;
                env.notify(Event::Warning(Warning::TooManySyncing { user }));
                return None;
            }
            let said = start(&env.config, &who, at_ms);
            self.users.insert(who, Ours { under_way: 1, last_sync_ms: at_ms, ending: None });
            return Some(said);
        };
        known.last_sync_ms = at_ms;
        if syncing {
            known.under_way = known.under_way.saturating_add(1);
            if let Some(number) = known.ending.take() {
                self.ending.remove(&number);
                env.timers.clear(TimerKey::SyncEnd(number));
            }
        } else {
            known.under_way = known.under_way.saturating_sub(1);
            if known.under_way == 0 && known.ending.is_none() {
                self.ends += 1;
                known.ending = Some(self.ends);
                self.ending.insert(self.ends, who);
                let at = env.now + env.config.users.user_sync_end_after;
                env.timers.set(TimerKey::SyncEnd(self.ends), at);
            }
        }
        None
    }

    /// Handles the timer of a user who did not sync again in time; returns the report of its end.
    pub(crate) fn on_end_due(&mut self, number: u64, config: &Config) -> Option<Command> {
        let who = self.ending.remove(&number)?;
        let last_sync_ms = self.users.remove(&who)?.last_sync_ms;
        Some(said(config, &who, false, last_sync_ms))
    }

    /// Returns the reports for a new connection: one for each user.
    pub(crate) fn everyone(&self, config: &Config) -> impl Iterator<Item = Command> {
        self.users.iter().map(|(who, ours)| start(config, who, ours.last_sync_ms))
    }

    /// Returns the report of any one user, so that we do not count as silent.
    pub(crate) fn anyone(&self, config: &Config) -> Option<Command> {
        self.everyone(config).next()
    }

    /// Notes that a report was sent.
    pub(crate) const fn on_said(&mut self) {
        self.spoken = true;
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
