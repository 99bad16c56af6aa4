//! The follower against models of a direct TCP server of the oldest dialect and of 1.13. Writes are
//! random, with tokens that fall and repeat inside one send; there are lag, cuts, bad lines, and
//! restarts of the server and of the application. Checks F1 to F10 for each class of streams.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use crate::{
    bench::{Bench, received},
    tcp_server::{STREAMS, Sends, Server},
};
use proptest::prelude::*;
use synrepl_core::{
    Action, Config, Event, FetchId, Input, Origin, Start, Transport, Warning,
    stream::{FetchError, Positions, Row, Source, Span, Token},
    wire::{Command, Dialect},
};

#[derive(Clone, Debug)]
enum Step {
    Append {
        stream: usize,
        shape: Vec<bool>,
    },
    Send {
        stream: usize,
        seed: u64,
    },
    /// Lines reach the client.
    Deliver(usize),
    /// The next one is spoilt.
    Spoil,
    /// A command reaches the server.
    Serve,
    Answer {
        stream: usize,
        seed: u64,
    },
    /// A page, or none.
    Fetch {
        seed: u64,
        fails: bool,
    },
    Announce,
    Ping,
    Connect,
    Cut,
    Restart,
    Pass(u64),
    /// All that is said is heard, and only the answers are not there yet.
    Exchange,
    /// The application restarts from the positions that it saved.
    Crash,
}

/// What was delivered of one source, and what may be claimed.
#[derive(Debug, Default)]
struct Watch {
    /// (token, serial) since the last reset.
    rows: BTreeSet<(i64, u32)>,
    /// Where it started.
    start: Option<i64>,
    saved: Option<Token>,
    last: Option<i64>,
    epoch: u32,
}

struct Run {
    bench: Bench,
    config: Config,
    server: Server,
    to_server: VecDeque<Command>,
    fetches: VecDeque<(FetchId, Source, Token, Token)>,
    watches: BTreeMap<String, Watch>,
    gaps: usize,
}

