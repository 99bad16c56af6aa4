//! Lists of inputs for tests, from windows of recorded traffic or generated, and a node that
//! handles them.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use crate::{
    bench::{Bench, received},
    recordings::{Published, capture, published_on_redis, said_on_tcp},
    writer::log::Log,
};
use bytes::Bytes;
use proptest::prelude::*;
use synrepl_core::{
    Action, Config, Input, Start, Timestamp, Transport,
    stream::Row,
    wire::{Command, Decoder, Dialect},
};

/// What reaches the node, and when.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    Line(String),
    /// The connection ends; what comes until it is made again is missed.
    Cut,
}

type Rows = BTreeMap<(String, String), Log>;

/// A list of what is heard, at times that never fall, with the rows that can be fetched.
#[derive(Clone)]
pub(crate) struct Material {
    pub(crate) heard: Vec<(u64, Heard)>,
    pub(crate) rows: Arc<Rows>,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.heard).finish()
    }
}

/// The source of a line, if it is of one, and the rest of it.
pub(crate) fn source_of(line: &str) -> Option<[&str; 4]> {
    let mut words = line.splitn(4, ' ');
    let found = [words.next()?, words.next()?, words.next()?, words.next()?];
    matches!(found[0], "RDATA" | "POSITION").then_some(found)
}

fn rows_of<'a>(lines: impl Iterator<Item = &'a str>) -> Rows {
    let (mut rows, mut batches) = (Rows::new(), BTreeMap::<_, Vec<Row>>::new());
    for line in lines.filter(|line| line.starts_with("RDATA ")) {
        let line = Bytes::copy_from_slice(line.as_bytes());
        let Ok(Command::Rdata(rdata)) = Decoder::new().decode(&line) else { continue };
        let source = (rdata.stream.to_string(), rdata.instance.to_string());
        let batch = batches.entry(source.clone()).or_default();
        batch.push(rdata.row);
        if let Some(token) = rdata.token {
            rows.entry(source).or_default().put(token.get(), std::mem::take(batch));
        }
    }
    rows
}

/// Everything that was recorded of a modern deployment on Redis.
static MODERN: LazyLock<Material> = LazyLock::new(|| {
    let mut heard: Vec<(u64, Heard)> = Vec::new();
    for Published { t, ch, m } in published_on_redis() {
        let at = Duration::from_secs_f64(t).as_micros();
        let at = u64::try_from(at).expect("a time within a run");
        if ch == "localhost:18448" && source_of(&m).is_some() {
            heard.push((heard.last().map_or(at, |(last, _)| at.max(*last)), Heard::Line(m)));
        }
    }
    let rows = Arc::new(rows_of(heard.iter().map(|(_, heard)| text(heard))));
    Material { heard, rows }
});

/// Everything that the direct TCP server of 1.66 said.
static LEGACY: LazyLock<Material> = LazyLock::new(|| {
    let recording = capture("legacy-1.66.0-tcp.txt");
    let lines = said_on_tcp(&recording, "S<").map(|(_, line)| line);
    let of_sources = lines.filter(|line| source_of(line).is_some());
    let heard: Vec<_> = of_sources.map(|line| (0, Heard::Line(line.to_owned()))).collect();
    let rows = Arc::new(rows_of(heard.iter().map(|(_, heard)| text(heard))));
    Material { heard, rows }
});

pub(crate) fn text(heard: &Heard) -> &str {
    match heard {
        Heard::Line(line) => line,
        Heard::Cut => "",
    }
}

const WINDOW: usize = 400;

/// A window of recorded traffic, with one or two cuts in it.
fn recorded(all: &'static LazyLock<Material>) -> impl Strategy<Value = Material> {
    let cuts = prop::collection::vec(0..WINDOW, 0..3);
    (any::<prop::sample::Index>(), cuts).prop_map(|(first, cuts)| {
        let first = first.index(all.heard.len() - WINDOW);
        let mut heard = all.heard[first..first + WINDOW].to_vec();
        for cut in cuts {
            let at = heard[cut].0;
            heard.insert(cut, (at, Heard::Cut));
        }
        Material { heard, rows: Arc::clone(&all.rows) }
    })
}

pub(crate) fn recorded_on_redis() -> impl Strategy<Value = Material> {
    recorded(&MODERN)
}

pub(crate) fn recorded_on_tcp() -> impl Strategy<Value = Material> {
    recorded(&LEGACY)
}

/// Sources of every class.
const SOURCES: [(&str, &str); 7] = [
    ("events", "p1"),
    ("events", "p2"),
    ("receipts", "p1"),
    ("typing", "p2"),
    ("backfill", "p1"),
    ("caches", "p2"),
    ("device_lists", "p1"),
];

