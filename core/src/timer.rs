//! Deadlines: at most one per key, the earliest first; the key breaks ties, so that their order is
//! defined (C1).

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ids::{ConnectionId, OwnIndex, SourceIndex, StreamIndex, WaitId},
    time::Timestamp,
};

/// The purpose of a deadline. The order breaks ties between equal times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TimerKey {
    /// The time to connect again.
    Reconnect,
    /// The time to request positions again, unless all are confirmed.
    Replicate,
    /// The time to report a connection on which nothing of another instance was received.
    NothingHeard,
    /// The time to send a PING on a direct TCP connection, or to give it up.
    KeepAlive(ConnectionId),
    /// The time to report that a user of ours no longer syncs.
    SyncEnd(u64),
    /// The time to forget the users of an origin that fell silent.
    SyncExpiry(u64),
    /// The time to report one of our users, so that we do not count as silent.
    SyncRepeat,
    /// The time to make a failed fetch again.
    FetchRetry(SourceIndex),
    /// The time to give up a batch whose last row does not come.
    BatchOpen(SourceIndex),
    /// The time to complete a burst, if it fell quiet.
    BurstQuiet(SourceIndex),
    /// The time of an audit's next look, or to make a failed fetch of it again.
    Audit(SourceIndex),
    /// The time of the next look into the holes of a stream.
    Look(StreamIndex),
    /// The time at which one more look is allowed, after as many as a minute may have.
    LookAllowed,
    /// The time to read a log again that could not be read.
    LogRetry(OwnIndex),
    /// The time to give up a wait.
    Wait(WaitId),
}

/// All deadlines that are set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Timestamp, TimerKey)>,
    by_key: BTreeMap<TimerKey, Timestamp>,
}

impl Timers {
    /// Sets the deadline of `key`, in place of an earlier one.
    pub(crate) fn set(&mut self, key: TimerKey, at: Timestamp) {
        if let Some(before) = self.by_key.insert(key, at) {
            self.by_time.remove(&(before, key));
        }
        self.by_time.insert((at, key));
    }

    pub(crate) fn clear(&mut self, key: TimerKey) {
        if let Some(at) = self.by_key.remove(&key) {
            self.by_time.remove(&(at, key));
        }
    }

    pub(crate) fn clear_all(&mut self) {
        self.by_time.clear();
        self.by_key.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn is_set(&self, key: TimerKey) -> bool {
        self.by_key.contains_key(&key)
    }

    /// Returns the deadline of `key`, if one is set.
    pub(crate) fn at(&self, key: TimerKey) -> Option<Timestamp> {
        self.by_key.get(&key).copied()
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the earliest deadline that is not after `now`.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<TimerKey> {
        let (at, key) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.by_time.pop_first();
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn deadlines_come_in_order_and_only_when_due() {
        let mut timers = Timers::default();
        timers.set(TimerKey::Replicate, at(20));
        timers.set(TimerKey::Reconnect, at(10));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(20)), Some(TimerKey::Reconnect));
        assert_eq!(timers.pop_due(at(20)), Some(TimerKey::Replicate));
        assert_eq!(timers.pop_due(at(20)), None);
    }

    #[test]
    fn setting_again_moves_the_deadline() {
        let mut timers = Timers::default();
        timers.set(TimerKey::Reconnect, at(10));
        timers.set(TimerKey::Reconnect, at(30));
        assert_eq!(timers.pop_due(at(29)), None);
        assert_eq!(timers.pop_due(at(30)), Some(TimerKey::Reconnect));
        assert_eq!(timers.next(), None);
    }
}
