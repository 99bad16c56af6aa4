//! The table of sources: one look-up of the two names per command finds what is done with the
//! source, and its index (C4).

use std::hash::{Hash, Hasher as _};

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use crate::{ids::SourceIndex, stream::Source};

/// What is done with the rows of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// They are written by another instance, and are wanted.
    Followed(SourceIndex),
    /// They are written under our own name: echoes, which are never delivered (F5).
    Own,
    /// They are of a stream that is not wanted.
    Ignored,
}

/// All sources that are followed. The table is never iterated, so its order does not matter;
/// equality and hash are those of the list.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    table: HashTable<u32>,
    list: Vec<(Source, Role)>,
    limit: u32,
    /// The bytes of all names together.
    name_bytes: u64,
}

/// The length of a stream's and a writer's name together, in bytes, on average over as many sources
/// as are allowed. Those of real deployments have 30.
const NAME_BYTES_MAX: u64 = 256;

fn hash(stream: &str, instance: &str) -> u64 {
    let mut hasher = FxHasher::default();
    stream.hash(&mut hasher);
    instance.hash(&mut hasher);
    hasher.finish()
}

impl Sources {
    pub(crate) const fn new(limit: u32) -> Self {
        Self { table: HashTable::new(), list: Vec::new(), limit, name_bytes: 0 }
    }

    /// Returns what is done with the source of these names, if it is in the table.
    pub(crate) fn find(&self, stream: &str, instance: &str) -> Option<Role> {
        self.table
            .find(hash(stream, instance), |at| {
                let source = &self.list[*at as usize].0;
                source.stream() == stream && source.instance() == instance
            })
            .map(|at| self.list[*at as usize].1)
    }

    /// Adds a source that is not there yet; returns false if there are too many, or their names are
    /// too long (F9).
    #[must_use]
    pub(crate) fn insert(&mut self, source: Source, role: Role) -> bool {
        let length = (source.stream().len() + source.instance().len()) as u64;
        if self.name_bytes + length > u64::from(self.limit) * NAME_BYTES_MAX {
            return false;
        }
        let Some(at) = u32::try_from(self.list.len()).ok().filter(|at| *at < self.limit) else {
            return false;
        };
        let list = &self.list;
        self.table.insert_unique(hash(source.stream(), source.instance()), at, |at| {
            let source = &list[*at as usize].0;
            hash(source.stream(), source.instance())
        });
        self.list.push((source, role));
        self.name_bytes += length;
        true
    }
}

impl PartialEq for Sources {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list && self.limit == other.limit
    }
}

impl Eq for Sources {}

impl Hash for Sources {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.list.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_found_again_among_many_and_the_limit_holds() {
        let role = |number| Role::Followed(SourceIndex::after(number));
        let mut sources = Sources::new(1_000);
        for number in 0..1_000 {
            let source = Source::new("events", &format!("w{number}"));
            assert!(sources.insert(source, role(number)));
        }
        assert!(!sources.insert(Source::new("events", "w1000"), Role::Own));
        for number in 0..1_000 {
            assert_eq!(sources.find("events", &format!("w{number}")), Some(role(number)));
        }
        assert_eq!(sources.find("event", "sw1"), None);
    }

    #[test]
    fn long_names_leave_room_for_fewer_sources() {
        let mut sources = Sources::new(3);
        let source = |length| Source::new("events", &"w".repeat(length));
        assert!(!sources.insert(source(763), Role::Ignored));
        assert!(sources.insert(source(762 - 7), Role::Ignored));
        assert!(!sources.insert(source(2), Role::Ignored));
        assert!(sources.insert(source(1), Role::Ignored));
    }

    #[test]
    fn two_lists_are_equal_if_the_same_was_added_in_the_same_order() {
        use std::hash::{BuildHasher as _, BuildHasherDefault};
        let of = |names: &[&str], limit| {
            let mut sources = Sources::new(limit);
            for name in names {
                assert!(sources.insert(Source::new("events", name), Role::Own));
            }
            sources
        };
        let hash = |sources| BuildHasherDefault::<FxHasher>::default().hash_one(sources);
        assert_eq!(of(&["a", "b"], 9), of(&["a", "b"], 9));
        assert_ne!(of(&["a", "b"], 9), of(&["b", "a"], 9));
        assert_ne!(of(&["a", "b"], 9), of(&["a", "b"], 8));
        assert_eq!(hash(of(&["a", "b"], 9)), hash(of(&["a", "b"], 9)));
        assert_ne!(hash(of(&["a", "b"], 9)), hash(of(&["a"], 9)));
    }
}
