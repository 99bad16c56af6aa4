//! A node that writes streams, with its logs. Its actions are shown as lines.
//!
//! | line | action |
//! | --- | --- |
//! | `c1< POSITION s me 3 3` | sent on its own connection |
//! | `c1/synrepl< POSITION s me 3 3` | the same, on the channel to which no Synapse listens |
//! | `p0< PING 0` | sent on an accepted connection; `p0,p1<` is a broadcast |
//! | `read q1 s 0..3` | a page of a log is requested |
//! | `close p0` | a connection is closed |
//! | anything else | an event |

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod log;

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use self::log::{Log, Read};
use crate::bench::{Bench, received};
use bytes::BytesMut;
use synrepl_core::{
    Action, ByteString, Channel, Config, ConnectionId, Event, Input, MainChannel, Misuse, Stats,
    Transport, Warning,
    stream::{Row, Span, Token},
    wire::{Command, Dialect, encode},
};

/// The instance name of the writer.
pub(crate) const ME: &str = "me";

/// What is said where nothing happens.
pub(crate) const NOTHING: [&str; 0] = [];

/// Rows have no writers, and are asked for by stream.
pub(crate) const OLDEST: Dialect = Dialect::V0_23;
/// An announcement has one token.
pub(crate) const MIDDLE: Dialect = Dialect::V1_13;
pub(crate) const NEWEST: Dialect = Dialect::V1_22;

/// With these own streams, of which all go out on the main channel.
pub(crate) fn config(own_streams: &[(&str, i64)]) -> Config {
    let mut config = Config::default();
    ME.clone_into(&mut config.instance);
    config.server_name = Some(ByteString::from_static("hs"));
    config.publish.main_channel = MainChannel::Everything;
    for (name, end) in own_streams {
        config.publish.own_streams.insert((*name).to_owned(), Token::new(*end));
    }
    config
}

/// A writer whose connection to the bus stands, and everything said so far gone out.
pub(crate) fn on_bus(own_streams: &[(&str, i64)]) -> Writer {
    on_bus_with(own_streams, |_| {})
}

pub(crate) fn on_bus_with(own_streams: &[(&str, i64)], change: impl FnOnce(&mut Config)) -> Writer {
    let mut writer = unconnected(own_streams, change);
    writer.connect();
    writer
}

/// A writer that makes no connection itself.
pub(crate) fn server(own_streams: &[(&str, i64)]) -> Writer {
    server_with(own_streams, |_| {})
}

pub(crate) fn server_with(own_streams: &[(&str, i64)], change: impl FnOnce(&mut Config)) -> Writer {
    unconnected(own_streams, |config| {
        config.transport = Transport::None;
        change(config);
    })
}

/// A writer whose connection is still to be made, if it makes one.
pub(crate) fn unconnected(own_streams: &[(&str, i64)], change: impl FnOnce(&mut Config)) -> Writer {
    let mut config = config(own_streams);
    change(&mut config);
    Writer::new(config)
}

pub(crate) fn peer(number: u64) -> ConnectionId {
    ConnectionId::accepted(number)
}

pub(crate) struct Writer {
    pub(crate) bench: Bench,
    pub(crate) logs: BTreeMap<String, Log>,
    /// Reads are answered when the test says so.
    pub(crate) holds_reads: bool,
    pub(crate) reads: Vec<Read>,
    dialects: BTreeMap<ConnectionId, Dialect>,
}

impl Writer {
    fn new(config: Config) -> Self {
        let own_streams = &config.publish.own_streams;
        let mut writer = Self {
            logs: own_streams.keys().map(|name| (name.clone(), Log::default())).collect(),
            bench: Bench::new(config),
            holds_reads: false,
            reads: Vec::new(),
            dialects: BTreeMap::new(),
        };
        writer.drain();
        writer
    }

    pub(crate) fn handle(&mut self, input: Input) -> Vec<String> {
        self.try_handle(input).expect("the contract is kept")
    }

    pub(crate) fn try_handle(&mut self, input: Input) -> Result<Vec<String>, Misuse> {
        self.bench.try_hand(input)?;
        Ok(self.drain())
    }

    pub(crate) fn stats(&self) -> Stats {
        self.bench.node.stats()
    }

    fn drain(&mut self) -> Vec<String> {
        let mut shown = Vec::new();
        loop {
            while let Some(action) = self.bench.poll() {
                if let Some(read) = Read::of(&action) {
                    self.reads.push(read);
                    if !self.holds_reads {
                        continue;
                    }
                }
                shown.extend(self.show(&action));
            }
            if self.holds_reads || self.reads.is_empty() {
                return shown;
            }
            let read = self.reads.remove(0);
            self.bench.hand(read.answer(&self.logs));
        }
    }

    /// Answers the oldest read that was held.
    pub(crate) fn answer_next(&mut self) -> Vec<String> {
        let read = self.reads.remove(0);
        self.handle(read.answer(&self.logs))
    }

    pub(crate) fn fail_next(&mut self) -> Vec<String> {
        let read = self.reads.remove(0);
        self.handle(read.fail())
    }

    /// One batch; says what it led to.
    pub(crate) fn append(&mut self, stream: &str, token: i64, rows: &[&str]) -> Vec<String> {
        self.write(stream, token, rows);
        self.handle(Input::Appended { stream: ByteString::from(stream), token: token.into() })
    }

