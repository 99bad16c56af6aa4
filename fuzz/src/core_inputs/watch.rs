//! The rules of the node that hold for any list of inputs, judged from outside: inputs and actions
//! enter, a broken promise leaves (F1 to F6, F9, F10, P1 to P4).

mod audits;
mod connections;
mod outlet;
mod published;

use std::collections::{BTreeMap, BTreeSet};

use synrepl_core::{
    Action, Config, Event, FetchId, Input, Node, Origin, ReadId, Timestamp, WaitId, WaitOutcome,
    Warning,
    stream::{Order, Positions, Source, Span, StreamTraits, Token},
};

use self::{audits::Audits, connections::Connections, published::Published};
use super::logs::Logs;

/// The most reads of own logs in flight. The node limits them because each may bring many rows.
const READS_MAX: usize = 4;

/// A text that says which promise is broken, if any.
pub(super) type Verdict = Result<(), String>;

/// The tokens in the events of one source.
#[derive(Clone, Copy, Debug, Default)]
struct SourceState {
    position: Option<Token>,
    /// The last token of rows since the last reset.
    last: Option<Token>,
}

/// The observer of a node's inputs and actions.
pub(super) struct Watch {
    /// A token whose rows came with a position below it, so that a gap for its rest must be next.
    part_of: Option<(Source, Token)>,
    config: Config,
    sources: BTreeMap<Source, SourceState>,
    in_flight: BTreeMap<FetchId, Source>,
    /// Fetches in flight of rows that were delivered, to see whether the log is the same.
    looks: BTreeSet<FetchId>,
    queries: u64,
    reads: BTreeSet<ReadId>,
    audits: Audits,
    connections: Connections,
    published: Published,
    waits: BTreeMap<WaitId, Token>,
    stopped: bool,
}

