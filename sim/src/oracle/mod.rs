//! The oracle: what a follower may and must be given, judged after every step against what each
//! writer logged. One file per promise.
//!
//! # The invariants of known bugs, and the promises that hold them
//!
//! | invariant | promise | judged in |
//! |---|---|---|
//! | I1 no gap | F2, F6 | `complete`, `honest` |
//! | I2 order | F1, F10 | `order`, `reset` |
//! | I3 no repeat | F3 | `once` |
//! | I4 batches whole | F4 | `batches` |
//! | I5 only after a POSITION of this connection | F2, F6 | `complete`, `honest`: what a missed check loses |
//! | I6 isolation | F8 | `isolation` |
//! | I7 serial | F1, F8 | `order`, `isolation` |
//! | I8 progress | F7 | `progress` |
//! | I9 rows before positions | F6 | `honest` |
//! | I10 waits | waits, F7 | `waits`, `progress` |
//! | I11 announce | P4, F7 | `outlet`, `publish`, `progress` |
//! | I12 echo | F5 | `echo` |
//! | I13 never ahead of what is persisted | P2, F6 | `outlet`, `honest` |
//! | I14 restart | F10, F2 | `reset`, `complete` |
//! | I15 acknowledged is stored | application | the saved positions of a follower that died |
//! | I16 bounded | F9, P5 | `bounded` |
//! | a log is another one, or goes back, only where it is | F11 | `continuity` |
//! | what got lost with its token is looked for | F12 | `holes` |
//! | a gap's place and reason are true | F2 | `gap` |
//! | a live source is reset only as its writer starts over | F10, F3 | `reset` |
//! | what is said to have gone out has, and is said | P3 | `fate`, `publish` |

mod audit;
mod batches;
mod bounded;
mod complete;
mod continuity;
mod counts;
mod echo;
mod fate;
mod gap;
mod holes;
mod honest;
mod isolation;
mod ledger;
mod once;
mod order;
mod outlet;
#[cfg(feature = "network")]
mod peers;
mod progress;
mod publish;
mod reset;
mod violation;
mod waits;

use std::collections::BTreeMap;

use synrepl_core::{
    Config, Event, Origin, Stats, Timestamp, Transport, WaitId, Warning,
    stream::{Order, Positions, Row, Source, Span, Token},
};

#[cfg(feature = "network")]
pub(crate) use self::peers::PeerOracle;
pub use self::violation::{Promise, Violation};
use self::{batches::Whole, ledger::Ledger, waits::Waits};
pub(crate) use self::{counts::Counts, publish::PublishOracle};
use crate::world::Log;

/// Judges one follower. What is counted of it, and decides nothing, is no part of this: see
/// [`Counts`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Oracle {
    /// Its instance name.
    instance: String,
    from_beginning: bool,
    transport: Transport,
    /// It compares what it was given with what the writers hold.
    audits: bool,
    /// It gives fetches up after some failures.
    gives_up: bool,
    /// It had another instance's address for a writer.
    is_misled: bool,
    ledgers: BTreeMap<Source, Ledger>,
    waits: Waits,
    /// The source that the present input concerns.
    about: Option<Source>,
    now: Timestamp,
}

type Verdict = Result<(), Violation>;

impl Oracle {
    pub(crate) fn new(instance: String, from_beginning: bool, transport: Transport) -> Self {
        Self {
            instance,
            from_beginning,
            transport,
            audits: false,
            gives_up: false,
            is_misled: false,
            ledgers: BTreeMap::new(),
            waits: Waits::default(),
            about: None,
            now: Timestamp::ZERO,
        }
    }

    /// The follower is handed an input, which is about this source if it is about one.
    pub(crate) fn on_input(&mut self, now: Timestamp, about: Option<&Source>) {
        self.now = now;
        self.about = about.cloned();
    }

    /// The follower has handled its input: the oracle forgets what the input was about.
    #[cfg(test)]
    pub(crate) fn on_handled(&mut self) {
        self.on_input(Timestamp::ZERO, None);
    }

