//! Recordings of old releases on direct TCP, followed by a node: every recorded row is delivered
//! exactly once, also when the connection is cut, and the recorded answers of the oldest dialect
//! are taken as pages.
//!
//! A recording holds the lines of one connection. All rows in it, with their tokens, are taken as
//! the writer's log.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    bench::{Bench, command},
    recordings::{capture, said_on_tcp},
    writer::log::Log,
};
use synrepl_core::{
    Action, Config, Event, Input, Transport,
    stream::{Page, Row, Source, Span, Token, traits},
    wire::{Command, Dialect, Replicate},
};

/// The lines of the server on one connection of a recording.
fn lines_of(version: &str, connection: &str) -> Vec<Command> {
    let recording = capture(&format!("legacy-{version}-tcp.txt"));
    let lines = said_on_tcp(&recording, "S<").filter(|(of, _)| *of == connection);
    lines.map(|(_, line)| command(line)).collect()
}

/// All rows that the server ever sent, by stream and in order of tokens, and how far each stream
/// had come at each line.
struct Recording {
    dialect: Dialect,
    lines: Vec<Command>,
    log: BTreeMap<String, Log>,
    /// Where each stream stands after so many lines.
    positions: Vec<BTreeMap<String, i64>>,
    /// Whether all rows up to those tokens have been sent by then.
    settled: Vec<bool>,
}

impl Recording {
    fn new(version: &str, dialect: Dialect) -> Self {
        let lines = lines_of(version, "c1");
        let mut log: BTreeMap<String, Log> = BTreeMap::new();
        let mut batches: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        let mut positions = vec![BTreeMap::new()];
        let mut settled = vec![true];
        let mut first_with: BTreeMap<(String, i64), usize> = BTreeMap::new();
        for (index, line) in lines.iter().enumerate() {
            let mut now = positions[index].clone();
            settled.push(true);
            if let Command::Position(position) = line {
                log.entry(position.stream.to_string()).or_default();
                now.insert(position.stream.to_string(), position.token.get());
            }
            if let Command::Rdata(rdata) = line {
                let stream = rdata.stream.to_string();
                let batch = batches.entry(stream.clone()).or_default();
                batch.push(rdata.row.clone());
                settled[index + 1] = rdata.token.is_some();
                if let Some(token) = rdata.token.map(Token::get) {
                    log.entry(stream.clone()).or_default().put(token, std::mem::take(batch));
                    if let Some((_, higher)) =
                        first_with.range((stream.clone(), token)..(stream.clone(), i64::MAX)).next()
                    {
                        settled[*higher + 1..=index].fill(false);
                    }
                    first_with.entry((stream.clone(), token)).or_insert(index);
                    now.entry(stream)
                        .and_modify(|known| *known = token.max(*known))
                        .or_insert(token);
                }
            }
            positions.push(now);
        }
        Self { dialect, lines, log, positions, settled }
    }

    /// Whether a batch is open after so many lines.
    fn is_in_batch(&self, count: usize) -> bool {
        matches!(&self.lines[count - 1], Command::Rdata(rdata) if rdata.token.is_none())
    }

    /// The first number of lines from `count` on, behind which no send is under way.
    fn settled_from(&self, count: usize) -> usize {
        let count = count.min(self.lines.len());
        count + self.settled[count..].iter().take_while(|settled| !**settled).count()
    }

    /// All rows of a stream in the span.
    fn page(&self, stream: &str, span: Span) -> Page {
        self.log[stream].page(span, usize::MAX)
    }
}

/// A node that follows a recording.
#[derive(Clone)]
struct Player<'a> {
    recording: &'a Recording,
    bench: Bench,
    /// Where the server stands.
    current: BTreeMap<String, i64>,
    delivered: BTreeMap<String, Vec<(Token, Row)>>,
    resets: usize,
}

impl<'a> Player<'a> {
    fn new(recording: &'a Recording) -> Self {
        let mut config = Config::default();
        config.transport = Transport::Tcp(recording.dialect);
        let mut player = Self {
            recording,
            bench: Bench::new(config),
            current: BTreeMap::new(),
            delivered: BTreeMap::new(),
            resets: 0,
        };
        player.drain();
        player.connect();
        player
    }

    fn connect(&mut self) {
        self.handle(self.bench.made());
    }

    fn lose(&mut self) {
        self.handle(self.bench.lost());
        while self.bench.conn.is_none() {
            let at = self.bench.node.poll_timeout().expect("something is due");
            self.bench.now = self.bench.now.max(at);
            self.handle(Input::Tick);
        }
        self.connect();
    }

