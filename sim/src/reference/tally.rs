//! The tally of a receiver: its events enter, and with the writers' logs at the end, the rows that
//! it lost, repeated and mixed leave.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use synrepl_core::{
    Event,
    stream::{Order, Row, Source, Span, Token, traits},
};

use crate::Log;

/// The most examples of each kind that the text of [`Losses`] gives.
const EXAMPLES_MAX: usize = 3;

/// The rows of one token that their writer holds at the end of a run. All rows must differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Written {
    /// The source that they belong to.
    pub source: Source,
    /// Their token.
    pub token: Token,
    /// The rows, of which there is at least one.
    pub rows: Vec<Row>,
}

/// An account of the events of one receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The token at which each source started: rows up to it are not expected.
    starts: BTreeMap<Source, Token>,
    gaps: Vec<(Source, Token, Token)>,
    deliveries: Vec<Delivery>,
    /// The number of starts of the receiver: rows from before a restart may come again.
    lives: u32,
    /// The number of resets of each source: rows from before a reset may come again.
    resets: BTreeMap<Source, u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Delivery {
    life: (u32, u32),
    source: Source,
    token: Token,
    rows: Vec<Row>,
}

/// The rows that a receiver lost, repeated, mixed or tore. Each list gives the rows' own source and
/// token, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Losses {
    /// Rows that were never delivered, without a gap in their place.
    pub lost: Vec<(Source, Token, Row)>,
    /// Rows that were delivered more than once, but for streams in which that is usual.
    pub repeated: Vec<(Source, Token, Row)>,
    /// Rows that were delivered under another writer or token.
    pub mixed: Vec<(Source, Token, Row)>,
    /// Tokens whose rows were not delivered together.
    pub torn: Vec<(Source, Token)>,
    /// The number of gaps that were reported.
    pub gaps: usize,
}

impl Written {
    /// Returns the rows that these logs hold.
    pub fn of(logs: &[Log]) -> Vec<Self> {
        let held = |log: &Log| {
            let source = log.source().clone();
            log.rows()
                .map(|(token, rows)| Self { source: source.clone(), token, rows: rows.to_vec() })
                .collect::<Vec<_>>()
        };
        logs.iter().flat_map(held).collect()
    }
}

impl Tally {
    /// Takes account of a start of the receiver, the first or a later one.
    pub const fn on_start(&mut self) {
        self.lives += 1;
    }

    /// Takes account of an event.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest delivers nothing")]
    pub fn on_event(&mut self, event: &Event) {
        match event {
            Event::Rows { source, token, rows, .. } => {
                self.starts.entry(source.clone()).or_insert_with(|| token.before());
                let life = (self.lives, self.resets.get(source).copied().unwrap_or(0));
                let (source, rows) = (source.clone(), rows.to_vec());
                self.deliveries.push(Delivery { life, source, token: *token, rows });
            }
            Event::Live { source, token }
            | Event::Position { source, token }
            | Event::CatchingUp { source, span: Span { from: token, .. } } => {
                self.starts.entry(source.clone()).or_insert(*token);
            }
            Event::Reset { source, .. } => {
                *self.resets.entry(source.clone()).or_default() += 1;
                self.starts.insert(source.clone(), Token::START);
            }
            Event::Gap { source, span: Span { from, upto }, .. } => {
                self.gaps.push((source.clone(), *from, *upto));
            }
            _ => {}
        }
    }

    /// Returns the number of rows delivered.
    pub fn rows(&self) -> usize {
        self.deliveries.iter().map(|delivery| delivery.rows.len()).sum()
    }

    /// Compares the events with the rows that the writers hold at the end.
    pub fn losses(&self, written: &[Written]) -> Losses {
        let mut came: BTreeMap<&Row, Vec<&Delivery>> = BTreeMap::new();
        for delivery in &self.deliveries {
            for row in &delivery.rows {
                came.entry(row).or_default().push(delivery);
            }
        }
        let mut losses = Losses { gaps: self.gaps.len(), ..Losses::default() };
        for Written { source, token, rows } in written {
            let start = self.starts.get(source).copied().unwrap_or(Token::START);
            let in_gap = self
                .gaps
                .iter()
                .any(|(of, from, upto)| of == source && from < token && token <= upto);
            let traits = traits(source.stream());
            let mut together = BTreeSet::new();
            for row in rows {
                let deliveries = came.get(row).map_or(&[][..], Vec::as_slice);
                let named = || (source.clone(), *token, row.clone());
                if deliveries.is_empty() && *token > start && !in_gap {
                    losses.lost.push(named());
                }
                let mut again = deliveries.iter().zip(deliveries.iter().skip(1));
                if traits.order != Order::Loose && again.any(|(a, b)| a.life == b.life) {
                    losses.repeated.push(named());
                }
                let own = |delivery: &&&Delivery| {
                    delivery.token == *token
                        && (delivery.source == *source
                            || traits.shared_fetch && delivery.source.stream() == source.stream())
                };
                if deliveries.iter().any(|delivery| !own(&delivery)) {
                    losses.mixed.push(named());
                }
                together.insert(deliveries.first().map(|delivery| std::ptr::from_ref(*delivery)));
            }
            if together.len() > 1 && !in_gap && traits.order == Order::Rising {
                losses.torn.push((source.clone(), *token));
            }
        }
        losses
    }
}

