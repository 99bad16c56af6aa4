//! Continuity (F11): two writers, the addresses at which their logs are read, and what can happen to
//! either. Each fault is shown with continuity off first: rows of another instance are delivered, or
//! rows are lost, and nothing says so.

#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    reason = "tests say what they expect"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::bench::Bench;
use synrepl_core::{
    Action, Break, Config, Event, GapReason, Input, Warning,
    stream::{Page, Positions, Row, Source, Span, Token},
};

const WRITERS: [&str; 2] = ["a", "b"];
/// The one row of `receipts`, at 6.
const RECEIPT: &str = r#"["!r","m.read","@u:h","$e",null,{}]"#;

/// A deployment of two writers of `events`, whose tokens come from one sequence, and a follower.
struct World {
    bench: Bench,
    has_continuity: bool,
    /// What each writer's database has, by writer.
    logs: BTreeMap<&'static str, BTreeMap<i64, Row>>,
    /// Who answers at the address of each writer.
    addresses: BTreeMap<String, &'static str>,
    next_token: i64,
    next_id: u32,
    /// Every row that a writer ever wrote, by writer.
    written: BTreeMap<&'static str, BTreeSet<Row>>,
    rows: Vec<(Source, Token, Row)>,
    gaps: Vec<(Source, Span, GapReason)>,
    breaks: Vec<(Source, Break)>,
    rewinds: Vec<(Source, Token, Token)>,
    warnings: Vec<Warning>,
}

fn source(writer: &str) -> Source {
    Source::new("events", writer)
}

fn config(has_continuity: bool, positions: Positions) -> Config {
    let mut config = Config::default();
    config.continuity.continuity = has_continuity;
    config.continuity.anchor_every = Duration::ZERO;
    config.positions = positions;
    config
}

impl World {
    fn new(has_continuity: bool) -> Self {
        let mut world = Self {
            bench: Bench::new(config(has_continuity, Positions::new())),
            has_continuity,
            logs: WRITERS.map(|writer| (writer, BTreeMap::new())).into(),
            addresses: WRITERS.map(|writer| (writer.to_owned(), writer)).into(),
            next_token: 10,
            next_id: 0,
            written: WRITERS.map(|writer| (writer, BTreeSet::new())).into(),
            rows: Vec::new(),
            gaps: Vec::new(),
            breaks: Vec::new(),
            rewinds: Vec::new(),
            warnings: Vec::new(),
        };
        world.bench.actions();
        world.connect();
        world
    }

    fn connect(&mut self) {
        let made = self.bench.made();
        self.hand(made);
        self.announce_all();
    }

    /// The connection is lost, `while_away` happens, and a new one is made.
    fn reconnect(&mut self, while_away: impl FnOnce(&mut Self)) {
        let lost = self.bench.lost();
        self.hand(lost);
        while_away(self);
        self.pass(10);
        if self.bench.is_connecting() {
            self.connect();
        }
        self.pass(30);
    }

    /// The process ends and another one resumes from what was saved.
    fn restart(&mut self, while_away: impl FnOnce(&mut Self)) {
        let saved = serde_json::to_string(&self.bench.node.positions()).unwrap();
        while_away(self);
        let positions = serde_json::from_str(&saved).unwrap();
        self.bench = Bench::new(config(self.has_continuity, positions));
        self.bench.actions();
        self.connect();
        self.pass(30);
    }

    fn announce_all(&mut self) {
        for writer in WRITERS {
            let token = self.logs[writer].keys().last().copied().unwrap_or(10);
            self.announce(writer, token);
        }
    }

    fn announce(&mut self, writer: &str, token: i64) {
        self.line(&format!("POSITION events {writer} {token} {token}"));
    }

