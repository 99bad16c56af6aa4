//! The rules of the audit, judged from outside: it compares only settled tokens of live sources,
//! and finds no row that was delivered.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use synrepl_core::{
    Config, Event, FetchId, Input, Node, Timestamp,
    stream::{Row, Source, Token, traits},
};

use super::{Verdict, holds};

/// The state of a source, by its events.
#[derive(Default)]
struct Followed {
    live: bool,
    /// The positions that it has had, each with its time.
    stood: Vec<(Timestamp, Token)>,
    /// The last token of rows that an audit found since the last reset.
    found: Option<Token>,
}

/// The fetch of an audit.
struct Asked {
    query: FetchId,
    source: Source,
    /// Whether the audit has ended, so that the fetch must be cancelled before the next input.
    is_over: bool,
}

/// A stream and its writer; no writer if fetches are shared.
type Compared = (String, Option<String>);

pub(super) struct Audits {
    every: Option<Duration>,
    /// Whether holes are looked into.
    looks: bool,
    rows_total_max: u64,
    now: Timestamp,
    sources: BTreeMap<Source, Followed>,
    delivered: BTreeMap<Compared, BTreeSet<(Token, Row)>>,
    asked: Option<Asked>,
    /// The looks in flight.
    looked: BTreeSet<FetchId>,
}

impl Audits {
    pub(super) fn new(config: &Config) -> Self {
        let mut audits = Self {
            every: config.audit.audit_every,
            looks: config.holes.look_into_holes,
            rows_total_max: config.audit.audit_rows_total_max,
            now: Timestamp::ZERO,
            sources: BTreeMap::new(),
            delivered: BTreeMap::new(),
            asked: None,
            looked: BTreeSet::new(),
        };
        for (source, token) in config.positions.iter() {
            audits.stands(source, token);
        }
        audits
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others change nothing here")]
    pub(super) fn on_input(&mut self, now: Timestamp, input: &Input) {
        self.now = now;
        match input {
            Input::Fetched { query, .. } => {
                self.take(*query);
            }
            Input::Disconnected { conn, .. } if !conn.is_accepted() => {
                self.sources.values_mut().for_each(|source| source.live = false);
                self.ends(|_| true);
            }
            Input::Shutdown => self.ends(|_| true),
            _ => {}
        }
    }

    /// Ends the audit's fetch, or a look, if it has this id. Returns whether it did.
    pub(super) fn take(&mut self, query: FetchId) -> bool {
        self.looked.remove(&query) || self.asked.take_if(|asked| asked.query == query).is_some()
    }

    fn ends(&mut self, of: impl Fn(&Source) -> bool) {
        if let Some(asked) = self.asked.as_mut().filter(|asked| of(&asked.source)) {
            asked.is_over = true;
        }
    }

    fn stands(&mut self, source: &Source, position: Token) {
        let now = self.now;
        self.sources.entry(source.clone()).or_default().stood.push((now, position));
    }

    pub(super) fn is_live(&self, source: &Source) -> bool {
        self.sources.get(source).is_some_and(|followed| followed.live)
    }

    pub(super) fn in_flight(&self) -> usize {
        usize::from(self.asked.is_some()) + self.looked.len()
    }

    /// Checks a fetch at or below the position, which only an audit or a look may send.
    pub(super) fn on_fetch(&mut self, query: FetchId, source: &Source, upto: Token) -> Verdict {
        let Some(every) = self.every else {
            if self.looks {
                self.looked.insert(query);
                return Ok(());
            }
            return Err(format!("{source} is fetched again up to {upto}, but no audit is wanted"));
        };
        holds(self.asked.is_none(), || format!("two audits, the second of {source}"))?;
        let followed = self.sources.entry(source.clone()).or_default();
        holds(followed.live, || format!("an audit of {source}, which is not live"))?;
        // Jitter shortens a period by up to a quarter.
        let micros = u64::try_from(every.mul_f64(0.75).as_micros()).unwrap_or(u64::MAX);
        let before = self.now.as_micros().checked_sub(micros).map(Timestamp::from_micros);
        let stood = followed.stood.iter().rev().find(|(at, _)| Some(*at) <= before);
        let settled = stood.map(|(_, position)| *position);
        holds(settled >= Some(upto), || {
            format!("an audit of {source} up to {upto}, which a period before stood at {settled:?}")
        })?;
        self.asked = Some(Asked { query, source: source.clone(), is_over: false });
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others change nothing here")]
    pub(super) fn on_event(&mut self, event: &Event) {
        match event {
            Event::Live { source, .. } => {
                self.sources.entry(source.clone()).or_default().live = true;
            }
            Event::CatchingUp { source, .. } => {
                self.sources.entry(source.clone()).or_default().live = false;
            }
            Event::NotLive { source, .. } => {
                self.sources.entry(source.clone()).or_default().live = false;
                self.ends(|of| of == source);
            }
            Event::Reset { source, .. } => {
                self.sources.remove(source);
                self.delivered.remove(&compared(source));
                self.ends(|of| of == source);
            }
            _ => {}
        }
        if let Some((source, position)) = event.position() {
            self.stands(source, position);
        }
    }

    pub(super) fn on_delivered<'a>(
        &mut self,
        source: &Source,
        token: Token,
        rows: impl Iterator<Item = &'a Row>,
    ) {
        if self.every.is_some() {
            let delivered = self.delivered.entry(compared(source)).or_default();
            delivered.extend(rows.map(|row| (token, row.clone())));
        }
    }

    /// Checks rows that an audit found, of a source whose position is `stands`.
    pub(super) fn on_found<'a>(
        &mut self,
        source: &Source,
        token: Token,
        rows: impl Iterator<Item = &'a Row> + Clone,
        (position, stands): (Token, Option<Token>),
    ) -> Verdict {
        holds(self.every.is_some(), || "no audit is wanted".to_owned())?;
        holds(stands == Some(position) && token <= position, || {
            format!("F6: found {token} of {source} at {position}, which stands at {stands:?}")
        })?;
        let found = self.sources.entry(source.clone()).or_default().found.replace(token);
        holds(found < Some(token), || format!("F1: found {token} of {source} after {found:?}"))?;
        if let Some(delivered) = self.delivered.get(&compared(source))
            && let Some(row) = rows.clone().find(|row| delivered.contains(&(token, (*row).clone())))
        {
            return Err(format!("F3: found {row:?} at {token} of {source}, which had come"));
        }
        self.on_delivered(source, token, rows);
        Ok(())
    }

