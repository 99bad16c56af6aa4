//! Requests of the core that the driver answers: fetches of rows that others wrote, and reads of
//! own logs.
//!
//! What enters: sources that need a fetch, and answers. What leaves: ids of new requests, the next
//! source to fetch for, and the source that an answer is for. Keeps the limit of fetches in flight
//! (F9), and one queue for them, so that every source gets its turn (F7).
//!
//! Both kinds are counted together, so that a number stands for one request of either kind.

mod looks;
mod turns;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::{looks::Looks, turns::Turns};
use crate::{
    config::{Config, HolesConfig},
    ids::{FetchId, ReadId, SourceIndex, StreamIndex},
    time::Timestamp,
};

/// All requests of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Queries {
    /// The number of the last request.
    issued: u64,
    /// The fetches of catch-ups that are in flight, each with its source.
    in_flight: BTreeMap<FetchId, SourceIndex>,
    /// The reads of own logs that pages of other writers wait for, each with the source of its page.
    screenings: BTreeMap<ReadId, SourceIndex>,
    line: Line,
    /// Sources whose catch-up comes in over the connection (oldest dialect).
    in_band: BTreeSet<SourceIndex>,
    /// The fetch that audits may have in flight, and the source whose turn is next.
    pub(crate) audits: Turns,
    /// The fetches that look into holes, and the streams whose turn is next.
    pub(crate) looks: Looks,
    /// The same for rows that are looked for one by one, which have the lowest priority.
    pub(crate) look_ups: Turns,
}

/// Sources that are queued for a fetch slot, in order, each at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Line {
    order: VecDeque<SourceIndex>,
    members: BTreeSet<SourceIndex>,
}

impl Line {
    fn join(&mut self, source: SourceIndex) {
        if self.members.insert(source) {
            self.order.push_back(source);
        }
    }

    fn pop(&mut self) -> Option<SourceIndex> {
        let first = self.order.pop_front()?;
        self.members.remove(&first);
        Some(first)
    }
}

/// The source, or the stream, that an answer is for, and the part of it that requested the fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requester {
    CatchUp(SourceIndex),
    Audit(SourceIndex),
    Look(StreamIndex),
    LookUp(SourceIndex),
}

impl Queries {
    const fn next_number(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }

    const fn has_issued(&self, number: u64) -> bool {
        number >= 1 && number <= self.issued
    }

    /// Returns whether this id was issued. True of the numbers of reads as well: the kinds share
    /// them.
    pub(crate) const fn has_issued_fetch(&self, fetch: FetchId) -> bool {
        self.has_issued(fetch.get())
    }

    /// Returns whether this id was issued. True of the numbers of fetches as well.
    pub(crate) const fn has_issued_read(&self, read: ReadId) -> bool {
        self.has_issued(read.get())
    }

    /// Returns the id of a new read of an own log.
    pub(crate) const fn issue_read(&mut self) -> ReadId {
        ReadId::new(self.next_number())
    }

    /// Returns the id of a new read of an own log, for a page of this source. The page keeps its
    /// slot until the rows are there.
    pub(crate) fn issue_screening(&mut self, source: SourceIndex) -> ReadId {
        let read = self.issue_read();
        self.screenings.insert(read, source);
        read
    }

    /// Takes the read that was answered; returns the source whose page waits for it, if one does.
    pub(crate) fn take_screening(&mut self, read: ReadId) -> Option<SourceIndex> {
        self.screenings.remove(&read)
    }

    /// Returns the id of a new fetch for the catch-up of this source.
    pub(crate) fn issue_fetch(&mut self, source: SourceIndex) -> FetchId {
        let fetch = FetchId::new(self.next_number());
        self.in_flight.insert(fetch, source);
        fetch
    }

    /// Returns the id of a new fetch for the audit of this source.
    pub(crate) const fn issue_audit(&mut self, source: SourceIndex) -> FetchId {
        let fetch = FetchId::new(self.next_number());
        self.audits.begin(fetch, source);
        fetch
    }

    /// Returns the id of a new fetch that looks into the holes of this stream.
    pub(crate) fn issue_look(
        &mut self,
        stream: StreamIndex,
        now: Timestamp,
        config: &HolesConfig,
    ) -> FetchId {
        let fetch = FetchId::new(self.next_number());
        self.looks.begin(fetch, stream, now, config);
        fetch
    }

