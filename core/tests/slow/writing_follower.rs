//! A node that follows a stream and writes it, on a bus that brings back what it says: its own
//! announcement is no answer, its own rows never come to it as those of the other writer, whose
//! rows come once (F2, F3, F5).

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*};
use synrepl_core::{
    Action, Config, Event, FetchId, Input, MainChannel, Start, Timestamp, Warning,
    stream::{Page, Row, Source, Span, Token},
    wire::{Command, Dialect, encode},
};

use crate::{
    bench::{Bench, received},
    writer::log::{Log, Read},
};

const ME: &str = "me";
const OTHER: &str = "a";
/// Its tokens are of one sequence for all writers, and its fetch returns the rows of all.
const STREAM: &str = "device_lists";
/// How long a connection may be silent before that is said.
const SILENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
enum Step {
    /// The other writes a row, whose RDATA may get lost. Nothing more reaches the bus then until it
    /// announces where it stands: a loss that it does not know of leaves no trace.
    OtherWrites {
        is_lost: bool,
    },
    /// The other announces where it stands.
    OtherAnnounces,
    /// We write a row, of which the node hears at once or with the next one.
    WeWrite {
        is_told: bool,
    },
    /// The oldest read of our log is answered.
    Read {
        fails: bool,
    },
    /// The oldest fetch is answered with what is written now.
    Fetched,
    /// So many messages of the bus arrive.
    Deliver(usize),
    Lose,
    Connect,
    /// The process dies, and starts again from the positions that it had.
    Restart,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<bool>().prop_map(|is_lost| Step::OtherWrites { is_lost }),
        3 => Just(Step::OtherAnnounces),
        4 => prop::bool::weighted(0.8).prop_map(|is_told| Step::WeWrite { is_told }),
        4 => prop::bool::weighted(0.2).prop_map(|fails| Step::Read { fails }),
        4 => Just(Step::Fetched),
        6 => (1_usize..4).prop_map(Step::Deliver),
        1 => Just(Step::Lose),
        2 => Just(Step::Connect),
        1 => Just(Step::Restart),
        2 => (1_u64..6_000).prop_map(Step::Pass),
    ];
    vec(step, 1..60)
}

/// What the present connection has shown of others, and what the node said of that.
#[derive(Debug, Default)]
struct Heard {
    /// Since when the connection stands.
    since: Timestamp,
    any: bool,
    position: bool,
    warned: bool,
}

struct World {
    bench: Bench,
    /// Whether there is another writer at all.
    has_other: bool,
    /// Every row: its token, its writer, its text.
    rows: Vec<(i64, &'static str, String)>,
    logs: BTreeMap<String, Log>,
    /// The last token of the other writer.
    other_end: i64,
    /// A row of the other got lost since its last announcement.
    has_lost: bool,
    /// Messages on their way from the bus to the node.
    bus: VecDeque<String>,
    reads: VecDeque<Read>,
    fetches: VecDeque<(FetchId, Span)>,
    delivered: Vec<(i64, String)>,
    heard: Heard,
    replicates: usize,
}

impl World {
    fn new(has_other: bool) -> Self {
        let mut config = config();
        config.publish.own_streams.insert(STREAM.to_owned(), Token::START);
        let mut world = Self {
            bench: Bench::new(config),
            has_other,
            rows: Vec::new(),
            logs: BTreeMap::from([(STREAM.to_owned(), Log::default())]),
            other_end: 0,
            has_lost: false,
            bus: VecDeque::new(),
            reads: VecDeque::new(),
            fetches: VecDeque::new(),
            delivered: Vec::new(),
            heard: Heard::default(),
            replicates: 0,
        };
        world.drain();
        world
    }

