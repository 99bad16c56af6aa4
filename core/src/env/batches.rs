//! The batches that writers have open.

use crate::{ids::SourceIndex, stream::Source};

/// The source in which a writer has a batch open. On a bus a writer has one at most, as it says
/// nothing between the rows of a batch; on direct TCP none is noted here.
///
/// The room that a batch takes here is kept for the next one, so noting it allocates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct OpenBatches {
    /// Sorted by the instance that writes.
    list: Vec<(Source, SourceIndex)>,
}

impl OpenBatches {
    fn search(&self, instance: &str) -> Result<usize, usize> {
        self.list.binary_search_by(|(source, _)| source.instance().cmp(instance))
    }

    /// Returns the source in which the writer has a batch open.
    pub(crate) fn of(&self, instance: &str) -> Option<SourceIndex> {
        let at = self.search(instance).ok()?;
        Some(self.list[at].1)
    }

    /// Notes that the source's writer has begun a batch in it.
    pub(crate) fn insert(&mut self, source: &Source, index: SourceIndex) {
        let entry = (source.clone(), index);
        match self.search(source.instance()) {
            Ok(at) => self.list[at] = entry,
            Err(at) => self.list.insert(at, entry),
        }
    }

    /// Notes that the writer has no batch open.
    pub(crate) fn remove(&mut self, instance: &str) {
        if let Ok(at) = self.search(instance) {
            self.list.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_found_among_others_and_has_one_batch() {
        let mut open = OpenBatches::default();
        for (number, instance) in ["b", "c", "a"].iter().enumerate() {
            open.insert(&Source::new("events", instance), SourceIndex::after(number));
        }
        open.insert(&Source::new("caches", "c"), SourceIndex::after(9));
        assert_eq!(open.of("c"), Some(SourceIndex::after(9)));
        assert_eq!(open.of("a"), Some(SourceIndex::after(2)));
        open.remove("b");
        open.remove("d");
        assert_eq!((open.of("b"), open.of("d")), (None, None));
        assert_eq!(open.of("a"), Some(SourceIndex::after(2)));
    }
}
