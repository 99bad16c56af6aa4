//! What is known of the address of each instance: whether the rows that it sends were found there
//! (F11).
//!
//! What enters: rows that were looked for, and what came of it. What leaves: whether an address is
//! proven, and whether one more may be looked at.
//!
//! A row of each instance is looked for once a process. That it was there says nothing of a later
//! connection, before which another process may have taken the address.

use std::{collections::BTreeMap, time::Duration};

use crate::{config::ContinuityConfig, time::Timestamp};

/// The addresses of all instances, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Addresses {
    known: BTreeMap<Box<str>, Address>,
    /// The number of connections that have ended.
    ended: u32,
    /// The looks that may still be taken at once.
    looks: u32,
    /// The time from which on looks are counted that were not taken.
    counted_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Address {
    /// A look is under way, after so many in vain.
    Looking(u32),
    /// So many looks were in vain.
    Missed(u32),
    /// A row of the instance was found there, when so many connections had ended.
    Proven(u32),
    /// After so many looks in vain a warning was given: nothing more is looked for there, unless a
    /// source cannot go on otherwise.
    Wrong(u32),
    /// There is no address.
    Missing,
}

impl Addresses {
    pub(crate) const fn new(config: &ContinuityConfig) -> Self {
        Self {
            known: BTreeMap::new(),
            ended: 0,
            looks: config.look_ups_at_once_max,
            counted_at: Timestamp::ZERO,
        }
    }

    /// Handles the end of the connection.
    pub(crate) const fn on_disconnected(&mut self) {
        self.ended = self.ended.wrapping_add(1);
    }

    /// Returns whether a row that the instance sent was found at its address since the connection
    /// before the present one has ended.
    pub(crate) fn is_proven(&self, instance: &str) -> bool {
        self.known.get(instance) == Some(&Address::Proven(self.ended))
    }

    /// Returns whether another instance may be at the address.
    pub(crate) fn is_doubtful(&self, instance: &str) -> bool {
        !self.is_proven(instance) && self.known.get(instance) != Some(&Address::Missing)
    }

    /// Notes that a source cannot go on while the address is not proven: the next row that the
    /// instance sends is looked for there.
    pub(crate) fn want_proof(&mut self, instance: &str) {
        let Some(address) = self.known.get_mut(instance) else { return };
        match *address {
            Address::Proven(ended) if ended != self.ended => *address = Address::Missed(0),
            // It may have been put right.
            Address::Wrong(misses) => *address = Address::Missed(misses),
            Address::Proven(_) | Address::Looking(_) | Address::Missed(_) | Address::Missing => {}
        }
    }

    /// Notes that a row which only the instance has was found at its address.
    pub(crate) fn prove(&mut self, instance: &str) {
        if let Some(address) = self.known.get_mut(instance) {
            *address = Address::Proven(self.ended);
        } else {
            self.known.insert(instance.into(), Address::Proven(self.ended));
        }
    }

    /// Begins a look at the address of the instance; returns false if none is due or too many were
    /// taken lately.
    pub(crate) fn begin_look(
        &mut self,
        instance: &str,
        now: Timestamp,
        config: &ContinuityConfig,
    ) -> bool {
        let misses = match self.known.get(instance) {
            None => 0,
            Some(Address::Missed(misses)) => *misses,
            Some(
                Address::Looking(_) | Address::Proven(_) | Address::Wrong(_) | Address::Missing,
            ) => {
                return false;
            }
        };
        self.count_looks(now, config);
        let Some(rest) = self.looks.checked_sub(1) else { return false };
        self.looks = rest;
        self.known.insert(instance.into(), Address::Looking(misses));
        true
    }

    fn count_looks(&mut self, now: Timestamp, config: &ContinuityConfig) {
        while self.looks < config.look_ups_at_once_max
            && self.counted_at + config.look_up_every <= now
            && config.look_up_every > Duration::ZERO
        {
            self.counted_at = self.counted_at + config.look_up_every;
            self.looks += 1;
        }
        if self.looks >= config.look_ups_at_once_max {
            self.counted_at = now;
        }
    }