impl Run {
    fn new(dialect: Dialect, start: Start) -> Self {
        let mut config = Config::default();
        config.transport = Transport::Tcp(dialect);
        config.start = start;
        config.server_name = Some("hs".into());
        config.catch_up.in_band_rows_max = 5;
        config.limits.burst_rows_max = 6;
        config.limits.held_rows_max = 8;
        let mut run = Self {
            bench: Bench::new(config.clone()),
            config,
            server: Server::new(dialect),
            to_server: VecDeque::new(),
            fetches: VecDeque::new(),
            watches: BTreeMap::new(),
            gaps: 0,
        };
        run.drain();
        run
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append { stream, shape } => self.server.append(STREAMS[*stream].0, shape),
            Step::Send { stream, seed } => self.server.send(STREAMS[*stream].0, *seed),
            Step::Deliver(lines) => {
                for _ in 0..*lines {
                    let Some(line) = self.server.out.pop_front() else { break };
                    self.handle(received(self.bench.conn(), &line));
                }
            }
            Step::Spoil => {
                if let Some(line) = self.server.out.front_mut()
                    && line.starts_with("RDATA")
                {
                    line.pop();
                }
            }
            Step::Serve => {
                if let Some(command) = self.to_server.pop_front() {
                    self.server.receive(&command);
                }
            }
            Step::Answer { stream, seed } => self.server.answer(STREAMS[*stream].0, *seed),
            Step::Fetch { seed, fails } => {
                if let Some((query, source, from, upto)) = self.fetches.pop_front() {
                    let result = if *fails {
                        Err(FetchError::TimedOut { endpoint: "w".to_owned(), after_ms: 1 })
                    } else {
                        Ok(self.server.page(source.stream(), from, upto, *seed))
                    };
                    self.handle(Input::Fetched { query, result });
                }
            }
            Step::Announce => self.server.announce(),
            Step::Ping => self.server.ping(),
            Step::Connect => {
                if self.bench.is_connecting() {
                    self.server.connect();
                    self.handle(self.bench.made());
                }
            }
            Step::Cut => self.cut(),
            Step::Restart => {
                self.cut();
                self.server.restart();
            }
            Step::Pass(millis) => {
                self.bench.now = self.bench.now + Duration::from_millis(*millis);
                self.handle(Input::Tick);
            }
            Step::Exchange => {
                self.step(&Step::Connect);
                self.step(&Step::Deliver(usize::MAX));
                while !self.to_server.is_empty() {
                    self.step(&Step::Serve);
                }
            }
            Step::Crash => self.crash(),
        }
    }

    fn cut(&mut self) {
        self.server.cut();
        self.to_server.clear();
        if self.bench.up {
            self.handle(self.bench.lost());
        }
    }

    fn crash(&mut self) {
        self.server.cut();
        self.to_server.clear();
        self.fetches.clear();
        let mut positions = Positions::new();
        for (stream, watch) in &mut self.watches {
            if let Some(saved) = watch.saved {
                positions.set(&Source::new(stream, "master"), saved);
                watch.rows.retain(|(token, _)| *token <= saved.get());
                watch.last = watch.last.map(|last| last.min(saved.get()));
            }
        }
        self.config.positions = positions;
        self.bench = Bench::new(self.config.clone());
        self.drain();
    }

    fn handle(&mut self, input: Input) {
        let shown = format!("{input:?}");
        self.bench.try_hand(input).expect(&shown);
        self.drain();
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "no other is expected")]
    fn drain(&mut self) {
        while let Some(action) = self.bench.poll() {
            match action {
                Action::Connect { .. } => {}
                Action::Send { command, .. } => self.to_server.push_back(command),
                Action::Fetch { query, source, span: Span { from, upto } } => {
                    let old = self.config.transport == Transport::Tcp(Dialect::V0_23);
                    assert!(!old, "the oldest dialect has nowhere to fetch from");
                    self.fetches.push_back((query, source, from, upto));
                }
                Action::CancelFetch { query } => self.fetches.retain(|(open, ..)| *open != query),
                Action::Notify(event) => self.watch(&event),
                action => panic!("{action:?}"),
            }
        }
    }

    fn watch(&mut self, event: &Event) {
        if let Event::Reset { source, .. } = event {
            let log = &self.server.logs[source.stream()];
            assert!(log.resettable, "F10: {event:?}");
            let epoch = self.server.epoch;
            let watch = self.watches.entry(source.stream().to_owned()).or_default();
            *watch = Watch { start: Some(0), epoch, ..Watch::default() };
        }
        if let Event::Rows { source, token, rows, origin, .. } = event {
            self.take(source.stream(), token.get(), rows);
            let as_sent = |row: &Row| row.as_str().contains("\": ");
            assert!(*origin != Origin::Live || rows.iter().all(as_sent), "never sent: {event:?}");
        }
        if let Some((source, position)) = event.position() {
            self.claim(source.stream(), position, event);
        }
        self.gaps += usize::from(matches!(event, Event::Gap { .. }));
        assert!(!matches!(event, Event::Warning(Warning::WrongDirection { .. })), "{event:?}");
    }

    fn take(&mut self, stream: &str, token: i64, rows: &[Row]) {
        let log = &self.server.logs[stream];
        let watch = self.watches.entry(stream.to_owned()).or_default();
        let serials: Vec<_> = rows
            .iter()
            .map(|row| {
                let (_, row): (String, BTreeMap<String, serde_json::Value>) =
                    row.parse().expect("a row of the model");
                u32::try_from(row["n"].as_u64().expect("a number")).expect("a serial")
            })
            .collect();
        let of_token: Vec<_> =
            log.rows.iter().filter(|row| row.0 == token).map(|row| row.1).collect();
        if log.sends == Sends::Rising {
            assert_eq!(serials, of_token, "F4: {stream} {token}");
            assert!(watch.last.is_none_or(|last| last < token), "F1: {stream} {token} {watch:?}");
        }
        watch.last = Some(token);
        for serial in serials {
            assert!(of_token.contains(&serial), "{stream} {token} never had {serial}");
            assert!(watch.rows.insert((token, serial)), "F3: {stream} {token} {serial} again");
        }
    }

    fn claim(&mut self, stream: &str, position: Token, event: &Event) {
        let log = &self.server.logs[stream];
        let watch = self.watches.entry(stream.to_owned()).or_default();
        watch.saved = Some(position);
        if watch.start.is_none() {
            let all = self.config.start == Start::Beginning;
            watch.start = Some(if all { 0 } else { position.get() });
            watch.epoch = self.server.epoch;
        }
        let start = watch.start.unwrap_or_default();
        if log.resettable && watch.epoch != self.server.epoch {
            return;
        }
        for row in &log.rows {
            let covered = row.0 > start && row.0 <= position.get();
            assert!(
                !covered || watch.rows.contains(row),
                "F2, F6: {stream} {row:?} is missing at {event:?}"
            );
        }
    }

    /// The faults are over: everything arrives, and is under the saved positions.
    fn heal(&mut self) {
        for round in 0..600 {
            self.step(&Step::Connect);
            for (index, _) in STREAMS.iter().enumerate() {
                self.step(&Step::Send { stream: index, seed: round });
            }
            while !self.to_server.is_empty() {
                self.step(&Step::Serve);
            }
            for (index, _) in STREAMS.iter().enumerate() {
                self.step(&Step::Answer { stream: index, seed: round });
            }
            self.step(&Step::Ping);
            self.step(&Step::Deliver(usize::MAX));
            while !self.fetches.is_empty() {
                self.step(&Step::Fetch { seed: round, fails: false });
            }
            let positions = self.bench.node.positions();
            let reached = |(stream, ..): &(&str, Sends, bool)| {
                positions.get(&Source::new(stream, "master")).map(Token::get)
                    == Some(self.server.logs[*stream].current)
            };
            if self.bench.up && self.to_server.is_empty() && STREAMS.iter().all(reached) {
                assert_eq!(self.gaps, 0);
                return;
            }
            if let Some(at) = self.bench.node.poll_timeout() {
                self.bench.now = self.bench.now.max(at);
            }
            self.handle(Input::Tick);
        }
        panic!("F7: {:?} is not {:?}", self.bench.node.positions(), self.server.logs);
    }
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 0..STREAMS.len();
    let seed = any::<u64>();
    prop_oneof![
        5 => (stream.clone(), prop::collection::vec(any::<bool>(), 1..5))
            .prop_map(|(stream, shape)| Step::Append { stream, shape }),
        5 => (stream.clone(), seed).prop_map(|(stream, seed)| Step::Send { stream, seed }),
        6 => (1..6_usize).prop_map(Step::Deliver),
        2 => Just(Step::Deliver(usize::MAX)),
        1 => Just(Step::Spoil),
        4 => Just(Step::Serve),
        4 => (stream, seed).prop_map(|(stream, seed)| Step::Answer { stream, seed }),
        4 => (seed, prop::bool::weighted(0.2)).prop_map(|(seed, fails)| Step::Fetch { seed, fails }),
        1 => Just(Step::Announce),
        1 => Just(Step::Ping),
        3 => Just(Step::Connect),
        1 => Just(Step::Cut),
        1 => Just(Step::Restart),
        3 => (0..4_000_u64).prop_map(Step::Pass),
        4 => Just(Step::Exchange),
        1 => Just(Step::Crash),
    ]
}

fn run(dialect: Dialect, start: Start, steps: &[Step]) {
    let mut run = Run::new(dialect, start);
    for step in steps {
        let unasked = matches!(step, Step::Announce) && !dialect.names_instances();
        if !unasked {
            run.step(step);
        }
    }
    run.heal();
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![Just(Start::Now), Just(Start::Beginning)]
}

proptest! {
    #![proptest_config(crate::cases::not_kept(500))]

    #[test]
    fn nothing_is_lost_or_repeated_with_a_server_of_the_oldest_dialect(
        start in start(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        run(Dialect::V0_23, start, &steps);
    }

    #[test]
    fn nothing_is_lost_or_repeated_with_a_server_of_1_13(
        start in start(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        run(Dialect::V1_13, start, &steps);
    }
}