    /// A writer writes a row of its own under the next token.
    fn write(&mut self, writer: &'static str) -> (i64, Row) {
        self.next_token += 1;
        self.next_id += 1;
        let text = format!(r#"["ev",["${}-{writer}","!r","m.x",null,null,null]]"#, self.next_id);
        let row = Row::from(text.as_str());
        self.logs.get_mut(writer).unwrap().insert(self.next_token, row.clone());
        self.written.get_mut(writer).unwrap().insert(row.clone());
        (self.next_token, row)
    }

    fn write_and_send(&mut self, writer: &'static str) {
        let (token, row) = self.write(writer);
        self.line(&format!("RDATA events {writer} {token} {}", row.as_str()));
    }

    fn swap_addresses(&mut self) {
        self.addresses = [("a".to_owned(), "b"), ("b".to_owned(), "a")].into();
    }

    fn put_addresses_right(&mut self) {
        self.addresses = WRITERS.map(|writer| (writer.to_owned(), writer)).into();
    }

    fn line(&mut self, line: &str) {
        let actions = self.bench.hear(line);
        self.act(actions);
    }

    fn hand(&mut self, input: Input) {
        let actions = self.bench.handle(input);
        self.act(actions);
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let actions = self.bench.pass(Duration::from_secs(1));
            self.act(actions);
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Fetch { query, source, span } => {
                    let page = self.answer(&source, span);
                    self.hand(Input::Fetched { query, result: Ok(page) });
                }
                Action::Notify(event) => self.note(event),
                _ => {}
            }
        }
    }

    /// An instance answers with the rows that it wrote itself, whoever was meant.
    fn answer(&self, source: &Source, span: Span) -> Page {
        if source.stream() == "receipts" {
            let updates = vec![(Token::new(6), Row::from(RECEIPT))];
            return Page { updates, upto: span.upto, limited: false };
        }
        let log = &self.logs[self.addresses[source.instance()]];
        let within = |token: &i64| span.contains(Token::new(*token));
        let rows = log.iter().filter(|(token, _)| within(token));
        let updates = rows.map(|(token, row)| (Token::new(*token), row.clone())).collect();
        Page { updates, upto: span.upto, limited: false }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Rows { source, token, rows, .. } => {
                let rows = rows.iter().map(|row| (source.clone(), token, row.clone()));
                self.rows.extend(rows.collect::<Vec<_>>());
            }
            Event::Gap { source, span, reason } => self.gaps.push((source, span, reason)),
            Event::Discontinuity { source, why, .. } => self.breaks.push((source, why)),
            Event::Rewound { source, from, to } => self.rewinds.push((source, from, to)),
            Event::Warning(warning) => self.warnings.push(warning),
            _ => {}
        }
    }

    /// The rows that were delivered under a writer that never wrote them.
    fn mixed(&self) -> usize {
        let is_mixed = |(source, _, row): &&(Source, Token, Row)| {
            !self.written[source.instance()].contains(row)
        };
        self.rows.iter().filter(is_mixed).count()
    }

    /// The tokens of rows in the logs that were neither delivered nor lie in a gap.
    fn lost(&self) -> Vec<i64> {
        let mut lost = Vec::new();
        for (writer, log) in &self.logs {
            let of = source(writer);
            for (token, row) in log {
                let token = Token::new(*token);
                let is_told = self.rows.contains(&(of.clone(), token, row.clone()))
                    || self.gaps.iter().any(|(gap, span, _)| *gap == of && span.contains(token));
                if !is_told {
                    lost.push(token.get());
                }
            }
        }
        lost
    }
}

/// A world in which each writer has sent a few rows, and all were delivered.
fn settled(has_continuity: bool) -> World {
    let mut world = World::new(has_continuity);
    for _ in 0..4 {
        for writer in WRITERS {
            world.write_and_send(writer);
        }
    }
    world.pass(3);
    assert_eq!((world.lost(), world.mixed()), (vec![], 0));
    world
}

fn write_three_each(world: &mut World) {
    for _ in 0..3 {
        for writer in WRITERS {
            world.write(writer);
        }
    }
}

fn swap(world: &mut World) {
    write_three_each(world);
    world.swap_addresses();
}

#[test]
fn rows_of_swapped_addresses_are_not_taken_for_those_of_the_other() {
    let mut unseen = settled(false);
    unseen.reconnect(swap);
    assert_eq!((unseen.mixed(), unseen.gaps.len()), (6, 0), "without continuity they are");

    let mut world = settled(true);
    world.reconnect(swap);
    assert_eq!((world.mixed(), world.lost()), (0, vec![]));
}

#[test]
fn a_process_that_resumes_at_swapped_addresses_takes_no_row_for_another() {
    let mut world = settled(true);
    world.restart(swap);
    assert_eq!(world.mixed(), 0);
    assert_eq!(world.lost(), Vec::<i64>::new());
    let broken: BTreeSet<_> = world.breaks.iter().map(|(source, _)| source.clone()).collect();
    assert_eq!(broken, WRITERS.map(source).into());
    assert!(world.breaks.iter().all(|(_, why)| *why == Break::NoRows { looked_for: 4 }));
    assert!(world.gaps.iter().all(|(_, _, reason)| *reason == GapReason::Discontinuity));

    // What is sent goes on being delivered, and what is missed once the addresses are right.
    for writer in WRITERS {
        world.write_and_send(writer);
    }
    let (told, gaps) = (world.breaks.len(), world.gaps.len());
    world.reconnect(|world| {
        write_three_each(world);
        world.put_addresses_right();
    });
    assert_eq!((world.mixed(), world.lost()), (0, vec![]));
    assert_eq!((world.breaks.len(), world.gaps.len()), (told, gaps));
}