    fn receive(&mut self, command: Command) {
        let conn = self.bench.conn();
        if let Command::Rdata(rdata) = &command
            && let Some(token) = rdata.token.map(Token::get)
        {
            let known = self.current.entry(rdata.stream.to_string()).or_default();
            *known = token.max(*known);
        }
        if let Command::Position(position) = &command {
            self.current.insert(position.stream.to_string(), position.token.get());
        }
        self.handle(Input::Received { conn, command });
    }

    /// POSITION of each stream, as the node's greeting is answered.
    fn announce(&mut self) {
        for (stream, token) in self.current.clone() {
            let middle = if self.recording.dialect.position_has_prev() {
                format!("master {token} ")
            } else if self.recording.dialect.names_instances() {
                "master ".to_owned()
            } else {
                String::new()
            };
            self.say(&format!("POSITION {stream} {middle}{token}"));
        }
    }

    fn say(&mut self, line: &str) {
        self.receive(command(line));
    }

    fn handle(&mut self, input: Input) {
        self.bench.hand(input);
        self.drain();
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "no other is expected")]
    fn drain(&mut self) {
        while let Some(action) = self.bench.poll() {
            match action {
                Action::Fetch { query, source, span } => {
                    let page = self.recording.page(source.stream(), span);
                    self.handle(Input::Fetched { query, result: Ok(page) });
                }
                Action::Send { command, .. } => {
                    if let Command::Replicate(Replicate::Stream { stream, from: Some(from) }) =
                        command
                    {
                        self.replay(&stream, from);
                    }
                }
                Action::Notify(event) => self.watch(&event),
                Action::Connect { .. } | Action::CancelFetch { .. } => {}
                action => panic!("{action:?}"),
            }
        }
    }

    /// What a server of the oldest dialect answers.
    fn replay(&mut self, stream: &str, from: Token) {
        let upto = Token::new(self.current[stream]);
        for (token, row) in self.recording.page(stream, Span { from, upto }).updates {
            self.say(&format!("RDATA {stream} {token} {}", row.as_str()));
        }
        self.say(&format!("POSITION {stream} {upto}"));
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest says nothing of rows")]
    fn watch(&mut self, event: &Event) {
        match event {
            Event::Rows { source, token, rows, .. } => {
                let known = self.delivered.entry(source.stream().to_owned()).or_default();
                known.extend(rows.iter().map(|row| (*token, row.clone())));
            }
            Event::Reset { source, .. } => {
                assert!(traits(source.stream()).resettable, "{source}");
                self.resets += 1;
                self.delivered.remove(source.stream());
            }
            Event::Gap { .. } | Event::Warning(_) => panic!("{event:?}"),
            _ => {}
        }
    }

    /// Every row that the server holds was delivered once, and is under the positions when it is
    /// quiet.
    fn assert_complete(&mut self, cut: &str) {
        self.say("PING 1");
        for _ in 0..4 {
            self.bench.now = self.bench.now + Duration::from_secs(1);
            self.handle(Input::Tick);
        }
        let positions = self.bench.node.positions();
        for (stream, current) in &self.current {
            let mut found = self.delivered.get(stream).cloned().unwrap_or_default();
            found.sort();
            let span = Span { from: Token::new(0), upto: Token::new(*current) };
            let mut expected = self.recording.page(stream, span).updates;
            expected.sort();
            if found != expected {
                let missing: Vec<_> = expected.iter().filter(|row| !found.contains(row)).collect();
                let (found, expected) = (found.len(), expected.len());
                panic!("{cut}: {stream}: {found} rows for {expected}, without {missing:?}");
            }
            let position = positions.get(&Source::new(stream, "master")).map(Token::get);
            assert_eq!(position, Some(*current), "{cut}: {stream}");
        }
    }
}

/// The whole recording on one connection.
fn follow(version: &str, dialect: Dialect, rows: usize) {
    let recording = Recording::new(version, dialect);
    let mut player = Player::new(&recording);
    for line in recording.lines.clone() {
        player.receive(line);
    }
    player.assert_complete("whole");
    assert_eq!(player.delivered.values().map(Vec::len).sum::<usize>(), rows);
    assert_eq!(player.resets, 0);
}

/// Lines that are followed after a cut.
const AFTER_A_CUT: usize = 40;

