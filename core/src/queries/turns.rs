//! The turns of the audits: the source that has the one fetch of all audits in flight, and the
//! next.

use std::{collections::BTreeSet, ops::Bound};

use crate::ids::{FetchId, SourceIndex};

/// The sources that take turns, in the order of their numbers, so that none waits for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Turns {
    waiting: BTreeSet<SourceIndex>,
    /// The source that had its turn last.
    last: Option<SourceIndex>,
    in_flight: Option<(FetchId, SourceIndex)>,
    /// The sources whose fetch gave way, and has not been answered since.
    gave_way: BTreeSet<SourceIndex>,
}

impl Turns {
    pub(crate) fn enqueue(&mut self, source: SourceIndex) {
        self.waiting.insert(source);
    }

    pub(crate) const fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    pub(crate) const fn begin(&mut self, query: FetchId, source: SourceIndex) {
        self.in_flight = Some((query, source));
    }

    /// Takes the fetch that was answered; returns its source, or `None` if it is not in flight.
    pub(crate) fn take(&mut self, query: FetchId) -> Option<SourceIndex> {
        let (_, source) = self.in_flight.take_if(|(issued, _)| *issued == query)?;
        self.gave_way.remove(&source);
        Some(source)
    }

    /// Takes this source out; returns its fetch, if one is in flight.
    pub(crate) fn leave(&mut self, source: SourceIndex) -> Option<FetchId> {
        self.waiting.remove(&source);
        self.gave_way.remove(&source);
        self.in_flight.take_if(|(_, whose)| *whose == source).map(|(query, _)| query)
    }

    /// Gives up the fetch in flight and returns it; its source is queued again. A fetch that is made
    /// again does not give way a second time: it would never be answered where others catch up all
    /// the time.
    pub(crate) fn preempt(&mut self) -> Option<FetchId> {
        let (query, source) =
            self.in_flight.take_if(|(_, source)| self.gave_way.insert(*source))?;
        self.waiting.insert(source);
        Some(query)
    }

    /// Takes the source whose turn it is.
    pub(crate) fn next(&mut self) -> Option<SourceIndex> {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut behind = self.waiting.range((after, Bound::Unbounded));
        let next = behind.next().or_else(|| self.waiting.first()).copied()?;
        self.waiting.remove(&next);
        self.last = Some(next);
        Some(next)
    }

    /// Forgets all sources; returns the fetch in flight.
    pub(crate) fn clear(&mut self) -> Option<FetchId> {
        self.waiting.clear();
        self.gave_way.clear();
        self.in_flight.take().map(|(query, _)| query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_take_turns() {
        let source = SourceIndex::after;
        let mut turns = Turns::default();
        for number in [2, 0, 1] {
            turns.enqueue(source(number));
        }
        assert_eq!(turns.next(), Some(source(0)));
        turns.enqueue(source(0));
        assert_eq!(turns.next(), Some(source(1)));
        assert_eq!(turns.next(), Some(source(2)));
        assert_eq!(turns.next(), Some(source(0)));
        assert_eq!(turns.next(), None);
    }

    #[test]
    fn who_gives_way_is_in_line_again_and_its_answer_is_not_waited_for() {
        let mut turns = Turns::default();
        turns.begin(FetchId::new(7), SourceIndex::after(3));
        assert_eq!(turns.preempt(), Some(FetchId::new(7)));
        assert_eq!(turns.take(FetchId::new(7)), None);
        assert_eq!(turns.next(), Some(SourceIndex::after(3)));
        turns.begin(FetchId::new(8), SourceIndex::after(3));
        assert_eq!(turns.preempt(), None, "once is enough");
        assert_eq!(turns.take(FetchId::new(8)), Some(SourceIndex::after(3)));
        turns.begin(FetchId::new(9), SourceIndex::after(3));
        assert_eq!(turns.preempt(), Some(FetchId::new(9)), "the next look gives way again");
    }
}
