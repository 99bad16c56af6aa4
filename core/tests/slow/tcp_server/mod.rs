//! A model of a main process with a direct TCP listener and one client: it has logs, a send loop
//! with lag, and subscriptions and catch-up over the connection (up to 1.12), or announcements to
//! all clients and pages (1.13 to 1.21).

use std::collections::{BTreeMap, VecDeque};

use synrepl_core::{
    stream::{Page, Row, Token},
    wire::{Command, Dialect, Replicate},
};

/// How a send puts its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sends {
    /// Tokens rise; rows of one token are a batch.
    Rising,
    /// In no order, row by row.
    Disorderly,
}

#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) sends: Sends,
    /// Lives in memory.
    pub(crate) resettable: bool,
    /// (token, serial), in order of writing.
    pub(crate) rows: Vec<(i64, u32)>,
    pub(crate) current: i64,
    /// The send loop has come this far.
    sent: i64,
}

/// A REPLICATE that is being answered.
#[derive(Debug)]
struct Answering {
    /// None is NOW.
    from: Option<i64>,
    /// Where the stream stood when it was taken.
    taken_at: i64,
    /// Live rows meanwhile.
    queue: Vec<(i64, u32)>,
}

#[derive(Debug)]
pub(crate) struct Server {
    dialect: Dialect,
    pub(crate) logs: BTreeMap<&'static str, Log>,
    connected: bool,
    subscribed: Vec<&'static str>,
    answering: BTreeMap<&'static str, Answering>,
    /// On its way to the client.
    pub(crate) out: VecDeque<String>,
    /// Counts restarts.
    pub(crate) epoch: u32,
    serial: u32,
}

/// The streams of the model.
pub(crate) const STREAMS: [(&str, Sends, bool); 5] = [
    ("account_data", Sends::Disorderly, false),
    ("backfill", Sends::Disorderly, false),
    ("events", Sends::Rising, false),
    ("federation", Sends::Disorderly, true),
    ("typing", Sends::Rising, true),
];

/// A linear congruential generator gives orders that proptest need not shrink.
fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for end in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(end, usize::try_from(seed >> 33).expect("31 bits") % (end + 1));
    }
}