/// The connection is cut behind each line, some lines are missed, and those that follow come on the
/// next connection.
fn follow_with_cuts(version: &str, dialect: Dialect) {
    let recording = Recording::new(version, dialect);
    let mut whole = Player::new(&recording);
    let mut cuts = 0;
    for (index, line) in recording.lines.iter().enumerate() {
        whole.receive(line.clone());
        if whole.current.is_empty() {
            continue;
        }
        cuts += 1;
        let mut cut = whole.clone();
        cut.lose();
        // The next connection does not begin inside a batch; inside a send it may.
        let mut missed = (index + 1 + cuts % 5).min(recording.lines.len());
        while recording.is_in_batch(missed) {
            missed += 1;
        }
        let end = recording.settled_from(missed + AFTER_A_CUT);
        cut.current = recording.positions[missed].clone();
        cut.announce();
        for line in &recording.lines[missed..end] {
            cut.receive(line.clone());
        }
        cut.assert_complete(&format!("cut behind line {index}"));
    }
    assert!(cuts > 1_900, "{cuts}");
}

#[test]
fn every_row_of_0_33_5_comes_out_once() {
    follow("0.33.5", Dialect::V0_23, 1_911);
}

#[test]
fn every_row_of_1_13_0_comes_out_once() {
    follow("1.13.0", Dialect::V1_13, 2_021);
}

#[test]
fn every_row_of_1_66_0_comes_out_once() {
    follow("1.66.0", Dialect::V1_22, 2_614);
}

#[test]
fn a_cut_connection_loses_and_repeats_nothing_of_0_33_5() {
    follow_with_cuts("0.33.5", Dialect::V0_23);
}

#[test]
fn a_cut_connection_loses_and_repeats_nothing_of_1_13_0() {
    follow_with_cuts("1.13.0", Dialect::V1_13);
}

#[test]
fn a_cut_connection_loses_and_repeats_nothing_of_1_66_0() {
    follow_with_cuts("1.66.0", Dialect::V1_22);
}

/// Recorded answers to `REPLICATE stream from`, each on a connection of its own.
#[test]
#[expect(clippy::wildcard_enum_match_arm, reason = "the rest says nothing of rows")]
fn recorded_answers_of_0_33_5_are_pages() {
    let asked = [
        ("account_data", 226),
        ("to_device", 112),
        ("presence", 37),
        ("tag_account_data", 223),
        ("push_rules", 87),
        ("typing", 96),
        ("current_state_deltas", 551),
        ("pushers", 138),
        ("device_lists", 132),
        ("receipts", 142),
        ("events", 551),
        ("federation", 99),
    ];
    for (stream, from) in asked {
        let answer = lines_of("0.33.5", &format!("c2b.{stream}"));
        let resettable = traits(stream).resettable;
        let Some(Command::Position(end)) = answer.last() else { panic!("{stream}: {answer:?}") };
        let mut config = Config::default();
        config.transport = Transport::Tcp(Dialect::V0_23);
        config.positions.set(&Source::new(stream, "master"), Token::new(from));
        let mut bench = Bench::connected(config);
        let conn = bench.conn();
        let (mut asked, mut rows, mut live) = (Vec::new(), Vec::new(), false);
        for command in [Command::Position(end.clone())].into_iter().chain(answer.clone()) {
            for action in bench.handle(Input::Received { conn, command }) {
                match action {
                    Action::Send { command: Command::Replicate(replicate), .. } => {
                        asked.push(replicate);
                    }
                    Action::Notify(Event::Rows { token, rows: some, .. }) => {
                        rows.extend(some.iter().map(|row| (token, row.clone())));
                    }
                    Action::Notify(Event::Live { .. }) => live = true,
                    _ => {}
                }
            }
        }
        let from = if resettable { 0 } else { from };
        let wanted = Replicate::Stream { stream: stream.into(), from: Some(Token::new(from)) };
        assert_eq!(asked.last(), Some(&wanted));
        let mut expected: Vec<_> = answer
            .iter()
            .filter_map(|line| match line {
                Command::Rdata(rdata) => Some((rdata.token.expect("a number"), rdata.row.clone())),
                _ => None,
            })
            .collect();
        expected.sort_by_key(|(token, _)| *token);
        assert!(!expected.is_empty(), "{stream}");
        assert_eq!(rows, expected, "{stream}");
        assert!(live, "{stream}");
        assert_eq!(bench.node.positions().get(&Source::new(stream, "master")), Some(end.token));
    }
}
