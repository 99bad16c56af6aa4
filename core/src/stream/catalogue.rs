//! The catalogue of streams: the order of the tokens of each, and the peculiarities of its pages.
//!
//! The name of a stream enters, its [`StreamTraits`] leave; by them promises F1 to F3 read
//! differently for some streams. Source: `protocol.md` 7.1, 7.5 and the classes that were seen on
//! running servers.

use serde::{Deserialize, Serialize};

/// The order in which the tokens of a stream follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Order {
    /// Tokens rise: a token at or below the position is old.
    Rising,
    /// Tokens fall or repeat inside one send: a burst is a set of rows. A POSITION closes it.
    Bursts,
    /// Tokens are as in `Bursts`, but nothing closes a burst. This is so only where a live
    /// connection neither loses nor repeats rows: every row above the token at which the source
    /// became live is new, whatever its order, and the burst is over when something else was
    /// received on the connection and the source stays quiet.
    UnclosedBursts,
    /// The writer repeats rows, goes back and skips tokens. Rows are idempotent and are delivered
    /// at least once.
    Loose,
}

/// What the rows that a page has under a token say of those that were delivered under it (F11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Compared {
    /// The log keeps a row until another one takes its place under a higher token: other rows under
    /// its token are those of another log.
    Yes,
    /// The log changes rows in place: one that is still there shows that it is the same log, another
    /// one shows nothing.
    WhereFound,
    /// Nothing: the log starts over with its writer, or has rows of others under the same token.
    No,
}

/// The traits of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StreamTraits {
    /// The order in which tokens follow each other.
    pub order: Order,
    /// Whether the stream lives in the writer's memory, so that its tokens start over when the
    /// writer restarts.
    pub resettable: bool,
    /// Whether the fetch for one writer also returns rows of the others.
    pub shared_fetch: bool,
    /// Whether a limited page may end between two rows of one token.
    pub splits_tokens: bool,
    /// Whether a page may hold rows above the token that was requested.
    pub overruns: bool,
    /// Whether a page that was cut may lack rows, or not state that it was cut. Few tokens are
    /// requested at once ([`CatchUpConfig::burst_window_max`](crate::CatchUpConfig)), so that no
    /// page is cut.
    pub windowed: bool,
    /// Whether a page has one row per key, under the highest token that the key has in the
    /// requested span. The wire had the row under a higher token, if that lies beyond the span.
    pub aggregated: bool,
    /// Whether Synapse's configuration (`stream_writers`) takes no more than one writer.
    pub single_writer: bool,
    /// Whether a page shows if the log is the one that rows were delivered from.
    pub compared: Compared,
    /// Whether an instance answers with the rows of its own alone, so that one at a wrong address
    /// has none of those that the writer sent. The others answer with the rows of all.
    pub own_rows_only: bool,
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
        single_writer: false,
        compared: Compared::Yes,
        own_rows_only: false,
    };
    /// A stream of which an instance answers with its own rows.
    const OWN: Self = Self { own_rows_only: true, ..Self::RISING };
    const BURSTS: Self = Self { order: Order::Bursts, windowed: true, ..Self::OWN };
    const LOOSE: Self = Self { order: Order::Loose, overruns: true, ..Self::OWN };
    const RESETTABLE: Self = Self { resettable: true, compared: Compared::No, ..Self::RISING };
    const SHARED: Self = Self { shared_fetch: true, ..Self::RISING };
}

/// The stream names of all releases, sorted, each with its traits (`protocol.md` 7.1;
/// `profile_updates` from running servers).
pub const CATALOGUE: [(&str, StreamTraits); 24] = [
    ("account_data", StreamTraits::RISING),
    ("backfill", StreamTraits::BURSTS),
    ("caches", StreamTraits::LOOSE),
    ("current_state_deltas", StreamTraits::RISING),
    ("device_lists", StreamTraits::SHARED),
    ("events", StreamTraits { splits_tokens: false, ..StreamTraits::OWN }),
    ("federation", StreamTraits { overruns: true, ..StreamTraits::RESETTABLE }),
    ("groups", StreamTraits::RISING),
    (
        "presence",
        StreamTraits { single_writer: true, compared: Compared::WhereFound, ..StreamTraits::OWN },
    ),
    ("presence_federation", StreamTraits { splits_tokens: false, ..StreamTraits::RESETTABLE }),
    ("profile_updates", StreamTraits::SHARED),
    ("public_rooms", StreamTraits::RISING),
    ("push_rules", StreamTraits::RISING),
    ("pushers", StreamTraits::RISING),
    ("quarantined_media", StreamTraits::SHARED),
    ("receipts", StreamTraits::OWN),
    ("sticky_events", StreamTraits::SHARED),
    ("tag_account_data", StreamTraits::RISING),
    ("thread_subscriptions", StreamTraits::SHARED),
    // Before 1.81 its pages end after 100 tokens and yet state that they are complete
    // (`protocol.md` 7.5).
    (
        "to_device",
        StreamTraits {
            windowed: true,
            aggregated: true,
            compared: Compared::No,
            ..StreamTraits::RISING
        },
    ),
    ("typing", StreamTraits { single_writer: true, ..StreamTraits::RESETTABLE }),
    ("un_partial_stated_event", StreamTraits::OWN),
    ("un_partial_stated_room", StreamTraits::OWN),
    ("user_signature", StreamTraits::RISING),
];

/// Returns the traits of the stream with this name. A stream that is not known is taken as rising.
pub fn traits(stream: &str) -> StreamTraits {
    CATALOGUE
        .binary_search_by_key(&stream, |(name, _)| *name)
        .map_or(StreamTraits::RISING, |index| CATALOGUE[index].1)
}

/// Returns whether any release of Synapse has a stream with this name.
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

/// Returns a number below 64, a different one for each name of the catalogue.
#[inline]
const fn slot(name: &[u8]) -> usize {
    match name {
        [first, .., last] => {
            (*first as usize + 6 * *last as usize + name.len().wrapping_mul(17)) % 64
        }
        _ => 0,
    }
}

/// Returns the catalogue's own copy of this name, which costs nothing to share.
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