    /// Checks what must hold between two inputs.
    pub(super) fn check(&self, node: &Node) -> Verdict {
        let over = self.asked.as_ref().filter(|asked| asked.is_over);
        holds(over.is_none(), || "an audit goes on beyond what it was for".to_owned())?;
        let (rows, max) = (node.stats().audit_rows_now, self.rows_total_max);
        holds(rows <= max, || format!("F9: {rows} rows remembered, {max} allowed"))
    }
}

fn compared(source: &Source) -> Compared {
    let shared = traits(source.stream()).shared_fetch;
    let writer = (!shared).then(|| source.instance().to_owned());
    (source.stream().to_owned(), writer)
}

#[cfg(test)]
mod tests {
    use synrepl_core::{ConnectionId, stream::Span};

    use super::*;

    const EVENTS: &str = "events";
    const SHARED: &str = "profile_updates";

    fn source(stream: &str, writer: &str) -> Source {
        Source::new(stream, writer)
    }

    /// Returns a source of `stream` that went live at 5 and moved to 9, 2 s later.
    fn audited(stream: &str) -> Audits {
        let mut config = Config::default();
        config.audit.audit_every = Some(Duration::from_secs(1));
        let mut audits = Audits::new(&config);
        let (source, token) = (source(stream, "w0"), Token::new(5));
        audits.on_event(&Event::Live { source: source.clone(), token });
        audits.on_input(Timestamp::from_micros(2_000_000), &Input::Tick);
        audits.on_event(&Event::Position { source, token: Token::new(9) });
        audits
    }

    fn asked(audits: &mut Audits, upto: i64) -> Verdict {
        audits.on_fetch(FetchId::new(1), &source(EVENTS, "w0"), Token::new(upto))
    }

