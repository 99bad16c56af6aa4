//! The account of what the follower delivered, and its comparison with the writers' logs.

use std::collections::{BTreeMap, BTreeSet};

use synrepl_core::{
    Event, GapReason, Origin, Warning,
    stream::{Order, Row, Source, StreamTraits},
};

use super::writer::Writer;

/// What was delivered of one source since it was reset last.
#[derive(Clone, Debug, Default)]
struct Ledger {
    rows: BTreeSet<String>,
    last: Option<i64>,
    gaps: Vec<(i64, i64)>,
    position: Option<i64>,
    /// The token of which a part was delivered: a gap is to say so next.
    part: Option<i64>,
}

impl Ledger {
    fn in_gap(&self, token: i64) -> bool {
        self.gaps.iter().any(|(from, upto)| *from < token && token <= *upto)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Truth {
    traits: StreamTraits,
    ledgers: BTreeMap<String, Ledger>,
    /// The position at which a source started: rows at or below it are not expected.
    starts: BTreeMap<String, i64>,
    /// What was sent before the follower heard anything on the connection on which it got its first
    /// position: it is not owed that.
    pub(super) floors: BTreeMap<String, i64>,
    /// Tokens, by writer, of which a page was cut.
    pub(super) cut: BTreeSet<i64>,
    /// Tokens whose rows were lost on their way, all of them.
    pub(super) lost: BTreeSet<i64>,
    /// Tokens of which the follower has said that it does not look for them.
    left: BTreeSet<i64>,
    /// Whether an unclosed or loose stream had lines that could not be used.
    pub(super) may_be_unplaced: bool,
}

impl Truth {
    pub(super) fn new(traits: StreamTraits) -> Self {
        Self {
            traits,
            ledgers: BTreeMap::new(),
            starts: BTreeMap::new(),
            floors: BTreeMap::new(),
            cut: BTreeSet::new(),
            lost: BTreeSet::new(),
            left: BTreeSet::new(),
            may_be_unplaced: false,
        }
    }

    pub(super) fn start(&mut self, writer: &str, at: i64) {
        let floor = self.floors.get(writer).copied().unwrap_or(i64::MIN);
        self.starts.entry(writer.to_owned()).or_insert_with(|| at.max(floor));
    }

    /// Who has no position yet is new again on the next connection.
    pub(super) fn on_lost(&mut self) {
        let ledgers = &self.ledgers;
        self.floors.retain(|name, _| ledgers.get(name).is_some_and(|of| of.position.is_some()));
    }

    pub(super) fn position(&self, writer: &str) -> Option<i64> {
        self.ledgers.get(writer)?.position
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others deliver nothing")]
    pub(super) fn on_event(&mut self, event: &Event, writers: &[Writer]) -> Result<(), String> {
        let is_gap = matches!(event, Event::Gap { .. });
        if let Some((source, _)) = event.position()
            && let Some(part) = self.ledger(source).part.take()
            && !is_gap
        {
            return Err(format!("F4: only a part of {part} of {source}"));
        }
        match event {
            Event::Rows { source, token, rows, origin: Origin::Hole, position } => {
                let stands = self.ledger(source).position;
                if stands != Some(position.get()) || token > position {
                    return Err(format!("F12: {token} at {position}, not below {stands:?}"));
                }
                let last = self.ledger(source).last.take();
                let checked = self.on_rows(source, token.get(), rows, writers);
                let ledger = self.ledger(source);
                (ledger.last, ledger.part) = (last, None);
                checked?;
            }
            Event::Rows { source, token, rows, .. } => {
                self.on_rows(source, token.get(), rows, writers)?;
            }
            Event::Warning(Warning::HoleLeft { span, .. }) => {
                self.left.extend(span.from.get() + 1..=span.upto.get());
            }
            Event::Gap { source, span, reason } => {
                let (from, upto) = (span.from.get(), span.upto.get());
                let is_true = match reason {
                    GapReason::SplitToken => {
                        self.cut.range(from + 1..=upto.max(from + 1)).next().is_some()
                    }
                    GapReason::NoEndpoint | GapReason::GaveUp { .. } => false,
                    _ => self.may_be_unplaced,
                };
                if !is_true || from >= upto {
                    return Err(format!("F2: a gap {from}..{upto} of {source}: {reason:?}"));
                }
                self.ledger(source).gaps.push((from, upto));
            }
            Event::Reset { source, .. } if self.traits.resettable => {
                *self.ledger(source) = Ledger::default();
                self.starts.insert(source.instance().to_owned(), 0);
            }
            Event::Reset { source, .. } => return Err(format!("F10: reset of {source}")),
            // Each writer keeps its log, and is where it is asked for.
            Event::Discontinuity { .. }
            | Event::Rewound { .. }
            | Event::Warning(
                Warning::RowsGone { .. }
                | Warning::WrongAddress { error: None, .. }
                | Warning::NotRewound { .. },
            ) => return Err(format!("F11: {event:?}")),
            _ => {}
        }
        let Some((source, position)) = event.position() else { return Ok(()) };
        self.start(source.instance(), position.get());
        let before = self.ledger(source).position.replace(position.get());
        if before.is_some_and(|before| before > position.get()) {
            return Err(format!("F10: the position of {source} goes back to {position}"));
        }
        if self.traits.order != Order::Loose && !self.traits.resettable {
            self.check_complete(source.instance(), position.get(), writers, "F6")?;
        }
        Ok(())
    }

    fn on_rows(
        &mut self,
        source: &Source,
        token: i64,
        rows: &[Row],
        writers: &[Writer],
    ) -> Result<(), String> {
        let traits = self.traits;
        let is_cut = self.cut.contains(&token);
        let owner = writers.iter().find(|writer| writer.log.contains_key(&token));
        let others = self.ledgers.values().filter(|_| traits.shared_fetch);
        let others: BTreeSet<_> = others.flat_map(|ledger| ledger.rows.clone()).collect();
        let ledger = self.ledger(source);
        if traits.order == Order::Rising && !traits.shared_fetch {
            if ledger.last.is_some_and(|last| last >= token) {
                return Err(format!("F1: {token} of {source} after {:?}", ledger.last));
            }
            ledger.last = Some(token);
        }
        for row in rows {
            let text = row.as_str();
            let is_repeat = !ledger.rows.insert(text.to_owned()) || others.contains(text);
            if is_repeat && traits.order != Order::Loose {
                return Err(format!("F3: {token} {text} of {source}"));
            }
        }
        let Some(owner) = owner else { return Ok(()) };
        if traits.order == Order::Rising && !traits.resettable {
            let whole = &owner.log[&token];
            if whole.len() != rows.len() {
                if !is_cut {
                    return Err(format!("F4: {} rows of {token}, not {whole:?}", rows.len()));
                }
                if !self.ledgers.values().any(|ledger| ledger.in_gap(token)) {
                    self.ledger(source).part = Some(token);
                }
            }
        }
        Ok(())
    }

    /// Returns a token that was lost, and that was neither delivered since nor given up with a word.
    pub(super) fn missing(&self, writers: &[Writer]) -> Option<i64> {
        self.lost.iter().copied().find(|token| {
            let is_missing = |writer: &Writer| {
                let start = self.starts.get(&writer.name).copied().unwrap_or_default();
                let in_gap =
                    self.ledgers.get(&writer.name).is_some_and(|ledger| ledger.in_gap(*token));
                let rows = writer.log.get(token).filter(|_| start < *token && !in_gap);
                let came = |text| self.ledgers.values().any(|ledger| ledger.rows.contains(text));
                rows.is_some_and(|rows| !rows.iter().all(came))
            };
            !self.left.contains(token) && writers.iter().any(is_missing)
        })
    }

    fn ledger(&mut self, source: &Source) -> &mut Ledger {
        self.ledgers.entry(source.instance().to_owned()).or_default()
    }

    /// Checks that every row of a writer up to `upto` was delivered, or lies in a gap of that writer.
    pub(super) fn check_complete(
        &self,
        name: &str,
        upto: i64,
        writers: &[Writer],
        promise: &str,
    ) -> Result<(), String> {
        let Some(writer) = writers.iter().find(|writer| writer.name == name) else {
            return Ok(());
        };
        let start = self.starts.get(name).copied().unwrap_or_default();
        let nothing = Ledger::default();
        let ledger = self.ledgers.get(name).unwrap_or(&nothing);
        let is_there = |text: &String| {
            ledger.rows.contains(text)
                || self.traits.shared_fetch
                    && self.ledgers.values().any(|ledger| ledger.rows.contains(text))
        };
        for (token, rows) in writer.rows(start, upto) {
            let is_excused = self.left.contains(&token)
                || promise == "F6" && self.lost.contains(&token)
                || ledger.in_gap(token);
            if !is_excused && !rows.iter().all(is_there) {
                return Err(format!("{promise}: {token} {rows:?} of {name} never came"));
            }
        }
        Ok(())
    }
}