    /// One batch in the log that nobody speaks of yet.
    pub(crate) fn write(&mut self, stream: &str, token: i64, rows: &[&str]) {
        let log = self.logs.entry(stream.to_owned()).or_default();
        log.put(token, rows.iter().map(|row| Row::from(*row)).collect());
    }

    /// A row under each of these tokens that nobody speaks of yet.
    pub(crate) fn fill(&mut self, stream: &str, tokens: RangeInclusive<i64>) {
        tokens.for_each(|token| self.write(stream, token, &["[]"]));
    }

    pub(crate) fn connect(&mut self) -> Vec<String> {
        self.handle(self.bench.made())
    }

    pub(crate) fn lose(&mut self) -> Vec<String> {
        self.handle(self.bench.lost())
    }

    /// Loses the connection and makes the next one; what that led to.
    pub(crate) fn reconnect(&mut self) -> Vec<String> {
        self.lose();
        self.wait(10_000);
        self.connect()
    }

    /// The oldest `count` commands on the connection to the bus have gone out.
    pub(crate) fn sent(&mut self, count: u32) -> Vec<String> {
        self.handle(Input::Sent { conn: self.bench.conn(), count })
    }

    pub(crate) fn wait(&mut self, ms: u64) -> Vec<String> {
        self.bench.now = self.bench.now + Duration::from_millis(ms);
        self.handle(Input::Tick)
    }

    /// A line on the connection to the bus.
    pub(crate) fn hear(&mut self, line: &str) -> Vec<String> {
        self.handle(received(self.bench.conn(), line))
    }

    pub(crate) fn accept(&mut self, number: u64, dialect: Dialect) -> Vec<String> {
        self.dialects.insert(peer(number), dialect);
        self.handle(Input::Accepted { conn: peer(number), dialect })
    }

    /// A line of a peer.
    pub(crate) fn says(&mut self, number: u64, line: &str) -> Vec<String> {
        self.handle(received(peer(number), line))
    }

    /// A peer has taken this many commands.
    pub(crate) fn takes(&mut self, number: u64, count: u32) -> Vec<String> {
        self.handle(Input::Sent { conn: peer(number), count })
    }

    pub(crate) fn leaves(&mut self, number: u64) -> Vec<String> {
        self.handle(Input::Disconnected { conn: peer(number), reason: "left".to_owned() })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is shown as it is")]
    fn show(&self, action: &Action) -> Option<String> {
        Some(match action {
            Action::Connect { conn } => format!("connect {conn}"),
            Action::Close { conn } => format!("close {}", name(*conn)),
            Action::Send { conn, channel, command } => {
                let dialect = self.dialects.get(conn).copied().unwrap_or_default();
                let apart = if *channel == Channel::Synrepl { "/synrepl" } else { "" };
                format!("{}{apart}< {}", name(*conn), line(command, dialect))
            }
            Action::Broadcast { audience, command } => {
                let names: Vec<_> = audience.connections().iter().map(|conn| name(*conn)).collect();
                format!("{}< {}", names.join(","), line(command, Dialect::LATEST))
            }
            Action::ReadLog { query, stream, span: Span { from, upto }, .. } => {
                format!("read {query} {stream} {from}..{upto}")
            }
            Action::Notify(event) => return show_event(event),
            _ => format!("{action:?}"),
        })
    }
}

fn name(conn: ConnectionId) -> String {
    if conn.is_accepted() { format!("p{}", conn.get() - peer(0).get()) } else { conn.to_string() }
}

fn line(command: &Command, dialect: Dialect) -> String {
    let mut out = BytesMut::new();
    encode(command, dialect, &mut out).expect("the peer can be told this");
    String::from_utf8(out.to_vec()).expect("lines are text").trim_end().to_owned()
}

/// Only what is about publishing and peers.
#[expect(clippy::wildcard_enum_match_arm, reason = "the rest is shown as it is")]
fn show_event(event: &Event) -> Option<String> {
    Some(match event {
        Event::Connected { .. }
        | Event::Disconnected { .. }
        | Event::Command { .. }
        | Event::Warning(Warning::Unanswered { .. } | Warning::NothingHeard { .. }) => return None,
        Event::Published { stream, token } => format!("published {stream} {token}"),
        Event::PeerConnected { conn, dialect } => format!("{} connected, {dialect}", name(*conn)),
        Event::PeerNamed { conn, name: label } => format!("{} is {label}", name(*conn)),
        Event::PeerDisconnected { conn, .. } => format!("{} disconnected", name(*conn)),
        Event::PeerCommand { conn, command } => {
            format!("{} said {}", name(*conn), line(command, Dialect::LATEST))
        }
        Event::Warning(Warning::LogFailed { error, attempt, .. }) => {
            format!("failed {attempt}: {error}")
        }
        Event::Warning(Warning::PeerTooSlow { conn, pending }) => {
            format!("{} too slow, {pending} pending", name(*conn))
        }
        Event::Warning(Warning::PeerRefused { conn, told }) => {
            format!("{} refused: {told}", name(*conn))
        }
        Event::Warning(Warning::PeerError { conn, text }) => {
            format!("{} has an error: {text}", name(*conn))
        }
        Event::Warning(Warning::TooManyPeers { conn }) => {
            format!("{} is one too many", name(*conn))
        }
        Event::Warning(Warning::RowTooLong { stream, token }) => {
            format!("too long: {stream} {token}")
        }
        Event::Warning(warning) => format!("{warning:?}"),
        Event::Stopped => "stopped".to_owned(),
        event => format!("{event:?}"),
    })
}
