//! What each writer wrote, what the follower may and must have delivered.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use synrepl_core::{
    Event, WaitId, WaitOutcome,
    stream::{Order, Positions, Row, Source, Span, Token},
};

use crate::world::Log;

/// The promises of a follower, per source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub(super) enum Promise {
    /// F1: delivered tokens rise, between resets.
    Order,
    /// F2: every row between two positions is delivered, or a gap stands in its place.
    Complete,
    /// F3: no row twice, between resets.
    Once,
    /// F4: the rows of one token come together, whole and unmixed.
    Batches,
    /// F6: a position comes after every row up to it.
    HonestPosition,
    /// F7: with all faults gone, every source reaches its writer.
    Progress,
    /// F9: every queue has its limit.
    Bounded,
    /// A wait ends once its own source has reached its token, and not before.
    Waits,
    /// F10: tokens go back only after a reset, and only where that can be.
    ExplicitReset,
    /// C2: no input is refused that the driver may give.
    Total,
    /// P1: every row is sent, in token order, its batch unbroken.
    SentWhole,
    /// P2: an announcement goes over no rows.
    TruePosition,
    /// P3: after a send of unknown fate a writer goes on from what is known to have gone out.
    UnknownFate,
    /// P4: an announcement comes first, and never ahead of rows still unsent.
    NotAhead,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Violation {
    /// Which one.
    pub(super) promise: Promise,
    /// Of which source, if of one.
    pub(super) source: Option<Source>,
    /// What was expected and what came.
    pub(super) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.promise)?;
        if let Some(source) = &self.source {
            write!(f, " of {source}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What one source has delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Delivered {
    /// Rows up to here are not expected: they were written before the start.
    start: Option<Token>,
    position: Token,
    last_token: Option<Token>,
    tokens: BTreeMap<Token, Vec<Row>>,
    gaps: Vec<(Token, Token)>,
    live: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Oracle {
    sources: BTreeMap<Source, Delivered>,
    /// Tokens that may come again: they were delivered before the follower was restarted.
    again: BTreeMap<Source, BTreeMap<Token, Vec<Row>>>,
    pub(crate) rows_delivered: u64,
    pub(crate) gaps: u64,
    pub(crate) resets: u64,
    /// What the application would save.
    pub(crate) positions: Positions,
    /// Open waits.
    waits: BTreeMap<WaitId, (Source, Token)>,
}

type Verdict = Result<(), Violation>;

fn broken<T>(promise: Promise, source: &Source, what: String) -> Result<T, Violation> {
    Err(Violation { promise, source: Some(source.clone()), what })
}

impl Oracle {
    /// Judges one event against the writers' logs as they are now.
    #[expect(clippy::wildcard_enum_match_arm, reason = "other events promise nothing")]
    pub(crate) fn judge(&mut self, event: &Event, logs: &[Log]) -> Verdict {
        if let Some((source, token)) = event.position() {
            self.positions.set(source, token);
        }
        match event {
            Event::Rows { source, token, rows, position, .. } => {
                self.rows_delivered += rows.len() as u64;
                self.on_rows(source, *token, rows, logs)?;
                self.on_position(source, *position, logs)
            }
            Event::Position { source, token } => self.on_position(source, *token, logs),
            Event::Live { source, token } => {
                self.of(source).start.get_or_insert(*token);
                self.on_position(source, *token, logs)?;
                self.of(source).live = true;
                Ok(())
            }
            Event::NotLive { source, token } => {
                self.of(source).live = false;
                self.on_position(source, *token, logs)
            }
            Event::CatchingUp { source, span: Span { from, .. } } => {
                let delivered = self.of(source);
                delivered.start.get_or_insert(*from);
                delivered.live = false;
                Ok(())
            }
            Event::Gap { source, span: Span { from, upto }, .. } => {
                self.gaps += 1;
                self.of(source).gaps.push((*from, *upto));
                self.on_position(source, *upto, logs)
            }
            Event::Reset { source, token, .. } => self.on_reset(source, *token, logs),
            Event::WaitEnded { wait, outcome } => self.on_wait_ended(*wait, *outcome),
            Event::Disconnected { .. } => {
                self.sources.values_mut().for_each(|delivered| delivered.live = false);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a refused wait promises nothing")]
    fn on_wait_ended(&mut self, wait: WaitId, outcome: WaitOutcome) -> Verdict {
        let Some((source, token)) = self.waits.remove(&wait) else { return Ok(()) };
        match outcome {
            WaitOutcome::Reached { position } if position < token => {
                broken(Promise::Waits, &source, format!("{token} was reached at {position}"))
            }
            WaitOutcome::TimedOut { .. } => {
                broken(Promise::Waits, &source, format!("the wait for {token} timed out"))
            }
            _ => Ok(()),
        }
    }

    /// What holds when an input has been handled: the events told of every position, and no wait
    /// is open that the position meets.
    pub(crate) fn check_between_inputs(&self, positions: &Positions) -> Verdict {
        for (source, position) in positions.iter() {
            let told = self.positions.get(source);
            if told != Some(position) {
                let what = format!("is at {position}, its events told of {told:?}");
                return broken(Promise::HonestPosition, source, what);
            }
        }
        for (source, token) in self.waits.values() {
            let position = positions.get(source);
            if let Some(position) = position.filter(|position| position >= token) {
                let what = format!("the wait for {token} is open at {position}");
                return broken(Promise::Waits, source, what);
            }
        }
        Ok(())
    }

    fn of(&mut self, source: &Source) -> &mut Delivered {
        self.sources.entry(source.clone()).or_default()
    }

    fn on_rows(&mut self, source: &Source, token: Token, rows: &[Row], logs: &[Log]) -> Verdict {
        let Some(log) = logs.iter().find(|log| log.source == *source) else {
            return broken(Promise::Batches, source, "there is no such writer".to_owned());
        };
        // A shared fetch shows the rows of its stream's other writers.
        let entry = if log.traits.shared_fetch {
            let siblings = logs.iter().filter(|other| other.stream == log.stream);
            siblings.filter_map(|log| log.wrote(token, &rows[0])).next()
        } else {
            log.wrote(token, &rows[0])
        };
        let shown = || rows.iter().map(Row::as_str).collect::<Vec<_>>().join(" ");
        let whole = match (&entry, log.traits.order) {
            (None, _) => false,
            (Some(entry), Order::Rising) => *entry == rows,
            // Repeats inside a token may be left out, and only they.
            (Some(entry), _) => rows.iter().all(|row| entry.contains(row)),
        };
        let split = self.sources.get(source).is_some_and(|delivered| {
            delivered.gaps.iter().any(|(from, upto)| *from < token && token <= *upto)
        });
        // The gap that reports a split token follows its rows.
        let may_be_split =
            log.traits.splits_tokens && entry.is_some_and(|entry| entry.starts_with(rows));
        if !whole && !split && !may_be_split {
            let what = format!("at {token} came {}, written was {entry:?}", shown());
            return broken(Promise::Batches, source, what);
        }
        let once = log.traits.order != Order::Loose;
        if once {
            for (other, delivered) in &self.sources {
                let same = other == source
                    || (log.traits.shared_fetch && other.stream() == source.stream());
                let has = |tokens: Option<&BTreeMap<Token, Vec<Row>>>, row: &Row| {
                    tokens
                        .and_then(|tokens| tokens.get(&token))
                        .is_some_and(|rows| rows.contains(row))
                };
                let again = self.again.get(other);
                let repeated = |row: &&Row| has(Some(&delivered.tokens), row) && !has(again, row);
                if same && rows.iter().any(|row| repeated(&row)) {
                    let what = format!("{} at {token} came again, as {other} before", shown());
                    return broken(Promise::Once, source, what);
                }
            }
        }
        let delivered = self.sources.entry(source.clone()).or_default();
        if log.traits.order == Order::Rising {
            if let Some(last) = delivered.last_token.filter(|last| *last >= token) {
                return broken(Promise::Order, source, format!("{token} came after {last}"));
            }
            delivered.last_token = Some(token);
        }
        delivered.start.get_or_insert_with(|| token.before());
        delivered.tokens.entry(token).or_default().extend_from_slice(rows);
        if let Some(again) = self.again.get_mut(source) {
            again.remove(&token);
        }
        Ok(())
    }

    fn on_position(&mut self, source: &Source, position: Token, logs: &[Log]) -> Verdict {
        let delivered = self.sources.entry(source.clone()).or_default();
        if position < delivered.position {
            let what = format!("the position went from {} to {position}", delivered.position);
            return broken(Promise::ExplicitReset, source, what);
        }
        delivered.position = position;
        let Some(log) = logs.iter().find(|log| log.source == *source) else { return Ok(()) };
        if log.traits.resettable {
            // Rows of an epoch that is over are nobody's; what the writer holds is judged at the
            // end.
            return Ok(());
        }
        self.check_complete(log, position, Promise::HonestPosition)
    }

    /// Every row that the writer's log holds up to `position` was delivered or lies in a gap.
    fn check_complete(&self, log: &Log, position: Token, promise: Promise) -> Verdict {
        let source = &log.source;
        let Some(delivered) = self.sources.get(source) else { return Ok(()) };
        let start = delivered.start.unwrap_or(position);
        for (token, rows) in log.between(start, position) {
            // What a shared fetch shows under another writer's name counts for this one.
            let stands_for = |other: &Source| {
                other == source || (log.traits.shared_fetch && other.stream() == source.stream())
            };
            let in_gap = || {
                self.sources.iter().any(|(other, delivered)| {
                    stands_for(other)
                        && delivered.gaps.iter().any(|(from, upto)| *from < token && token <= *upto)
                })
            };
            let came = |row: &Row| {
                self.sources.iter().any(|(other, delivered)| {
                    stands_for(other)
                        && delivered.tokens.get(&token).is_some_and(|rows| rows.contains(row))
                })
            };
            // Rows of a token that was split are told by the gap that comes right behind them.
            let just_split = || {
                promise == Promise::HonestPosition && token == position && log.traits.splits_tokens
            };
            let excused = || in_gap() || just_split();
            if !rows.iter().all(came) && !excused() {
                let what = format!(
                    "the position is {position} but {} at {token} never came",
                    rows.iter().map(Row::as_str).collect::<Vec<_>>().join(" "),
                );
                return broken(promise, source, what);
            }
        }
        Ok(())
    }

    fn on_reset(&mut self, source: &Source, token: Token, logs: &[Log]) -> Verdict {
        self.resets += 1;
        if !logs.iter().any(|log| log.source == *source && log.traits.resettable) {
            let what = "a stream that cannot start over was reset".to_owned();
            return broken(Promise::ExplicitReset, source, what);
        }
        let live = self.of(source).live;
        *self.of(source) =
            Delivered { start: Some(token), position: token, live, ..Delivered::default() };
        Ok(())
    }

    /// The follower is started again from [`Oracle::positions`].
    pub(crate) fn on_follower_restart(&mut self, logs: &[Log]) {
        self.waits.clear();
        for (source, delivered) in &mut self.sources {
            let position = self.positions.get(source).unwrap_or(Token::START);
            delivered.live = false;
            delivered.position = position;
            let shared = logs.iter().any(|log| log.source == *source && log.traits.shared_fetch);
            let mut again = delivered.tokens.clone();
            if !shared {
                again.retain(|token, _| *token > position);
            }
            self.again.insert(source.clone(), again);
        }
    }

    /// With all faults gone, every source is live and has all that its writer holds.
    pub(crate) fn check_converged(&self, logs: &[Log]) -> Verdict {
        for log in logs {
            let source = &log.source;
            let Some(delivered) = self.sources.get(source) else {
                return broken(Promise::Progress, source, "was never heard of".to_owned());
            };
            if !delivered.live {
                return broken(Promise::Progress, source, "is not live".to_owned());
            }
            if delivered.position < log.last_token {
                let what =
                    format!("is at {}, its writer at {}", delivered.position, log.last_token);
                return broken(Promise::Progress, source, what);
            }
            self.check_complete(log, log.last_token, Promise::Complete)?;
        }
        Ok(())
    }
}
