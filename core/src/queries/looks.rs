//! The looks into holes (F12): the streams that are in line for one, those that have a fetch in
//! flight, and the number of fetches in a minute.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use crate::{
    config::HolesConfig,
    ids::{FetchId, StreamIndex},
    time::Timestamp,
};

const MINUTE: Duration = Duration::from_secs(60);

/// The streams whose holes are looked into.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Looks {
    /// By how many of their holes are natural, the fewest first.
    waiting: BTreeSet<(u32, StreamIndex)>,
    in_flight: BTreeMap<FetchId, StreamIndex>,
    /// The streams whose fetch gave way, and has not been answered since.
    gave_way: BTreeSet<StreamIndex>,
    /// The times of the fetches of the last minute, no more than are allowed in one.
    made_at: VecDeque<Timestamp>,
}

impl Looks {
    /// Queues a stream whose looks have been empty so often.
    pub(crate) fn enqueue(&mut self, emptiness: u32, stream: StreamIndex) {
        self.waiting.insert((emptiness, stream));
    }

    /// Returns whether no stream is in line.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the number of fetches in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Returns the time from which on one more fetch may be made.
    pub(crate) fn allowed_from(&self, config: &HolesConfig) -> Timestamp {
        let most = config.hole_looks_per_minute_max as usize;
        match self.made_at.len().checked_sub(most).and_then(|first| self.made_at.get(first)) {
            Some(first) => *first + MINUTE,
            None => Timestamp::ZERO,
        }
    }

    /// Takes the stream that is first in line, if one more fetch may be in flight.
    pub(crate) fn next(&mut self, config: &HolesConfig) -> Option<StreamIndex> {
        if self.in_flight.len() >= config.hole_looks_in_flight_max as usize {
            return None;
        }
        self.waiting.pop_first().map(|(_, stream)| stream)
    }

    pub(crate) fn begin(
        &mut self,
        query: FetchId,
        stream: StreamIndex,
        now: Timestamp,
        config: &HolesConfig,
    ) {
        self.in_flight.insert(query, stream);
        self.made_at.push_back(now);
        while self.made_at.len() > config.hole_looks_per_minute_max as usize {
            self.made_at.pop_front();
        }
    }

    /// Takes the fetch that was answered; returns its stream, or `None` if it is not in flight.
    pub(crate) fn take(&mut self, query: FetchId) -> Option<StreamIndex> {
        let stream = self.in_flight.remove(&query)?;
        self.gave_way.remove(&stream);
        Some(stream)
    }

    /// Gives up one fetch in flight, the one that was made last; returns it with its stream. A fetch
    /// that is made again does not give way a second time.
    pub(crate) fn preempt(&mut self) -> Option<(FetchId, StreamIndex)> {
        let mut newest_first = self.in_flight.iter().rev();
        let (query, stream) = newest_first.find(|(_, stream)| !self.gave_way.contains(stream))?;
        let (query, stream) = (*query, *stream);
        self.gave_way.insert(stream);
        self.in_flight.remove(&query);
        Some((query, stream))
    }

    /// Forgets all streams; returns the fetches in flight.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = FetchId> + use<> {
        self.waiting.clear();
        self.gave_way.clear();
        std::mem::take(&mut self.in_flight).into_keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(number: usize) -> StreamIndex {
        StreamIndex::after(number)
    }

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn who_has_few_natural_holes_is_first() {
        let mut looks = Looks::default();
        looks.enqueue(3, stream(0));
        looks.enqueue(0, stream(2));
        looks.enqueue(0, stream(1));
        let mut next = || looks.next(&HolesConfig::default());
        assert_eq!(
            [next(), next(), next(), next()],
            [Some(stream(1)), Some(stream(2)), Some(stream(0)), None]
        );
    }

    #[test]
    fn no_more_are_made_in_any_minute_than_are_allowed() {
        let config = HolesConfig { hole_looks_per_minute_max: 3, ..HolesConfig::default() };
        let mut looks = Looks::default();
        for (number, second) in [(1, 10), (2, 20), (3, 30)] {
            assert_eq!(looks.allowed_from(&config), Timestamp::ZERO);
            looks.begin(FetchId::new(number), stream(0), at(second), &config);
        }
        assert_eq!(looks.allowed_from(&config), at(70));
        looks.begin(FetchId::new(4), stream(0), at(70), &config);
        assert_eq!(looks.allowed_from(&config), at(80));
        assert_eq!(looks.made_at.len(), 3);
    }

    #[test]
    fn no_more_are_in_flight_than_are_allowed_and_the_newest_gives_way_once() {
        let config = HolesConfig { hole_looks_in_flight_max: 2, ..HolesConfig::default() };
        let mut looks = Looks::default();
        for number in 0..3 {
            looks.enqueue(0, stream(number));
        }
        for number in 0..2 {
            let next = looks.next(&config).expect("a slot is free");
            looks.begin(FetchId::new(number + 1), next, at(1), &config);
        }
        assert_eq!(looks.next(&config), None);
        assert_eq!(looks.preempt(), Some((FetchId::new(2), stream(1))));
        assert_eq!(looks.take(FetchId::new(2)), None);
        looks.begin(FetchId::new(3), stream(1), at(2), &config);
        assert_eq!(looks.preempt(), Some((FetchId::new(1), stream(0))), "once is enough");
        assert_eq!(looks.preempt(), None);
        assert_eq!(looks.take(FetchId::new(3)), Some(stream(1)));
    }
}