    /// The positions that went with the follower's events.
    #[cfg(test)]
    pub(crate) fn positions(&self) -> Positions {
        let mut positions = Positions::new();
        for (source, ledger) in self.ledgers.iter().filter(|(_, ledger)| ledger.told) {
            positions.set(source, ledger.position);
        }
        positions
    }

    pub(crate) fn violation(
        &self,
        promise: Promise,
        source: Option<&Source>,
        what: String,
    ) -> Violation {
        let instance = self.instance.clone();
        Violation { promise, at: self.now, instance, source: source.cloned(), what }
    }

    fn hold(&self, promise: Promise, source: &Source, verdict: Result<(), String>) -> Verdict {
        verdict.map_err(|what| self.violation(promise, Some(source), what))
    }

    /// Judges one event against the writers' logs as they are now.
    #[expect(clippy::wildcard_enum_match_arm, reason = "other events promise nothing")]
    pub(crate) fn judge(&mut self, event: &Event, logs: &[Log]) -> Verdict {
        if let Some((source, _)) = event.position() {
            self.hold(Promise::NoEcho, source, echo::check(&self.instance, source))?;
            let verdict = isolation::check(self.about.as_ref(), source);
            self.hold(Promise::Isolation, source, verdict)?;
        }
        match event {
            Event::Rows { source, token, rows, origin: Origin::Audit, position } => {
                self.in_order_of_finding(source, *token)?;
                self.on_found(source, (*token, *position), rows, logs)
            }
            Event::Rows { source, token, rows, origin: Origin::Hole, position } => {
                self.on_found(source, (*token, *position), rows, logs)
            }
            Event::Warning(
                Warning::NotAudited { source, span: Span { from, upto }, .. }
                | Warning::HoleLeft { source, span: Span { from, upto }, .. },
            ) => {
                self.of(source).unaudited.push((*from, *upto));
                Ok(())
            }
            Event::Rows { source, token, rows, position, .. } => {
                self.on_rows(source, *token, rows, logs)?;
                self.on_position(source, *position, logs)
            }
            Event::Position { source, token } => self.on_position(source, *token, logs),
            Event::Live { source, token } => {
                self.start(source, *token);
                let verdict = self.on_position(source, *token, logs);
                let ledger = self.of(source);
                ledger.live = true;
                ledger.live_from.get_or_insert(*token);
                verdict
            }
            Event::NotLive { source, token } => {
                self.of(source).live = false;
                self.on_position(source, *token, logs)
            }
            Event::CatchingUp { source, span: Span { from, .. } } => {
                self.start(source, *from);
                let verdict = self.on_position(source, *from, logs);
                self.of(source).live = false;
                verdict
            }
            Event::Gap { source, span: Span { from, upto }, reason } => {
                self.on_gap(source, (*from, *upto), reason, logs)?;
                self.on_position(source, *upto, logs)
            }
            Event::Reset { source, token, .. } => {
                let log = logs.iter().find(|log| log.source == *source);
                let ledger = self.of(source);
                let verdict = reset::check_reset(ledger, log);
                ledger.reset(*token);
                self.hold(Promise::ExplicitReset, source, verdict)
            }
            Event::Discontinuity { source, .. } => self.on_other_log(source, logs),
            Event::Rewound { source, from, to } => self.on_rewound(source, (*from, *to), logs),
            Event::WaitEnded { wait, outcome } => self
                .waits
                .check_end(*wait, *outcome)
                .map_err(|(source, what)| self.violation(Promise::Waits, Some(&source), what)),
            Event::Disconnected { .. } => {
                self.ledgers.values_mut().for_each(|ledger| ledger.live = false);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The application waits, without a deadline that it could live to see.
    pub(crate) fn on_wait(&mut self, wait: WaitId, source: Source, token: Token) -> bool {
        self.waits.open(wait, source, token)
    }

    /// Checks what holds when an input has been handled.
    pub(crate) fn check_settled(
        &self,
        config: &Config,
        stats: Option<&Stats>,
        fetches_in_flight: usize,
    ) -> Verdict {
        if let Some(about) = &self.about
            && let Some(token) = self.ledgers.get(about).and_then(|ledger| ledger.split)
        {
            let what = format!("only the first rows of {token} came and no gap says so");
            return Err(self.violation(Promise::Batches, Some(about), what));
        }
        if let Some(stats) = stats {
            bounded::check(config, stats, fetches_in_flight)
                .map_err(|what| self.violation(Promise::Bounded, None, what))?;
        }
        self.waits
            .check_open(|source| self.position_of(source))
            .map_err(|(source, what)| self.violation(Promise::Waits, Some(&source), what))
    }

    /// The events told of every position that the machine says it has.
    pub(crate) fn check_told(&self, positions: &Positions) -> Verdict {
        for (source, position) in positions.iter() {
            let told = self.position_of(source);
            if told != Some(position) {
                let what = format!("is at {position}, its events told of {told:?}");
                return Err(self.violation(Promise::HonestPosition, Some(source), what));
            }
        }
        Ok(())
    }

    fn of(&mut self, source: &Source) -> &mut Ledger {
        if !self.ledgers.contains_key(source) {
            let start = self.from_beginning.then_some(Token::START);
            let ledger = Ledger { start, ..Ledger::default() };
            self.ledgers.insert(source.clone(), ledger);
        }
        self.ledgers.entry(source.clone()).or_default()
    }

    /// How the tokens of a source follow each other on this follower's transport.
    fn order(&self, log: &Log) -> Order {
        self.transport.traits_of(log.source.stream()).order
    }

    fn start(&mut self, source: &Source, token: Token) {
        self.of(source).start.get_or_insert(token);
    }

    /// The source's writer appears only now, on a stream that is followed, so no row that it writes
    /// may be left out. Writers of a stream share its tokens: rows below the position of another
    /// source of the stream were written before.
    pub(crate) fn expect_all(&mut self, log: &Log) {
        let of_stream = |(source, _): &(&Source, &Ledger)| source.stream() == log.source.stream();
        let ledgers = || self.ledgers.iter().filter(of_stream).map(|(_, ledger)| ledger);
        let followed = ledgers().any(|ledger| ledger.start.is_some());
        let past = ledgers().any(|ledger| ledger.position > log.current);
        if followed && !past && !self.ledgers.contains_key(&log.source) {
            self.of(&log.source).start = Some(Token::START);
        }
    }

    /// The ledgers whose rows count for `source`.
    fn counting<'a>(&'a self, source: &'a Source, shared: bool) -> Vec<&'a Ledger> {
        if shared {
            self.siblings(source, true).map(|(_, ledger)| ledger).collect()
        } else {
            self.ledgers.get(source).into_iter().collect()
        }
    }

    fn siblings<'a>(
        &'a self,
        source: &'a Source,
        shared: bool,
    ) -> impl Iterator<Item = (&'a Source, &'a Ledger)> {
        self.ledgers.iter().filter(move |(other, _)| {
            *other == source || (shared && other.stream() == source.stream())
        })
    }

    fn log_of<'a>(&mut self, source: &Source, logs: &'a [Log]) -> Result<&'a Log, Violation> {
        logs.iter().find(|log| log.source == *source).ok_or_else(|| {
            let what = "there is no such writer".to_owned();
            self.violation(Promise::Batches, Some(source), what)
        })
    }

