//! What a follower needs of the node around it.

use std::collections::{BTreeMap, VecDeque};

use super::{Audits, Delivered, Replays, repeats::SharedTokens};
use crate::{
    config::{Config, Start, Transport},
    event::{Event, WaitOutcome},
    ids::QueryId,
    planted::planted,
    shared::Shared,
    sources::SourceIndex,
    stream::{StreamTraits, Token},
    time::Timestamp,
};

/// State of a stream that its sources share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stream {
    pub(crate) traits: StreamTraits,
    /// The token that the stream had when it was first followed: where a writer starts that
    /// appears later.
    baseline: Option<Token>,
    /// The baseline no longer moves.
    settled: bool,
    pub(super) shared_tokens: SharedTokens,
    /// What was delivered of all its sources, for the audit, where a fetch shows them together.
    pub(super) delivered: Delivered,
    /// This node writes it too.
    pub(crate) written_here: bool,
}

impl Stream {
    /// A stream that is followed from `baseline` on, or for the first time.
    pub(crate) fn new(traits: StreamTraits, baseline: Option<Token>) -> Self {
        Self {
            traits,
            baseline,
            settled: baseline.is_some(),
            shared_tokens: SharedTokens::default(),
            // Up to there rows were delivered before this process was.
            delivered: Delivered::above(baseline.unwrap_or(Token::START)),
            written_here: false,
        }
    }

    /// Where a source starts that has no position, given that its writer stands at `current`.
    ///
    /// Writers answer a REPLICATE one by one: until `settling` is over, each is taken at its word
    /// if the application wants to start from now. One that appears later has written all its
    /// rows since, so it starts at the baseline; in a stream of its own tokens, at their start.
    pub(super) fn start(&mut self, start: Start, current: Token, settling: bool) -> Token {
        if start == Start::Beginning {
            return Token::START;
        }
        match self.baseline {
            Some(baseline) if self.settled || !settling => {
                self.settled = true;
                if self.traits.resettable { Token::START } else { baseline.min(current) }
            }
            baseline => {
                self.baseline = Some(baseline.map_or(current, |known| known.max(current)));
                current
            }
        }
    }
}

/// Fetches: who waits for one, and which are under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Fetches {
    issued: u64,
    pub(crate) in_flight: BTreeMap<QueryId, SourceIndex>,
    pub(super) waiting: VecDeque<SourceIndex>,
    /// Those that the connection itself answers.
    pub(crate) replays: Replays,
    pub(super) audits: Audits,
}

impl Fetches {
    /// Whether the core ever asked for this fetch, or this page of an own log.
    pub(crate) const fn was_issued(&self, query: QueryId) -> bool {
        query.get() >= 1 && query.get() <= self.issued
    }

    pub(super) fn issue(&mut self, source: SourceIndex) -> QueryId {
        let query = self.next_id();
        self.in_flight.insert(query, source);
        query
    }

    /// An id for something that is no fetch: all queries are counted together.
    pub(crate) const fn next_id(&mut self) -> QueryId {
        self.issued += 1;
        QueryId::new(self.issued)
    }

    pub(super) fn slot_is_free(&self, config: &Config) -> bool {
        self.in_flight.len() + self.replays.len() + usize::from(self.audits.is_in_flight())
            < config.fetches_in_flight_max as usize
            || planted!(config, FetchesWithoutLimit)
    }

    /// Forgets all fetches; those under way.
    pub(crate) fn cancel_all(&mut self) -> impl Iterator<Item = QueryId> + use<> {
        self.waiting.clear();
        let audit = self.audits.clear();
        std::mem::take(&mut self.in_flight).into_keys().chain(audit)
    }

    /// The same for an audit.
    pub(super) const fn issue_audit(&mut self, source: SourceIndex) -> QueryId {
        let query = self.next_id();
        self.audits.begin(query, source);
        query
    }

    /// Whether the answer to this query is waited for.
    pub(crate) fn awaits(&self, query: QueryId) -> bool {
        self.in_flight.contains_key(&query) || self.audits.awaits(query)
    }

    /// The source whose audit waits for the answer to this query.
    pub(crate) fn take_audit(&mut self, query: QueryId) -> Option<SourceIndex> {
        self.audits.take(query)
    }

    /// The next source that may ask for its audit: nothing else is to be fetched, and no other
    /// audit waits for an answer.
    pub(crate) fn next_audit(&mut self, config: &Config) -> Option<SourceIndex> {
        let is_idle = !self.audits.is_in_flight() && self.waiting.is_empty();
        if is_idle && self.slot_is_free(config) { self.audits.next() } else { None }
    }

    /// The next source in line, if it may start now.
    pub(crate) fn next_waiting(&mut self, config: &Config) -> Option<SourceIndex> {
        if self.slot_is_free(config) { self.waiting.pop_front() } else { None }
    }
}

/// One follower's view of the node while it handles one input.
pub(crate) struct Context<'a> {
    pub(crate) now: Timestamp,
    pub(crate) me: SourceIndex,
    pub(crate) config: &'a Config,
    pub(crate) stream: &'a mut Stream,
    pub(crate) shared: &'a mut Shared,
}

impl Context<'_> {
    pub(super) fn notify(&mut self, event: Event) {
        self.shared.notify(event);
    }

    pub(super) fn end_waits(&mut self, position: Token) {
        if self.shared.waits.is_empty() || planted!(self.config, NeverEndsWaits) {
            return;
        }
        let early = u32::from(planted!(self.config, EndsWaitsEarly));
        let reached = position.advanced_by(early);
        while let Some(wait) = self.shared.waits.pop_reached(self.me, reached) {
            self.shared.timers.clear(crate::timer::TimerKey::Wait(wait));
            self.notify(Event::WaitEnded { wait, outcome: WaitOutcome::Reached { position } });
        }
    }

    /// On direct TCP the one writer is the process that we are connected to: while the connection
    /// stands, it has not started over.
    pub(super) const fn on_tcp(&self) -> bool {
        matches!(self.config.transport, Transport::Tcp(_))
    }

    /// Whether missed rows come over the connection itself, and nothing comes unasked: the oldest
    /// dialect.
    pub(super) const fn over_connection(&self) -> bool {
        self.config.transport.replays()
    }

    pub(super) fn settling(&self) -> bool {
        self.shared.settling_until.is_none_or(|until| self.now < until)
    }
}