#[test]
fn swapped_addresses_are_told_with_the_first_rows_before_any_is_missed() {
    let mut world = World::new(true);
    world.swap_addresses();
    for _ in 0..3 {
        for writer in WRITERS {
            world.write_and_send(writer);
            world.pass(1);
        }
    }
    let told = world.warnings.iter().filter_map(|warning| match warning {
        Warning::WrongAddress { source, looks: 3, error: None } => Some(source.instance()),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), WRITERS);
    assert_eq!(world.gaps, []);
}

/// The database goes back to the state of some time ago, and the writer begins anew from there.
fn restore(world: &mut World) {
    let log = world.logs.get_mut("a").unwrap();
    let kept = *log.keys().nth(1).unwrap();
    log.retain(|token, _| *token <= kept);
    world.next_token = kept;
    world.announce("a", kept);
    for _ in 0..5 {
        world.write_and_send("a");
        world.pass(1);
    }
}

#[test]
fn rows_under_tokens_that_a_restored_log_gives_out_again_are_delivered() {
    let mut unseen = settled(false);
    restore(&mut unseen);
    unseen.pass(30);
    assert_eq!(unseen.lost().len(), 4, "without continuity they are dropped as old ones");
    assert_eq!((unseen.gaps.len(), unseen.warnings.len()), (0, 0));

    let mut world = settled(true);
    restore(&mut world);
    world.pass(30);
    assert_eq!((world.lost(), world.mixed()), (vec![], 0));
    let tokens = (Token::new(17), Token::new(13));
    assert_eq!(world.rewinds, [(source("a"), tokens.0, tokens.1)]);
    assert_eq!((world.breaks.len(), world.gaps.len()), (0, 0));
}

#[test]
fn a_log_that_was_restored_and_written_past_the_position_is_a_gap_from_where_it_is_the_same() {
    let rewrite = |world: &mut World| {
        let log = world.logs.get_mut("a").unwrap();
        let kept = *log.keys().nth(1).unwrap();
        log.retain(|token, _| *token <= kept);
        world.next_token = kept;
        for _ in 0..9 {
            world.write("a");
        }
    };
    let mut unseen = settled(false);
    unseen.reconnect(rewrite);
    assert_eq!((unseen.lost().len(), unseen.gaps.len()), (4, 0), "without continuity");

    let mut world = settled(true);
    world.reconnect(rewrite);
    assert_eq!((world.lost(), world.mixed()), (vec![], 0));
    let [(broken, Break::OtherRows { same_upto, .. })] = &world.breaks[..] else {
        panic!("{:?}", world.breaks)
    };
    assert_eq!((broken, *same_upto), (&source("a"), Some(Token::new(13))));
}

#[test]
fn a_log_that_was_emptied_is_told_when_something_is_to_be_fetched() {
    let empty = |world: &mut World| {
        // Two rows were written and are gone with the others, and nothing else tells of them.
        world.write("a");
        world.write("a");
        world.logs.get_mut("a").unwrap().clear();
        world.write("a");
    };
    let mut unseen = settled(false);
    unseen.restart(empty);
    assert_eq!((unseen.gaps.len(), unseen.warnings.len()), (0, 0), "without continuity");

    let mut world = settled(true);
    world.restart(empty);
    let told: Vec<_> = world.breaks.iter().map(|(source, _)| source.instance()).collect();
    assert_eq!((told, world.gaps.len()), (vec!["a"], 1));
}

#[test]
fn rows_that_were_purged_are_no_break_while_the_last_ones_are_there() {
    let mut world = settled(true);
    for _ in 0..20 {
        world.reconnect(|world| {
            write_three_each(world);
            // All but the four rows that were written last.
            for log in world.logs.values_mut() {
                while log.len() > 4 {
                    log.pop_first();
                }
            }
        });
    }
    assert_eq!((world.mixed(), world.lost()), (0, vec![]));
    assert_eq!((world.breaks.len(), world.gaps.len(), world.rewinds.len()), (0, 0, 0));
    assert_eq!(world.warnings, []);
}

#[test]
fn a_row_that_is_sent_meanwhile_proves_the_address_of_a_purged_log() {
    let mut world = settled(true);
    let lost = world.bench.lost();
    world.hand(lost);
    for log in world.logs.values_mut() {
        log.clear();
    }
    world.write("a");
    world.pass(10);
    let made = world.bench.made();
    world.hand(made);
    let token = world.next_token;
    world.announce("b", 18);
    world.announce("a", token);
    world.pass(2);
    assert_eq!(world.warnings, [], "the rows of a are waited for");
    world.written.get_mut("a").unwrap().insert(Row::from(RECEIPT));
    world.line("POSITION receipts a 5 5");
    world.line(&format!("RDATA receipts a 6 {RECEIPT}"));
    world.pass(30);
    assert_eq!((world.breaks.len(), world.gaps.len(), world.mixed()), (0, 0, 0));
    assert_eq!(world.lost(), Vec::<i64>::new());
    assert!(matches!(world.warnings[..], [Warning::RowsGone { .. }]), "{:?}", world.warnings);
}