/// A made-up list: rows, batches, announcements over rows that were missed, writers that start
/// over, cuts.
pub(crate) fn made_up() -> impl Strategy<Value = Material> {
    let step = (0..SOURCES.len(), 0_u8..10, 1_i64..4, 0_u64..700_000);
    prop::collection::vec(step, 1..80).prop_map(|steps| {
        let (mut heard, mut rows, mut now) = (Vec::new(), Rows::new(), 0);
        let mut tokens = [1_i64; SOURCES.len()];
        for (serial, (source, kind, ahead, later)) in steps.into_iter().enumerate() {
            now += later;
            let (stream, writer) = SOURCES[source];
            let before = tokens[source];
            let after = before + ahead;
            let row = format!("[{serial}]");
            let key = (stream.to_owned(), writer.to_owned());
            let mut write = |token| {
                let log = rows.entry(key.clone()).or_default();
                log.put(token, vec![Row::from(row.as_str())]);
            };
            let line = match kind {
                0..=3 => {
                    tokens[source] = after;
                    write(after);
                    format!("RDATA {stream} {writer} {after} {row}")
                }
                4 => {
                    write(before + 1);
                    format!("RDATA {stream} {writer} batch {row}")
                }
                5 => {
                    tokens[source] = after;
                    format!("POSITION {stream} {writer} {before} {after}")
                }
                // Something was missed.
                6 | 7 => {
                    tokens[source] = after;
                    write(after);
                    format!("POSITION {stream} {writer} {after} {after}")
                }
                8 if stream == "typing" => {
                    tokens[source] = 0;
                    format!("POSITION {stream} {writer} 0 0")
                }
                8 => format!("RDATA {stream} {writer} {before} {row}"),
                _ => {
                    heard.push((now, Heard::Cut));
                    continue;
                }
            };
            heard.push((now, Heard::Line(line)));
        }
        Material { heard, rows: Arc::new(rows) }
    })
}

/// A node that hears something, whose fetches are answered at once.
pub(crate) struct Player {
    bench: Bench,
    rows: Arc<Rows>,
    pub(crate) did: Vec<Action>,
}

impl Player {
    /// On a bus, from the beginning.
    pub(crate) fn new(rows: &Arc<Rows>) -> Self {
        Self::over(Transport::Bus, rows)
    }

    /// On a bus, at a time other than 0.
    pub(crate) fn beginning_at(now: u64, rows: &Arc<Rows>) -> Self {
        let mut player = Self::new(rows);
        player.bench.now = Timestamp::from_micros(now);
        player
    }

    /// On direct TCP in the latest dialect.
    pub(crate) fn on_tcp(rows: &Arc<Rows>) -> Self {
        Self::over(Transport::Tcp(Dialect::LATEST), rows)
    }

    fn over(transport: Transport, rows: &Arc<Rows>) -> Self {
        let mut config = Config::default();
        config.transport = transport;
        config.start = Start::Beginning;
        Self { bench: Bench::new(config), rows: Arc::clone(rows), did: Vec::new() }
    }

    /// Does all that is due up to `at`, at its time.
    pub(crate) fn pass(&mut self, at: u64) {
        self.drain();
        while self.bench.is_due_by(Timestamp::from_micros(at)) {
            self.tick();
        }
    }

    pub(crate) fn tick(&mut self) {
        self.handle(Input::Tick);
    }

    pub(crate) fn hear(&mut self, heard: &Heard) {
        if self.bench.up {
            let input = match heard {
                Heard::Line(line) => received(self.bench.conn(), line),
                Heard::Cut => self.bench.lost(),
            };
            self.handle(input);
        }
    }

    /// Hears everything at its time, and what follows within ten seconds.
    pub(crate) fn play(mut self, heard: &[(u64, Heard)]) -> Vec<Action> {
        let mut last = 0;
        for (at, heard) in heard {
            self.pass(*at);
            self.hear(heard);
            last = *at;
        }
        self.pass(last + 10_000_000);
        self.did
    }

    fn handle(&mut self, input: Input) {
        self.bench.hand(input);
        self.drain();
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest needs no answer")]
    fn drain(&mut self) {
        let mut due = Vec::new();
        while let Some(action) = self.bench.poll() {
            match &action {
                Action::Connect { .. } => due.push(self.bench.made()),
                Action::Fetch { query, source, span } => {
                    let key = (source.stream().to_owned(), source.instance().to_owned());
                    let log = self.rows.get(&key).cloned().unwrap_or_default();
                    let result = Ok(log.page(*span, usize::MAX));
                    due.push(Input::Fetched { query: *query, result });
                }
                _ => {}
            }
            self.did.push(action);
        }
        due.into_iter().for_each(|input| self.handle(input));
    }
}