    fn hand(&mut self, input: Input) {
        self.bench.hand(input);
        self.drain();
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest changes nothing here")]
    fn drain(&mut self) {
        for action in self.bench.actions() {
            self.reads.extend(Read::of(&action));
            match action {
                Action::Send { command, .. } => self.on_sent(&command),
                Action::Fetch { query, span, .. } => self.fetches.push_back((query, span)),
                Action::CancelFetch { query } => self.fetches.retain(|(of, _)| *of != query),
                Action::Notify(Event::Rows { source, token, rows, .. }) => {
                    assert_eq!(source, Source::new(STREAM, OTHER), "F5");
                    let rows = rows.iter().map(|row| (token.get(), row.as_str().to_owned()));
                    self.delivered.extend(rows);
                }
                Action::Notify(Event::Warning(Warning::NothingHeard { .. })) => {
                    assert!(!self.heard.any, "something was heard");
                    self.heard.warned = true;
                }
                _ => {}
            }
        }
    }

    /// The bus brings back to the node what it says itself, and the other answers.
    fn on_sent(&mut self, command: &Command) {
        let mut line = BytesMut::new();
        encode(command, Dialect::LATEST, &mut line).expect("it can be said");
        let line = String::from_utf8(line.to_vec()).expect("lines are text");
        self.bus.push_back(line.trim_end_matches('\n').to_owned());
        if matches!(command, Command::Replicate(_)) {
            self.replicates += 1;
            self.other_announces();
        }
    }

    fn other_announces(&mut self) {
        if self.has_other && self.bench.up {
            self.has_lost = false;
            let end = self.other_end;
            self.bus.push_back(format!("POSITION {STREAM} {OTHER} {end} {end}"));
        }
    }

    fn write(&mut self, writer: &'static str) -> (i64, String) {
        let token = self.rows.len() as i64 + 1;
        let row = format!(r#"["@{writer}{token}:hs"]"#);
        self.rows.push((token, writer, row.clone()));
        (token, row)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::OtherWrites { is_lost } if self.has_other => {
                let (token, row) = self.write(OTHER);
                self.other_end = token;
                self.has_lost |= is_lost;
                if !self.has_lost && self.bench.up {
                    self.bus.push_back(format!("RDATA {STREAM} {OTHER} {token} {row}"));
                }
            }
            Step::OtherWrites { .. } => {}
            Step::OtherAnnounces => self.other_announces(),
            Step::WeWrite { is_told } => {
                let (token, row) = self.write(ME);
                let log = self.logs.get_mut(STREAM).expect("we write it");
                log.put(token, vec![Row::from(row.as_str())]);
                if is_told {
                    self.hand(Input::Appended { stream: STREAM.into(), token: token.into() });
                }
            }
            Step::Read { fails } => {
                if let Some(read) = self.reads.pop_front() {
                    let answer = if fails { read.fail() } else { read.answer(&self.logs) };
                    self.hand(answer);
                }
            }
            Step::Fetched => {
                if let Some((query, span)) = self.fetches.pop_front() {
                    let asked = |(token, ..): &&(i64, &str, String)| {
                        (span.from.get() + 1..=span.upto.get()).contains(token)
                    };
                    let updates = self.rows.iter().filter(asked);
                    let updates = updates
                        .map(|(token, _, row)| (Token::new(*token), Row::from(row.as_str())))
                        .collect();
                    let page = Page { updates, upto: span.upto, limited: false };
                    self.hand(Input::Fetched { query, result: Ok(page) });
                }
            }
            Step::Deliver(count) => {
                for _ in 0..count.min(self.bus.len()) {
                    let Some(line) = self.bus.pop_front().filter(|_| self.bench.up) else { break };
                    let is_ours = line.contains(&format!(" {ME} "));
                    self.heard.any |= !is_ours && !line.starts_with("REPLICATE");
                    self.heard.position |= !is_ours && line.starts_with("POSITION");
                    self.hand(received(self.bench.conn(), &line));
                }
            }
            Step::Lose if self.bench.up => {
                self.bus.clear();
                self.hand(self.bench.lost());
            }
            Step::Connect if self.bench.is_connecting() => {
                self.heard = Heard { since: self.bench.now, ..Heard::default() };
                self.hand(self.bench.made());
            }
            Step::Lose | Step::Connect => {}
            Step::Restart => self.restart(),
            Step::Pass(ms) => self.pass(self.bench.now + Duration::from_millis(ms)),
        }
    }

    fn restart(&mut self) {
        let mut config = config();
        config.positions = self.bench.node.positions();
        let end = Token::new(self.logs[STREAM].end);
        config.publish.own_streams.insert(STREAM.to_owned(), end);
        let now = self.bench.now;
        self.bench = Bench { now, ..Bench::new(config) };
        self.bus.clear();
        self.reads.clear();
        self.fetches.clear();
        self.drain();
    }

    fn pass(&mut self, end: Timestamp) {
        // Backwards in time nothing is due twice, so this ends.
        while self.bench.is_due_by(end) {
            self.hand(Input::Tick);
        }
        let silent_for = self.bench.now.saturating_since(self.heard.since);
        if self.bench.up && silent_for > SILENCE && !self.heard.any {
            assert!(self.heard.warned, "nobody was heard for {silent_for:?}, and that is not said");
        }
    }

    /// Everything works for a while. Says how often the node asked for positions meanwhile.
    fn settle(&mut self) -> usize {
        let end = Token::new(self.logs[STREAM].end);
        self.hand(Input::Appended { stream: STREAM.into(), token: end });
        self.replicates = 0;
        for _ in 0..400 {
            self.step(&Step::Connect);
            self.step(&Step::Read { fails: false });
            self.step(&Step::Fetched);
            self.step(&Step::Deliver(4));
            self.pass(self.bench.now + Duration::from_millis(500));
        }
        self.replicates
    }
}

fn config() -> Config {
    let mut config = Config::default();
    ME.clone_into(&mut config.instance);
    config.start = Start::Beginning;
    config.publish.main_channel = MainChannel::Everything;
    config
}

fn check(has_other: bool, steps: &[Step]) {
    let mut world = World::new(has_other);
    steps.iter().for_each(|step| world.step(step));
    world.step(&Step::OtherAnnounces);
    let asked = world.settle();
    if has_other {
        let theirs = world.rows.iter().filter(|(_, writer, _)| *writer == OTHER);
        let theirs: Vec<_> = theirs.map(|(token, _, row)| (*token, row.clone())).collect();
        world.delivered.sort();
        assert_eq!(world.delivered, theirs, "each row of the other once, and none of ours");
    } else {
        assert!(asked > 2, "who is alone goes on asking whether another is there: {asked}");
    }
}

proptest! {
    #![proptest_config(crate::cases::kept(300))]

    #[test]
    fn a_node_that_writes_what_it_follows_gets_the_rows_of_the_other_alone(steps in steps()) {
        check(true, &steps);
    }

    #[test]
    fn a_node_that_hears_only_itself_says_that_it_hears_nobody(steps in steps()) {
        check(false, &steps);
    }
}
