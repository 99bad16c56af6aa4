//! What is known of each stream: how its tokens behave and what its writer keeps.
//!
//! Source: `protocol.md` 7.1, 7.5 and the classes that were seen on running servers.

use serde::{Deserialize, Serialize};

/// How the tokens of a stream follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Order {
    /// Tokens rise: a token at or below the position is old.
    Rising,
    /// Tokens fall or repeat inside one send; a burst is a set. A POSITION closes it.
    Bursts,
    /// As `Bursts`, but nothing closes a burst. Only where a live connection neither loses nor
    /// repeats: every row above the token at which the source went live is new, whatever its
    /// order, and the burst is over when the writer says something else and then stays quiet.
    UnclosedBursts,
    /// The writer repeats rows, goes back and skips: at least once, rows are idempotent.
    Loose,
}

/// The traits of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StreamTraits {
    /// How tokens follow each other.
    pub order: Order,
    /// Lives in the writer's memory; its tokens start over when the writer restarts.
    pub resettable: bool,
    /// The fetch for one writer also returns rows of the others.
    pub shared_fetch: bool,
    /// A limited page may end between two rows of one token.
    pub splits_tokens: bool,
    /// A page may hold rows above the token asked for.
    pub overruns: bool,
    /// A page that was cut may lack rows, or not say that it was cut: few tokens are asked for at
    /// once ([`Config::burst_window_max`](crate::Config)), so that none is cut.
    pub windowed: bool,
    /// A page has one row per key, under the highest token that the key has in the range asked
    /// for; the wire had it under a higher one, if that lies beyond the range.
    pub aggregated: bool,
}

impl StreamTraits {
    const RISING: Self = Self {
        order: Order::Rising,
        resettable: false,
        shared_fetch: false,
        splits_tokens: true,
        overruns: false,
        windowed: false,
        aggregated: false,
    };
    const BURSTS: Self = Self { order: Order::Bursts, windowed: true, ..Self::RISING };
    const LOOSE: Self = Self { order: Order::Loose, overruns: true, ..Self::RISING };
    const RESETTABLE: Self = Self { resettable: true, ..Self::RISING };
    const SHARED: Self = Self { shared_fetch: true, ..Self::RISING };
}

/// Every stream name there ever was, with its traits (`protocol.md` 7.1; `profile_updates` from
/// running servers).
pub const CATALOGUE: [(&str, StreamTraits); 24] = [
    ("account_data", StreamTraits::RISING),
    ("backfill", StreamTraits::BURSTS),
    ("caches", StreamTraits::LOOSE),
    ("current_state_deltas", StreamTraits::RISING),
    ("device_lists", StreamTraits::SHARED),
    ("events", StreamTraits { splits_tokens: false, ..StreamTraits::RISING }),
    ("federation", StreamTraits { overruns: true, ..StreamTraits::RESETTABLE }),
    ("groups", StreamTraits::RISING),
    ("presence", StreamTraits::RISING),
    ("presence_federation", StreamTraits { splits_tokens: false, ..StreamTraits::RESETTABLE }),
    ("profile_updates", StreamTraits::SHARED),
    ("public_rooms", StreamTraits::RISING),
    ("push_rules", StreamTraits::RISING),
    ("pushers", StreamTraits::RISING),
    ("quarantined_media", StreamTraits::SHARED),
    ("receipts", StreamTraits::RISING),
    ("sticky_events", StreamTraits::SHARED),
    ("tag_account_data", StreamTraits::RISING),
    ("thread_subscriptions", StreamTraits::SHARED),
    // Before 1.81 its pages end after 100 tokens without saying so (`protocol.md` 7.5).
    ("to_device", StreamTraits { windowed: true, aggregated: true, ..StreamTraits::RISING }),
    ("typing", StreamTraits::RESETTABLE),
    ("un_partial_stated_event", StreamTraits::RISING),
    ("un_partial_stated_room", StreamTraits::RISING),
    ("user_signature", StreamTraits::RISING),
];

/// The traits of the stream with this name; a stream that is not known is taken as rising.
pub fn traits(stream: &str) -> StreamTraits {
    CATALOGUE
        .binary_search_by_key(&stream, |(name, _)| *name)
        .map_or(StreamTraits::RISING, |index| CATALOGUE[index].1)
}

/// Whether any release of Synapse has a stream with this name.
pub(crate) fn is_known(stream: &str) -> bool {
    CATALOGUE.binary_search_by_key(&stream, |(name, _)| *name).is_ok()
}

/// The names of the catalogue, each at its [`slot`].
const NAMES: [Option<&str>; 64] = {
    let mut names = [None; 64];
    let mut index = 0;
    while index < CATALOGUE.len() {
        let name = CATALOGUE[index].0;
        let slot = slot(name.as_bytes());
        assert!(names[slot].is_none(), "two names in one slot: choose other factors");
        names[slot] = Some(name);
        index += 1;
    }
    names
};

/// A number below 64 that differs between the names of the catalogue.
#[inline]
const fn slot(name: &[u8]) -> usize {
    match name {
        [first, .., last] => {
            (*first as usize + 6 * *last as usize + name.len().wrapping_mul(17)) % 64
        }
        _ => 0,
    }
}

/// The catalogue's own copy of this name: text that costs nothing to share.
#[inline]
pub(crate) fn static_name(name: &[u8]) -> Option<&'static str> {
    NAMES[slot(name)].filter(|known| known.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_sorted_so_that_every_name_is_found() {
        assert!(CATALOGUE.is_sorted_by_key(|(name, _)| *name));
        for (name, expected) in CATALOGUE {
            assert_eq!(traits(name), expected, "{name}");
        }
    }

    #[test]
    fn every_name_of_the_catalogue_has_a_static_copy_and_no_other_has() {
        for (name, _) in CATALOGUE {
            assert_eq!(static_name(name.as_bytes()), Some(name));
            assert_eq!(static_name(&name.as_bytes()[1..]), None);
        }
        assert_eq!(static_name(b"events2"), None);
        assert_eq!(static_name(b""), None);
    }

    #[test]
    fn an_unknown_stream_is_taken_as_rising() {
        assert_eq!(traits("from_the_future"), StreamTraits::RISING);
    }
}