impl Watch {
    pub(super) fn new(config: &Config) -> Self {
        let saved =
            config.positions.iter().filter(|(source, _)| source.instance() != config.instance);
        let sources = saved
            .map(|(source, token)| {
                (source.clone(), SourceState { position: Some(token), last: None })
            })
            .collect();
        Self {
            config: config.clone(),
            sources,
            in_flight: BTreeMap::new(),
            looks: BTreeSet::new(),
            queries: 0,
            reads: BTreeSet::new(),
            audits: Audits::new(config),
            connections: Connections::new(config),
            published: Published::new(config),
            waits: BTreeMap::new(),
            part_of: None,
            stopped: false,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others change nothing here")]
    pub(super) fn on_input(&mut self, now: Timestamp, input: &Input) {
        self.audits.on_input(now, input);
        self.connections.on_input(input);
        self.published.on_input(input);
        match input {
            Input::Fetched { query, .. } => {
                self.in_flight.remove(query);
                self.looks.remove(query);
            }
            Input::LogRead { query, .. } => {
                self.reads.remove(query);
            }
            Input::WaitFor { wait, token, .. } => {
                self.waits.insert(*wait, *token);
            }
            Input::CancelWait { wait } => {
                self.waits.remove(wait);
            }
            _ => {}
        }
    }

    pub(super) fn on_action(&mut self, action: &Action, logs: &Logs) -> Verdict {
        holds(!self.stopped, || format!("after the end: {action:?}"))?;
        match action {
            Action::Connect { conn } => self.connections.on_connect(*conn),
            Action::Close { conn } => self.connections.on_close(*conn),
            Action::Send { conn, command, .. } => {
                self.connections.on_send(*conn, command)?;
                self.published.on_send(*conn, command, logs)
            }
            Action::Broadcast { audience, command } => {
                let audience = audience.connections();
                holds(!audience.is_empty(), || "a broadcast to nobody".to_owned())?;
                audience.iter().try_for_each(|conn| {
                    holds(conn.is_accepted(), || format!("a broadcast to {conn}"))?;
                    self.connections.on_send(*conn, command)?;
                    self.published.on_send(*conn, command, logs)
                })
            }
            Action::ReadLog { query, stream, span: Span { from, upto }, rows_max } => {
                self.on_new_number(query.get())?;
                self.reads.insert(*query);
                let (count, end) = (self.reads.len(), self.published.end_of(stream));
                holds(count <= READS_MAX, || format!("F9: {count} reads in flight"))?;
                holds(from < upto && Some(*upto) <= end && *rows_max > 0, || {
                    format!("{action:?} of a log that ends at {end:?}")
                })
            }
            Action::Fetch { query, source, span: Span { from, upto } } => {
                self.on_fetch(*query, source, *from, *upto)
            }
            Action::CancelFetch { query } => {
                let known = self.in_flight.remove(query).is_some()
                    || self.looks.remove(query)
                    || self.audits.take(*query);
                holds(known, || format!("{query} was cancelled but is not in flight"))
            }
            Action::Notify(event) => self.on_event(event),
            other => Err(format!("an action that this driver does not know: {other:?}")),
        }
    }

    fn on_new_number(&mut self, number: u64) -> Verdict {
        holds(number > self.queries, || format!("q{number} was used before"))?;
        self.queries = number;
        Ok(())
    }

    /// Returns whether a fetch looks for rows of a loose stream that were lost below the position: the
    /// source is not live then, and it goes back only so far.
    fn looks_back(&self, source: &Source, from: Token, position: Option<Token>) -> bool {
        let reach = i64::from(self.config.catch_up.loose_reach_max);
        let is_loose = self.config.transport.traits_of(source.stream()).order == Order::Loose;
        let lowest = position.map(|position| position.get().saturating_sub(reach));
        is_loose && !self.audits.is_live(source) && lowest <= Some(from.get())
    }

    fn on_fetch(&mut self, query: FetchId, source: &Source, from: Token, upto: Token) -> Verdict {
        self.on_new_number(query.get())?;
        holds(from < upto, || format!("a fetch of ({from}, {upto}] of {source}"))?;
        self.check_wanted(source)?;
        let position = self.sources.get(source).and_then(|seen| seen.position);
        if self.looks_back(source, from, position) {
            self.in_flight.insert(query, source.clone());
        } else if self.config.continuity.continuity
            && (position >= Some(upto) || from == upto.before())
        {
            // A row alone may be one that was delivered, above the position of a burst as well.
            self.looks.insert(query);
        } else if position >= Some(upto) {
            self.audits.on_fetch(query, source, upto)?;
        } else {
            let twice = self.in_flight.values().any(|other| other == source);
            holds(!twice, || format!("two fetches of {source}"))?;
            self.in_flight.insert(query, source.clone());
        }
        let count = self.in_flight.len() + self.looks.len() + self.audits.in_flight();
        let max = self.config.catch_up.fetches_in_flight_max;
        holds(count <= max as usize, || format!("F9: {count} fetches in flight, {max} allowed"))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other events promise nothing")]
    fn on_event(&mut self, event: &Event) -> Verdict {
        if let Some((source, token)) = self.part_of.take() {
            let told = matches!(event, Event::Gap { source: of, span: Span { upto, .. }, .. }
                if *of == source && *upto == token);
            holds(told, || format!("F6: no gap behind a part of {token} of {source}"))?;
        }
        match event {
            Event::Stopped => {
                self.stopped = true;
                let all_gone = self.connections.is_empty();
                holds(all_gone, || "stopped with connections that are there".to_owned())?;
            }
            Event::Published { stream, token } => self.published.on_published(stream, *token)?,
            Event::Rows { source, token, rows, origin, position } => {
                holds(!rows.is_empty(), || format!("no rows at {token} of {source}"))?;
                if *origin == Origin::Audit {
                    let stands = self.sources.get(source).and_then(|seen| seen.position);
                    self.audits.on_found(source, *token, rows.iter(), (*position, stands))?;
                } else if *origin == Origin::Hole {
                    let stands = self.sources.get(source).and_then(|seen| seen.position);
                    holds(*token <= *position && Some(*position) == stands, || {
                        format!(
                            "F6: {token} of {source} from a hole, at {position}, not {stands:?}"
                        )
                    })?;
                    self.audits.on_delivered(source, *token, rows.iter());
                } else {
                    self.audits.on_delivered(source, *token, rows.iter());
                    self.on_rows(source, *token, *position)?;
                }
            }
            Event::Warning(Warning::NotAudited { source, span: Span { from, upto }, .. }) => {
                holds(from < upto, || format!("not audited ({from}, {upto}] of {source}"))?;
            }
            Event::Gap { source, span: Span { from, upto }, .. } => {
                holds(from < upto, || format!("a gap ({from}, {upto}] of {source}"))?;
            }
            Event::CatchingUp { source, span: Span { from, upto } } => {
                holds(from < upto, || format!("catching up ({from}, {upto}] of {source}"))?;
            }
            Event::Reset { source, from, .. } => {
                let resettable = self.traits(source).resettable;
                holds(resettable, || format!("F10: a reset of {source}"))?;
                let before = self.sources.insert(source.clone(), SourceState::default());
                let before = before.and_then(|seen| seen.position);
                holds(before == Some(*from), || format!("a reset of {source} from {before:?}"))?;
            }
            Event::Rewound { source, from, to } => {
                let resettable = self.traits(source).resettable;
                holds(!resettable && to < from, || format!("F11: {source} goes back to {to}"))?;
                let before = self.sources.insert(source.clone(), SourceState::default());
                let before = before.and_then(|seen| seen.position);
                holds(before == Some(*from), || format!("{source} goes back from {before:?}"))?;
            }
            Event::WaitEnded { wait, outcome } => self.on_wait_ended(*wait, *outcome)?,
            _ => {}
        }
        self.audits.on_event(event);
        match event.position() {
            Some((source, position)) => self.on_position(source, position),
            None => Ok(()),
        }
    }

    fn traits(&self, source: &Source) -> StreamTraits {
        self.config.transport.traits_of(source.stream())
    }

    fn on_rows(&mut self, source: &Source, token: Token, position: Token) -> Verdict {
        if self.traits(source).order != Order::Rising {
            return Ok(());
        }
        if position == token.before() && position != token {
            self.part_of = Some((source.clone(), token));
        } else {
            holds(token == position, || format!("F6: {token} of {source} at position {position}"))?;
        }
        let seen = self.sources.entry(source.clone()).or_default();
        let before = seen.last.max(seen.position);
        seen.last = Some(token);
        holds(before.is_none_or(|before| before < token), || {
            format!("F1: {token} of {source} came at {before:?}")
        })
    }

    fn on_position(&mut self, source: &Source, position: Token) -> Verdict {
        self.check_wanted(source)?;
        let seen = self.sources.entry(source.clone()).or_default();
        let before = seen.position.replace(position);
        holds(before.is_none_or(|before| before <= position), || {
            format!("F10: {source} went from {before:?} to {position}")
        })
    }

    fn on_wait_ended(&mut self, wait: WaitId, outcome: WaitOutcome) -> Verdict {
        let Some(token) = self.waits.remove(&wait) else {
            return Err(format!("{wait} ended but was not open"));
        };
        match outcome {
            WaitOutcome::Reached { position } => {
                holds(position >= token, || format!("{wait} for {token} ended at {position}"))
            }
            WaitOutcome::TimedOut { position } => {
                let too_early = position.is_none_or(|position| position < token);
                holds(too_early, || format!("{wait} for {token} timed out at {position:?}"))
            }
            WaitOutcome::Refused => Ok(()),
            other => Err(format!("an outcome that this driver does not know: {other:?}")),
        }
    }

    fn check_wanted(&self, source: &Source) -> Verdict {
        let own = source.instance() == self.config.instance;
        holds(!own, || format!("F5: {source} is our own"))?;
        let wanted = self.config.streams.as_ref().is_none_or(|all| all.contains(source.stream()));
        holds(wanted, || format!("{source} is not wanted"))
    }

    /// Checks what must hold once the actions of an input are carried out.
    pub(super) fn check(&self, node: &Node, now: Timestamp, input: &Input) -> Verdict {
        let (held, max) = (node.stats().held_bytes_now, self.config.limits.held_bytes_total_max);
        holds(held <= max, || format!("F9: {held} bytes held, {max} allowed"))?;
        let (waits, max) = (self.waits.len(), self.config.limits.waits_max);
        holds(waits <= max as usize, || format!("F9: {waits} waits are open, {max} allowed"))?;
        let sources = node.stats().sources_now;
        let max = u64::from(self.config.limits.sources_max);
        holds(sources <= max, || format!("F9: {sources} sources, {max} allowed"))?;
        if *input == Input::Tick {
            let next = node.poll_timeout();
            holds(next.is_none_or(|next| next > now), || format!("due again at once: {next:?}"))?;
        }
        holds(node.is_stopped() == self.stopped, || "stopped without saying so".to_owned())?;
        self.audits.check(node)?;
        self.connections.check()?;
        self.published.check(self.connections.open())?;
        self.check_positions(&node.positions())
    }

    /// Returns the most actions that an input may cause, with `rows` held or in the input.
    pub(super) fn actions_max(&self, node: &Node, rows: usize) -> usize {
        let (peers, streams) = (self.connections.open().count() + 1, self.published.streams() + 1);
        let sources = self.sources.len() + usize::try_from(node.stats().sources_now).unwrap_or(0);
        32 + 4 * (rows + sources + self.waits.len() + self.in_flight.len() + peers * streams)
    }

    /// Checks what must hold once the driver has nothing left to do.
    pub(super) fn check_complete(&self, bus_is_up: bool, logs: &Logs) -> Verdict {
        self.published.check_complete(self.connections.open(), bus_is_up, logs)
    }

    /// Checks that the node's positions are those of the events (F6).
    fn check_positions(&self, positions: &Positions) -> Verdict {
        for (source, token) in positions.iter() {
            let (stream, writer) = (source.stream(), source.instance());
            let seen =
                self.sources.get(&Source::new(stream, writer)).and_then(|seen| seen.position);
            holds(seen == Some(token), || {
                format!("F6: {stream} of {writer} is at {token}, its events say {seen:?}")
            })?;
        }
        Ok(())
    }
}

fn holds(rule: bool, broken: impl FnOnce() -> String) -> Verdict {
    if rule { Ok(()) } else { Err(broken()) }
}

#[cfg(test)]
mod tests {
    use synrepl_core::{
        Origin,
        stream::{Row, Rows},
    };

    use super::*;

    fn rows(source: &Source, token: i64, position: i64) -> Action {
        Action::Notify(Event::Rows {
            source: source.clone(),
            token: Token::new(token),
            rows: Rows::from(Row::from("[]")),
            origin: Origin::Live,
            position: Token::new(position),
        })
    }

    fn fetch(query: u64, source: &Source, from: i64, upto: i64) -> Action {
        let (from, upto) = (Token::new(from), Token::new(upto));
        Action::Fetch {
            query: FetchId::new(query),
            source: source.clone(),
            span: Span { from, upto },
        }
    }

    fn reset(source: &Source, from: i64) -> Action {
        let (from, token) = (Token::new(from), Token::START);
        Action::Notify(Event::Reset { source: source.clone(), from, token })
    }

    fn verdict(actions: &[Action]) -> Result<(), String> {
        let mut config = Config::default();
        config.catch_up.fetches_in_flight_max = 2;
        config.continuity.continuity = false;
        let mut watch = Watch::new(&config);
        let logs = Logs::default();
        actions.iter().try_for_each(|action| watch.on_action(action, &logs))
    }

    #[track_caller]
    fn breaks(actions: &[Action], expected: &str) {
        let (_, before) = actions.split_last().expect("there are actions");
        assert_eq!(verdict(before), Ok(()), "only the last one is wrong");
        let broken = verdict(actions).expect_err("it is wrong");
        assert!(broken.contains(expected), "{broken}");
    }

    #[test]
    fn rows_out_of_order_are_noticed() {
        let events = Source::new("events", "w0");
        breaks(&[rows(&events, 2, 2), rows(&events, 2, 2)], "F1");
        breaks(&[rows(&events, 4, 2)], "F6");
        breaks(&[rows(&events, 3, 2), rows(&events, 4, 4)], "F6");
        let typing = Source::new("typing", "w0");
        assert_eq!(verdict(&[rows(&typing, 2, 2), reset(&typing, 2), rows(&typing, 1, 1)]), Ok(()));
        let backfill = Source::new("backfill", "w0");
        assert_eq!(verdict(&[rows(&backfill, 3, 1), rows(&backfill, 2, 1)]), Ok(()));
        breaks(&[rows(&backfill, 3, 1), rows(&backfill, 4, 0)], "F10");
    }

    #[test]
    fn resets_that_cannot_be_are_noticed() {
        let events = Source::new("events", "w0");
        breaks(&[rows(&events, 2, 2), reset(&events, 2)], "F10");
        let typing = Source::new("typing", "w0");
        breaks(&[rows(&typing, 2, 2), reset(&typing, 5)], "from");
    }

    #[test]
    fn own_rows_are_noticed() {
        breaks(&[rows(&Source::new("events", "synrepl"), 2, 2)], "F5");
    }

    #[test]
    fn fetches_that_should_not_be_are_noticed() {
        let sources: Vec<_> =
            ["w0", "w1", "w2"].iter().map(|writer| Source::new("events", writer)).collect();
        breaks(&[fetch(1, &sources[0], 1, 2), fetch(2, &sources[0], 1, 2)], "two fetches");
        breaks(&[fetch(1, &sources[0], 1, 2), fetch(1, &sources[1], 1, 2)], "used before");
        breaks(&[fetch(1, &sources[0], 2, 2)], "(2, 2]");
        let fetches: Vec<_> =
            (1..).zip(&sources).map(|(query, source)| fetch(query, source, 1, 2)).collect();
        breaks(&fetches, "F9");
        breaks(&[Action::CancelFetch { query: FetchId::new(1) }], "not in flight");
    }

    #[test]
    fn anything_after_the_end_is_noticed() {
        let stopped = Action::Notify(Event::Stopped);
        breaks(&[stopped.clone(), stopped], "after the end");
    }
}