    fn found(audits: &mut Audits, (stream, writer): (&str, &str), token: i64) -> Verdict {
        let stands = Token::new(9);
        let rows = [Row::from("[1]")];
        let source = source(stream, writer);
        audits.on_found(&source, Token::new(token), rows.iter(), (stands, Some(stands)))
    }

    #[track_caller]
    fn breaks(verdict: Verdict, expected: &str) {
        let broken = verdict.expect_err("it is wrong");
        assert!(broken.contains(expected), "{broken}");
    }

    #[test]
    fn what_is_merely_late_is_not_to_be_asked_for() {
        assert_eq!(asked(&mut audited(EVENTS), 5), Ok(()));
        breaks(asked(&mut audited(EVENTS), 6), "a period before");
    }

    #[test]
    fn a_source_that_is_not_live_is_not_to_be_audited() {
        let mut audits = audited(EVENTS);
        let (from, upto) = (Token::new(9), Token::new(10));
        audits.on_event(&Event::CatchingUp {
            source: source(EVENTS, "w0"),
            span: Span { from, upto },
        });
        breaks(asked(&mut audits, 5), "not live");
        let mut config = Config::default();
        config.holes.look_into_holes = false;
        breaks(asked(&mut Audits::new(&config), 5), "no audit is wanted");
    }

    #[test]
    fn an_audit_that_outlives_what_it_was_for_is_noticed() {
        let (lost, later) = (ConnectionId::new(1), Timestamp::from_micros(3_000_000));
        let lost = Input::Disconnected { conn: lost, reason: String::new() };
        let (source, token) = (source(EVENTS, "w0"), Token::new(9));
        let not_live = Event::NotLive { source: source.clone(), token };
        let reset = Event::Reset { source, from: token, token: Token::START };
        let ends: [&dyn Fn(&mut Audits); 4] = [
            &|audits| audits.on_input(later, &lost),
            &|audits| audits.on_input(later, &Input::Shutdown),
            &|audits| audits.on_event(&not_live),
            &|audits| audits.on_event(&reset),
        ];
        let node = Node::new(Config::default()).expect("settings that can be");
        for end in ends {
            let mut audits = audited(EVENTS);
            assert_eq!(asked(&mut audits, 5), Ok(()));
            assert_eq!(audits.check(&node), Ok(()));
            breaks(asked(&mut audits, 5), "two audits");
            end(&mut audits);
            breaks(audits.check(&node), "goes on");
            assert!(audits.take(FetchId::new(1)), "it was in flight");
            assert_eq!(audits.check(&node), Ok(()));
        }
    }

    #[test]
    fn rows_that_came_are_not_to_be_found() {
        let mut audits = audited(EVENTS);
        let row = Row::from("[1]");
        audits.on_delivered(&source(EVENTS, "w0"), Token::new(3), std::iter::once(&row));
        assert_eq!(found(&mut audits, (EVENTS, "w0"), 2), Ok(()));
        assert_eq!(found(&mut audits, (EVENTS, "w1"), 3), Ok(()), "another writer's");
        breaks(found(&mut audits, (EVENTS, "w0"), 3), "F3");
        breaks(found(&mut audits, (EVENTS, "w0"), 3), "F1");
    }

    #[test]
    fn what_one_audit_found_is_not_to_be_found_by_one_that_sees_the_same() {
        let mut audits = audited(SHARED);
        assert_eq!(found(&mut audits, (SHARED, "w0"), 3), Ok(()));
        breaks(found(&mut audits, (SHARED, "w1"), 3), "F3");
    }

    #[test]
    fn a_position_that_an_audit_moves_is_noticed() {
        let rows = [Row::from("[1]")];
        let source = source(EVENTS, "w0");
        for (token, position, stands) in [(3, 3, 9), (10, 9, 9)] {
            let at = (Token::new(position), Some(Token::new(stands)));
            let verdict = audited(EVENTS).on_found(&source, Token::new(token), rows.iter(), at);
            breaks(verdict, "F6");
        }
    }
}