    /// Returns the id of a new fetch that looks for a row of this source.
    pub(crate) const fn issue_look_up(&mut self, source: SourceIndex) -> FetchId {
        let fetch = FetchId::new(self.next_number());
        self.look_ups.begin(fetch, source);
        fetch
    }

    /// Returns whether one more fetch may be in flight.
    pub(crate) fn has_free_slot(&self, config: &Config) -> bool {
        let turns = [&self.audits, &self.look_ups];
        let turns =
            turns.iter().filter(|turns| turns.is_in_flight()).count() + self.looks.in_flight();
        self.in_flight.len() + self.screenings.len() + self.in_band.len() + turns
            < config.catch_up.fetches_in_flight_max as usize
    }

    /// Returns whether no source is queued for a slot.
    pub(crate) fn line_is_empty(&self) -> bool {
        self.line.order.is_empty()
    }

    /// Queues a source for a slot. One that is queued already keeps its place.
    pub(crate) fn enqueue(&mut self, source: SourceIndex) {
        self.line.join(source);
    }

    /// Returns whether the source is queued for a slot.
    pub(crate) fn is_in_line(&self, source: SourceIndex) -> bool {
        self.line.members.contains(&source)
    }

    /// Takes the source that is queued first, if a slot is free.
    pub(crate) fn next_in_line(&mut self, config: &Config) -> Option<SourceIndex> {
        if self.has_free_slot(config) { self.line.pop() } else { None }
    }

    /// Takes the next source that may fetch for its audit: no catch-up and no look is queued, no
    /// other audit has a fetch in flight, and a slot is free.
    pub(crate) fn next_audit(&mut self, config: &Config) -> Option<SourceIndex> {
        let is_idle = !self.audits.is_in_flight() && self.line_is_empty();
        if is_idle && self.has_free_slot(config) { self.audits.next() } else { None }
    }

    /// Takes the next source that may look for a row: no other one does so, and nothing else waits
    /// for a slot.
    pub(crate) fn next_look_up(&mut self, config: &Config) -> Option<SourceIndex> {
        let is_idle = !self.look_ups.is_in_flight() && self.line_is_empty();
        if is_idle && self.has_free_slot(config) { self.look_ups.next() } else { None }
    }

    /// Takes the fetch that was answered; returns whom the answer is for, or `None` if it is no
    /// longer wanted.
    pub(crate) fn take(&mut self, fetch: FetchId) -> Option<Requester> {
        if let Some(source) = self.audits.take(fetch) {
            return Some(Requester::Audit(source));
        }
        if let Some(stream) = self.looks.take(fetch) {
            return Some(Requester::Look(stream));
        }
        if let Some(source) = self.look_ups.take(fetch) {
            return Some(Requester::LookUp(source));
        }
        self.in_flight.remove(&fetch).map(Requester::CatchUp)
    }

    /// Gives up the fetch of a catch-up; returns false if it is not in flight.
    pub(crate) fn give_up(&mut self, fetch: FetchId) -> bool {
        self.in_flight.remove(&fetch).is_some()
    }

    /// Gives up all fetches, and empties the queue; returns the fetches that were in flight.
    pub(crate) fn give_up_all(&mut self) -> impl Iterator<Item = FetchId> + use<> {
        self.line = Line::default();
        self.screenings.clear();
        let (turns, looks) = ([self.audits.clear(), self.look_ups.clear()], self.looks.clear());
        let turns = turns.into_iter().flatten();
        std::mem::take(&mut self.in_flight).into_keys().chain(turns).chain(looks)
    }

    /// Notes that missed rows of the source begin to come in over the connection. They take a slot.
    pub(crate) fn begin_in_band(&mut self, source: SourceIndex) {
        self.in_band.insert(source);
    }

    /// Notes that the rows have come in, or never will; returns false if none were requested.
    pub(crate) fn end_in_band(&mut self, source: SourceIndex) -> bool {
        self.in_band.remove(&source)
    }

    /// Returns the sources whose missed rows come in over the connection.
    pub(crate) const fn in_band(&self) -> &BTreeSet<SourceIndex> {
        &self.in_band
    }
}