/// As old releases write rows on a connection, with spaces, and in a page, without.
fn live_text(serial: u32) -> String {
    format!(r#"["r", {{"n": {serial}, "a": "x y"}}]"#)
}

fn page_text(serial: u32) -> String {
    format!(r#"["r",{{"a":"x y","n":{serial}}}]"#)
}

impl Server {
    pub(crate) fn new(dialect: Dialect) -> Self {
        let log = |(name, sends, resettable): (_, _, bool)| {
            let start = i64::from(!resettable);
            (name, Log { sends, resettable, rows: Vec::new(), current: start, sent: start })
        };
        Self {
            dialect,
            logs: STREAMS.into_iter().map(log).collect(),
            connected: false,
            subscribed: Vec::new(),
            answering: BTreeMap::new(),
            out: VecDeque::new(),
            epoch: 0,
            serial: 0,
        }
    }

    /// Writes rows under new tokens: `shape` says for each row whether it takes the next token or
    /// that of the row before.
    pub(crate) fn append(&mut self, stream: &str, shape: &[bool]) {
        let log = self.logs.get_mut(stream).expect("a stream of the model");
        for (index, next) in shape.iter().enumerate() {
            log.current += i64::from(*next || index == 0);
            self.serial += 1;
            log.rows.push((log.current, self.serial));
        }
    }

    pub(crate) fn connect(&mut self) {
        self.connected = true;
        self.out.push_back("SERVER hs".to_owned());
        self.ping();
        if self.dialect.names_instances() {
            self.subscribed = self.logs.keys().copied().collect();
        }
    }

    pub(crate) fn cut(&mut self) {
        self.connected = false;
        self.subscribed.clear();
        self.answering.clear();
        self.out.clear();
    }

    pub(crate) fn restart(&mut self) {
        self.cut();
        self.epoch += 1;
        for log in self.logs.values_mut() {
            if log.resettable {
                log.rows.clear();
                log.current = 0;
            }
            log.sent = log.current;
        }
    }

    pub(crate) fn ping(&mut self) {
        if self.connected {
            self.out.push_back("PING 1".to_owned());
        }
    }

    /// One turn of the send loop for one stream.
    pub(crate) fn send(&mut self, stream: &str, seed: u64) {
        let log = self.logs.get_mut(stream).expect("a stream of the model");
        let mut rows: Vec<_> =
            log.rows.iter().copied().filter(|(token, _)| *token > log.sent).collect();
        log.sent = log.current;
        if log.sends == Sends::Disorderly {
            shuffle(&mut rows, seed);
        }
        if let Some(answering) = self.answering.get_mut(stream) {
            answering.queue.extend(rows);
        } else if self.subscribed.contains(&stream) {
            self.put(stream, &rows, true);
        }
    }

    fn put(&mut self, stream: &str, rows: &[(i64, u32)], batches: bool) {
        let writer = if self.dialect.names_instances() { "master " } else { "" };
        let rising = self.logs[stream].sends == Sends::Rising;
        for (index, (token, serial)) in rows.iter().enumerate() {
            let more = rows.get(index + 1).is_some_and(|(next, _)| next == token);
            let token =
                if more && batches && rising { "batch".to_owned() } else { token.to_string() };
            self.out.push_back(format!("RDATA {stream} {writer}{token} {}", live_text(*serial)));
        }
    }

    /// POSITION of all streams, as at anybody's REPLICATE.
    pub(crate) fn announce(&mut self) {
        if self.connected {
            for (stream, log) in &self.logs {
                self.out.push_back(format!("POSITION {stream} master {}", log.current));
            }
        }
    }

    /// The client said something.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is not about streams")]
    pub(crate) fn receive(&mut self, command: &Command) {
        match command {
            Command::Replicate(Replicate::Everything) => self.announce(),
            Command::Replicate(Replicate::Stream { stream, from }) => {
                let is_wanted = |name: &&'static str| *stream == "ALL" || **stream == **name;
                let wanted: Vec<_> = self.logs.keys().copied().filter(is_wanted).collect();
                assert!(!wanted.is_empty(), "{stream} was asked for");
                for name in wanted {
                    self.subscribed.retain(|known| *known != name);
                    let (from, taken_at) = (from.map(Token::get), self.logs[name].current);
                    let answering = Answering { from, taken_at, queue: Vec::new() };
                    let before = self.answering.insert(name, answering);
                    assert!(before.is_none(), "{name} was asked for twice at once");
                }
            }
            _ => {}
        }
    }

    /// Ends an answer: the missed rows, each with its token, where they end, and what came live.
    pub(crate) fn answer(&mut self, stream: &str, seed: u64) {
        let Some(answering) = self.answering.remove(stream) else { return };
        let Answering { from, taken_at, mut queue } = answering;
        let log = &self.logs[stream];
        // This one knows its end before it looks for rows, and passes it by one.
        let passes = stream == "federation";
        let upto = if passes { taken_at } else { log.current };
        if let Some(from) = from {
            let mut rows: Vec<_> = log
                .rows
                .iter()
                .copied()
                .filter(|(token, _)| from < *token && *token <= upto)
                .collect();
            if log.sends == Sends::Disorderly {
                shuffle(&mut rows, seed);
            }
            let beyond = log.rows.iter().find(|(token, _)| passes && *token > upto.max(from));
            let beyond = beyond.map(|(token, serial)| {
                // As it is now, which is not as it is sent once more.
                format!("RDATA {stream} {token} {}", page_text(*serial))
            });
            self.put(stream, &rows, false);
            self.out.extend(beyond);
        }
        self.out.push_back(format!("POSITION {stream} {upto}"));
        queue.retain(|(token, _)| *token > upto);
        self.put(stream, &queue, false);
        let (name, ..) = STREAMS.into_iter().find(|(name, ..)| *name == stream).expect("a stream");
        self.subscribed.push(name);
    }

    /// A page of a stream, of 1.13: in no order, and limited to `rows_max` tokens.
    pub(crate) fn page(&self, stream: &str, from: Token, upto: Token, seed: u64) -> Page {
        let log = &self.logs[stream];
        let in_range = |token: i64| token > from.get() && token <= upto.get();
        let mut updates: Vec<_> = log
            .rows
            .iter()
            .filter(|(token, _)| in_range(*token))
            .map(|(token, serial)| (Token::new(*token), Row::from(page_text(*serial).as_str())))
            .collect();
        // Pages end with a whole token here; what becomes of those that do not is tested elsewhere.
        let end = updates.get(2).map_or(upto, |(token, _)| *token);
        let limited =
            log.sends == Sends::Rising && updates.last().is_some_and(|(token, _)| *token > end);
        let page_end = if limited { end } else { upto };
        updates.retain(|(token, _)| *token <= page_end);
        if log.sends == Sends::Disorderly {
            shuffle(&mut updates, seed);
        }
        Page { updates, upto: page_end, limited }
    }
}