    /// Notes that the look under way found nothing. Returns the number of looks in vain if there are
    /// just as many as a warning takes.
    pub(crate) fn on_missed(&mut self, instance: &str, config: &ContinuityConfig) -> Option<u32> {
        let address = self.known.get_mut(instance)?;
        let Address::Looking(misses) = *address else { return None };
        let misses = misses.saturating_add(1);
        let is_wrong = misses >= config.look_up_misses_max;
        *address = if is_wrong { Address::Wrong(misses) } else { Address::Missed(misses) };
        (misses == config.look_up_misses_max.max(1)).then_some(misses)
    }

    /// Notes that the look under way came to no end: another one may be taken.
    pub(crate) fn on_given_up(&mut self, instance: &str) {
        if let Some(address) = self.known.get_mut(instance)
            && let Address::Looking(misses) = *address
        {
            *address = Address::Missed(misses);
        }
    }

    /// Notes that there is no address.
    pub(crate) fn close(&mut self, instance: &str) {
        self.known.insert(instance.into(), Address::Missing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ContinuityConfig {
        ContinuityConfig { look_ups_at_once_max: 2, ..ContinuityConfig::default() }
    }

    #[test]
    fn so_many_looks_are_taken_at_once_and_then_one_in_a_while() {
        let (config, start) = (config(), Timestamp::ZERO + Duration::from_secs(5));
        let mut addresses = Addresses::new(&config);
        let begun: Vec<_> =
            ["a", "b", "c"].map(|name| addresses.begin_look(name, start, &config)).to_vec();
        assert_eq!(begun, [true, true, false]);
        let later = start + config.look_up_every;
        assert!(addresses.begin_look("c", later, &config));
        assert!(!addresses.begin_look("d", later, &config));
        assert!(
            !addresses.begin_look("a", later + config.look_up_every, &config),
            "it is under way"
        );
    }

    #[test]
    fn three_looks_in_vain_end_them_and_a_proof_does() {
        let config = ContinuityConfig::default();
        let mut addresses = Addresses::new(&config);
        let missed: Vec<_> = (0..4)
            .map(|_| {
                addresses.begin_look("a", Timestamp::ZERO, &config);
                addresses.on_missed("a", &config)
            })
            .collect();
        assert_eq!(missed, [None, None, Some(3), None]);
        addresses.prove("a");
        assert!(addresses.is_proven("a") && !addresses.is_proven("b"));
    }

    #[test]
    fn an_address_that_was_wrong_is_looked_at_again_where_it_is_wanted_and_warned_of_once() {
        let config = ContinuityConfig { look_up_misses_max: 1, ..ContinuityConfig::default() };
        let mut addresses = Addresses::new(&config);
        let look = |addresses: &mut Addresses| {
            let begins = addresses.begin_look("a", Timestamp::ZERO, &config);
            (begins, addresses.on_missed("a", &config))
        };
        assert_eq!(look(&mut addresses), (true, Some(1)));
        assert_eq!(look(&mut addresses), (false, None));
        addresses.want_proof("a");
        assert_eq!(look(&mut addresses), (true, None), "it was told");
        addresses.want_proof("a");
        assert!(addresses.begin_look("a", Timestamp::ZERO, &config));
        addresses.prove("a");
        assert!(!addresses.is_doubtful("a"));
    }

    #[test]
    fn a_proof_ends_with_its_connection_and_is_made_again_where_it_is_wanted() {
        let config = ContinuityConfig::default();
        let mut addresses = Addresses::new(&config);
        addresses.prove("a");
        addresses.on_disconnected();
        assert!(!addresses.is_proven("a"));
        assert!(!addresses.begin_look("a", Timestamp::ZERO, &config), "once a process");
        addresses.want_proof("a");
        assert!(addresses.begin_look("a", Timestamp::ZERO, &config));
        addresses.prove("a");
        addresses.want_proof("a");
        assert!(addresses.is_proven("a"));
    }
}