    /// Returns whether these rows are the rest of a token of which a page for another writer had a
    /// part, and a gap of that writer says so.
    fn is_rest_of_cut(
        &self,
        source: &Source,
        log: &Log,
        token: Token,
        rows: &[Row],
        logs: &[Log],
    ) -> bool {
        if !log.traits.shared_fetch {
            return false;
        }
        let Some(first) = rows.first() else { return false };
        let ledgers: Vec<_> = self.siblings(source, true).map(|(_, ledger)| ledger).collect();
        let siblings = logs.iter().filter(|other| other.stream == log.stream);
        let written = siblings.filter_map(|log| log.wrote(token, first)).next();
        ledgers.iter().any(|ledger| ledger.in_gap(token))
            && written.is_some_and(|written| {
                let came = |row: &Row| ledgers.iter().any(|ledger| ledger.has(token, row));
                rows.iter().all(|row| written.contains(row))
                    && written.iter().all(|row| rows.contains(row) || came(row))
            })
    }

    fn on_rows(&mut self, source: &Source, token: Token, rows: &[Row], logs: &[Log]) -> Verdict {
        let log = self.log_of(source, logs)?;
        let siblings = logs.iter().filter(|other| other.stream == log.stream);
        let is_rest = self.is_rest_of_cut(source, log, token, rows, logs);
        let whole = if is_rest {
            Ok(Whole::Yes)
        } else {
            batches::check(log, siblings, self.ledgers.get(source), token, rows)
        };
        let split = matches!(whole, Ok(Whole::Split));
        let shared = log.traits.shared_fetch;
        let verdict = self.hold(Promise::Batches, source, whole.map(|_| ())).and_then(|()| {
            if log.traits.order == Order::Loose {
                return Ok(());
            }
            let once = once::check(self.siblings(source, shared), token, rows);
            self.hold(Promise::Once, source, once)?;
            match self.ledgers.get(source) {
                Some(ledger) if self.order(log) == Order::Rising => {
                    self.hold(Promise::Order, source, order::check(ledger, token))
                }
                _ => Ok(()),
            }
        });
        let ledger = self.of(source);
        ledger.split = split.then_some(token);
        ledger.last_token = Some(token);
        ledger.start.get_or_insert_with(|| token.before());
        ledger.tokens.entry(token).or_default().extend_from_slice(rows);
        ledger.again.remove(&token);
        verdict
    }