impl Losses {
    /// Adds the losses of another receiver.
    pub fn add(&mut self, other: Self) {
        let Self { lost, repeated, mixed, torn, gaps } = other;
        self.lost.extend(lost);
        self.repeated.extend(repeated);
        self.mixed.extend(mixed);
        self.torn.extend(torn);
        self.gaps += gaps;
    }

    /// Returns whether no row was lost, repeated, mixed or torn; gaps do not count.
    pub fn is_empty(&self) -> bool {
        let Self { lost, repeated, mixed, torn, gaps: _ } = self;
        lost.is_empty() && repeated.is_empty() && mixed.is_empty() && torn.is_empty()
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, repeated, mixed, torn, gaps } = self;
        write!(
            f,
            "{} rows lost, {} repeated, {} under another writer or token, {} batches torn",
            lost.len(),
            repeated.len(),
            mixed.len(),
            torn.len()
        )?;
        if *gaps > 0 {
            write!(f, ", {gaps} gaps told")?;
        }
        for (kind, rows) in [("lost", lost), ("repeated", repeated), ("mixed", mixed)] {
            for (source, token, row) in rows.iter().take(EXAMPLES_MAX) {
                write!(f, "\n    {kind}: {source} {token} {}", row.as_str())?;
            }
            if rows.len() > EXAMPLES_MAX {
                write!(f, "\n    and {} more {kind}", rows.len() - EXAMPLES_MAX)?;
            }
        }
        for (source, token) in torn.iter().take(EXAMPLES_MAX) {
            write!(f, "\n    torn: {source} {token}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use synrepl_core::{GapReason, Origin, stream::Rows};

    use super::*;

    fn source(instance: &str) -> Source {
        Source::new("events", instance)
    }

    fn rows(instance: &str, token: i64, rows: &[&str]) -> Event {
        Event::Rows {
            source: source(instance),
            token: Token::new(token),
            rows: Rows::new(rows.iter().map(|row| Row::from(*row)).collect()).unwrap(),
            origin: Origin::Live,
            position: Token::new(token),
        }
    }

    fn written(instance: &str, token: i64, rows: &[&str]) -> Written {
        let rows = rows.iter().map(|row| Row::from(*row)).collect();
        Written { source: source(instance), token: Token::new(token), rows }
    }

    fn tally(events: &[Event]) -> Tally {
        let mut tally = Tally::default();
        for instance in ["a", "b"] {
            let live = Event::Live { source: source(instance), token: Token::new(1) };
            tally.on_event(&live);
        }
        events.iter().for_each(|event| tally.on_event(event));
        tally
    }

    #[test]
    fn whole_batches_in_their_place_are_no_loss() {
        let written = [written("a", 2, &["1", "2"]), written("b", 3, &["3"])];
        let tally = tally(&[rows("a", 2, &["1", "2"]), rows("b", 3, &["3"])]);
        assert!(tally.losses(&written).is_empty());
        assert_eq!(tally.rows(), 3);
    }

    #[test]
    fn a_row_that_never_came_is_lost_unless_a_gap_tells() {
        let written = [written("a", 2, &["1"])];
        assert_eq!(tally(&[]).losses(&written).lost.len(), 1);
        let gap = Event::Gap {
            source: source("a"),
            span: Span::new(Token::new(1), Token::new(2)),
            reason: GapReason::NoEndpoint,
        };
        let losses = tally(&[gap]).losses(&written);
        assert!(losses.is_empty() && losses.gaps == 1);
    }

    #[test]
    fn rows_from_before_the_start_are_not_missed() {
        assert!(tally(&[]).losses(&[written("a", 1, &["1"])]).is_empty());
    }

    #[test]
    fn rows_of_two_writers_under_one_token_are_mixed_and_torn() {
        let written = [written("a", 2, &["1", "2"]), written("b", 3, &["3"])];
        let tally = tally(&[rows("b", 3, &["1", "3"]), rows("a", 2, &["2"])]);
        let losses = tally.losses(&written);
        assert_eq!(losses.mixed, [(source("a"), Token::new(2), Row::from("1"))]);
        assert_eq!(losses.torn, [(source("a"), Token::new(2))]);
        assert!(losses.lost.is_empty());
    }

    #[test]
    fn a_row_that_came_before_a_restart_may_come_again() {
        let written = [written("a", 2, &["1"])];
        let mut tally = tally(&[rows("a", 2, &["1"])]);
        tally.on_start();
        tally.on_event(&rows("a", 2, &["1"]));
        assert!(tally.losses(&written).is_empty());
    }

    #[test]
    fn a_row_that_came_before_its_stream_started_over_may_come_again() {
        let (from, token) = (Token::new(2), Token::START);
        let reset = Event::Reset { source: source("a"), from, token };
        let tally = tally(&[rows("a", 2, &["1"]), reset, rows("a", 2, &["1"])]);
        assert!(tally.losses(&[written("a", 2, &["1"])]).is_empty());
    }

    #[test]
    fn a_row_that_came_twice_is_repeated() {
        let written = [written("a", 2, &["1"])];
        let tally = tally(&[rows("a", 2, &["1"]), rows("a", 2, &["1"])]);
        assert_eq!(tally.losses(&written).repeated.len(), 1);
    }
}