    fn on_position(&mut self, source: &Source, position: Token, logs: &[Log]) -> Verdict {
        self.of(source);
        let Some(ledger) = self.ledgers.get(source) else { return Ok(()) };
        let verdict = self
            .hold(Promise::ExplicitReset, source, reset::check_position(ledger, position))
            .and_then(|()| {
                let Some(log) = logs.iter().find(|log| log.source == *source) else {
                    return Ok(None);
                };
                let ledgers = self.counting(source, log.traits.shared_fetch);
                honest::check(log, ledger, &ledgers, position)
                    .map_err(|what| self.violation(Promise::HonestPosition, Some(source), what))
            });
        let ledger = self.of(source);
        let verdict = verdict.map(|split| ledger.split = split.or(ledger.split));
        (ledger.position, ledger.told) = (position, true);
        ledger.checked = position;
        verdict
    }

    /// The follower died and is started again from `saved`. Events that its application had not
    /// handled count as never delivered.
    pub(crate) fn on_restart(&mut self, saved: &Positions, unhandled: &[Event], logs: &[Log]) {
        self.waits.clear();
        self.about = None;
        for event in unhandled {
            if let Event::Rows { source, token, rows, .. } = event
                && let Some(came) =
                    self.ledgers.get_mut(source).and_then(|ledger| ledger.tokens.get_mut(token))
            {
                // One copy is taken out: the row may have come before and have been handled.
                for row in rows.iter() {
                    if let Some(last) = came.iter().rposition(|one| one == row) {
                        came.remove(last);
                    }
                }
            }
        }
        for (source, ledger) in &mut self.ledgers {
            let shared = logs.iter().any(|log| log.source == *source && log.traits.shared_fetch);
            ledger.resume(saved.get(source), shared);
            if self.from_beginning {
                ledger.start.get_or_insert(Token::START);
            }
        }
    }

    /// With all faults gone, every source is live and has all that its writer `upto` says.
    pub(crate) fn check_converged(
        &self,
        logs: &[Log],
        upto: impl Fn(&Log) -> Option<Token>,
    ) -> Verdict {
        for log in logs {
            let source = &log.source;
            let Some(upto) = upto(log).filter(|_| source.instance() != self.instance) else {
                continue;
            };
            let ledgers = self.counting(source, log.traits.shared_fetch);
            let excused = |token| self.excuses(log, token);
            progress::check(log, self.ledgers.get(source), &ledgers, upto, excused)
                .map_err(|(promise, what)| self.violation(promise, Some(source), what))?;
        }
        Ok(())
    }

    /// The position of a source that the follower's events told last.
    pub(crate) fn position_of(&self, source: &Source) -> Option<Token> {
        self.ledgers.get(source).filter(|ledger| ledger.told).map(|ledger| ledger.position)
    }
}
