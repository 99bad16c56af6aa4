//! Own streams: from the end of a log to the rows and announcements that other instances get
//! (`protocol.md` 5).
//!
//! What enters: how far each log goes, pages of it, requests for positions, and what has gone out.
//! What leaves: reads of logs, RDATA and POSITION. Keeps P1 to P4.
//!
//! There are two outlets, the bus and the peers that connected to us, and each goes on at its own
//! pace: [`bus`](mod@bus) and [`peers`](mod@peers). Both are fed from pages of the log, which are
//! requested when one of them is behind and has room; rows are never kept here.
//! [`in_band`](mod@in_band) serves peers of the oldest dialect, which request old rows over the
//! connection.

mod bus;
mod in_band;
mod page;
mod peers;
mod reads;
mod stream;

use std::collections::BTreeMap;

use bytestring::ByteString;

use self::{
    bus::BusOutlet,
    page::LogPage,
    reads::{Reader, Reads},
    stream::{OwnStream, Reading},
};
use crate::{
    config::{Config, Transport},
    connection::Connections,
    env::Env,
    event::{Event, Warning},
    ids::{OwnIndex, ReadId},
    stream::{LogError, Page, Span, Token},
    timer::TimerKey,
};

/// All own streams.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Publisher {
    /// Our instance name.
    me: ByteString,
    /// Whether the connection that we make takes own rows.
    uses_bus: bool,
    streams: Vec<OwnStream>,
    by_name: BTreeMap<ByteString, OwnIndex>,
    bus: BusOutlet,
    reads: Reads,
    limit_reported: bool,
    /// Whether the node is stopping: logs count as ending where they do now, and what is left of
    /// them goes out.
    stopping: bool,
}

impl Publisher {
    pub(crate) fn new(config: &Config) -> Self {
        let mut publisher = Self {
            me: ByteString::from(config.instance.as_str()),
            uses_bus: config.transport == Transport::Bus && !config.observe_only,
            streams: Vec::new(),
            by_name: BTreeMap::new(),
            bus: BusOutlet::default(),
            reads: Reads::default(),
            limit_reported: false,
            stopping: false,
        };
        if !config.observe_only {
            for (name, end) in &config.publish.own_streams {
                publisher.add(ByteString::from(name.as_str()), *end, config);
            }
        }
        publisher
    }

    fn add(&mut self, name: ByteString, end: Token, config: &Config) -> OwnIndex {
        let channel = config.publish.main_channel.channel_of(&name);
        let index = OwnIndex::after(self.streams.len());
        self.by_name.insert(name.clone(), index);
        self.streams.push(OwnStream::new(name, channel, end));
        index
    }

    /// Returns the last token of the log of an own stream.
    pub(crate) fn end_of(&self, name: &str) -> Option<Token> {
        self.by_name.get(name).map(|index| self.streams[index.as_usize()].end)
    }

    /// Returns the last token of an own stream that was sent to anybody, or may have been by a
    /// process before this one.
    pub(crate) fn sent_of(&self, name: &str, conns: &Connections) -> Option<Token> {
        let index = *self.by_name.get(name)?;
        let stream = &self.streams[index.as_usize()];
        let to_peers = conns.peers.has_subscriber(index).then_some(stream.peers);
        to_peers.max(Some(stream.bus.highest))
    }

    /// Handles an append to the log of an own stream, which goes up to `token` now.
    pub(crate) fn on_appended(
        &mut self,
        name: ByteString,
        token: Token,
        conns: &mut Connections,
        env: &mut Env,
    ) {
        if env.config.observe_only || self.stopping {
            return;
        }
        let index = match self.by_name.get(&name) {
            Some(index) => *index,
            None if self.streams.len() >= env.config.publish.own_streams_max as usize => {
                if !self.limit_reported {
                    self.limit_reported = true;
                    env.notify(Event::Warning(Warning::TooManyStreams { stream: name }));
                }
                return;
            }
            None => {
                let index = self.add(name, Token::START, &env.config);
                if self.bus_is_open(conns) {
                    self.announce_one_on_bus(index, conns, env);
                }
                self.announce_to_all_peers(index, conns, env);
                index
            }
        };
        let stream = &mut self.streams[index.as_usize()];
        if stream.end < token {
            stream.end = token;
            self.queue_read(index);
            self.start_reads(conns, env);
        }
    }

    /// Queues this stream for a read, as its outlets may be behind, unless a read is on its way
    /// anyhow.
    fn queue_read(&mut self, index: OwnIndex) {
        let stream = &mut self.streams[index.as_usize()];
        match stream.reading {
            Reading::Idle => {
                stream.reading = Reading::InLine;
                self.reads.enqueue(Reader::Outlets(index));
            }
            Reading::InLine | Reading::InFlight { .. } | Reading::BackingOff => {}
        }
    }

    /// Requests as many pages as may be under way.
    fn start_reads(&mut self, conns: &mut Connections, env: &mut Env) {
        while let Some(reader) = self.reads.next() {
            match reader {
                Reader::Outlets(index) => self.read_for_outlets(index, conns, env),
                Reader::Peer(conn) => self.read_for_peer(conn, conns, env),
            }
        }
    }

    fn read_for_outlets(&mut self, index: OwnIndex, conns: &mut Connections, env: &mut Env) {
        self.skip_without_peers(index, conns);
        let bus_open = self.bus_is_open(conns);
        let bus_full = self.bus_is_full(env);
        let stream = &mut self.streams[index.as_usize()];
        if stream.reading != Reading::InLine {
            return;
        }
        let end = stream.end;
        let behind = |cursor: Token| (cursor < end).then_some(cursor);
        let bus = behind(stream.bus.sent).filter(|_| bus_open);
        let peers = behind(stream.peers);
        let is_behind = bus.is_some() || peers.is_some();
        let bus = bus.filter(|_| !bus_full);
        let peers = peers.filter(|_| self.stopping || conns.peers.has_room(index, &env.config));
        let from = match (bus, peers) {
            // In turns: the outlet that is ahead would otherwise wait for all that the other is
            // behind.
            (Some(bus), Some(peers)) if bus != peers => {
                stream.last_was_peers = !stream.last_was_peers;
                if stream.last_was_peers { peers } else { bus }
            }
            (Some(cursor), _) | (None, Some(cursor)) => cursor,
            (None, None) => {
                stream.reading = Reading::Idle;
                if is_behind {
                    self.reads.wait_for_room(index);
                }
                return;
            }
        };
        let rows_max = if conns.peers.has_subscriber(index) {
            Reads::rows_max_for_peers(&env.config)
        } else {
            env.config.publish.log_rows_max
        };
        let span = Span::new(from, end);
        let name = stream.name.clone();
        let query = self.reads.start(Reader::Outlets(index), name, span, rows_max, env);
        stream.reading = Reading::InFlight { query, span };
    }

    /// Handles a page of an own log, or the reason why there is none.
    pub(crate) fn on_log_read(
        &mut self,
        query: ReadId,
        result: Result<Page, LogError>,
        conns: &mut Connections,
        env: &mut Env,
    ) {
        match self.reads.finish(query) {
            Some(Reader::Outlets(index)) => self.on_page_for_outlets(index, result, conns, env),
            Some(Reader::Peer(conn)) => self.on_page_for_peer(conn, query, result, conns, env),
            // The read was answered before, or the id is that of a fetch.
            None => {}
        }
        self.start_reads(conns, env);
    }

    fn on_page_for_outlets(
        &mut self,
        index: OwnIndex,
        result: Result<Page, LogError>,
        conns: &mut Connections,
        env: &mut Env,
    ) {
        let stream = &mut self.streams[index.as_usize()];
        let Reading::InFlight { span, .. } = stream.reading else { return };
        stream.reading = Reading::Idle;
        let page = match self.checked(index, result, span, conns) {
            Ok(page) => page,
            Err(error) => {
                self.on_log_failed(index, error, env);
                return;
            }
        };
        self.page_to_bus(index, &page, conns, env);
        self.page_to_peers(index, &page, conns, env);
        self.queue_read(index);
    }

    /// Returns the page, if it is what was requested. With the first one after failures, peers are
    /// queued that waited for the log.
    fn checked(
        &mut self,
        index: OwnIndex,
        result: Result<Page, LogError>,
        span: Span,
        conns: &mut Connections,
    ) -> Result<LogPage, LogError> {
        let stream = &mut self.streams[index.as_usize()];
        let page = result.and_then(|page| {
            LogPage::check(page, span)
                .map_err(|message| LogError { stream: stream.name.to_string(), message })
        })?;
        if std::mem::take(&mut stream.attempt) > 0 {
            self.queue_peers(conns);
        }
        Ok(page)
    }

    /// Handles the failure to read a log: it is not read again before the timer, whoever wanted the
    /// page.
    fn on_log_failed(&mut self, index: OwnIndex, error: LogError, env: &mut Env) {
        env.stats.log_reads_failed += 1;
        let stream = &mut self.streams[index.as_usize()];
        stream.attempt = stream.attempt.saturating_add(1);
        let attempt = stream.attempt;
        let retry_in = env.jitter.delay(env.config.publish.log_retry, attempt);
        env.notify(Event::Warning(Warning::LogFailed { error, attempt, retry_in }));
        match stream.reading {
            // What cannot be read now is not sent before we stop.
            _ if self.stopping => self.give_up(index),
            // That read is on its way, and as good as a retry.
            Reading::InFlight { .. } => {}
            Reading::Idle | Reading::InLine | Reading::BackingOff => {
                stream.reading = Reading::BackingOff;
                env.timers.set(TimerKey::LogRetry(index), env.now + retry_in);
            }
        }
    }

    /// Handles the time to read a log again that could not be read.
    pub(crate) fn on_log_retry(&mut self, index: OwnIndex, conns: &mut Connections, env: &mut Env) {
        let stream = &mut self.streams[index.as_usize()];
        if stream.reading == Reading::BackingOff {
            stream.reading = Reading::Idle;
        }
        self.queue_read(index);
        self.queue_peers(conns);
        self.start_reads(conns, env);
    }

    /// Queues the streams that waited for room: an outlet may take more again.
    pub(crate) fn retry_waiting(&mut self, conns: &mut Connections, env: &mut Env) {
        for index in self.reads.take_waiting_for_room() {
            self.queue_read(index);
        }
        self.start_reads(conns, env);
    }

    /// Begins to stop: from now on only what the logs hold already goes out.
    pub(crate) fn stop(&mut self, conns: &mut Connections, env: &mut Env) {
        self.stopping = true;
        for index in 0..self.streams.len() {
            let index = OwnIndex::after(index);
            if self.streams[index.as_usize()].reading == Reading::BackingOff {
                self.give_up(index);
            }
        }
        self.retry_waiting(conns, env);
    }

    /// Gives up what is left of this log: it will not go out.
    fn give_up(&mut self, index: OwnIndex) {
        let stream = &mut self.streams[index.as_usize()];
        stream.reading = Reading::Idle;
        stream.end = stream.bus.sent.min(stream.peers);
    }

    /// Returns whether all that the logs hold was sent, as far as there is anyone to take it.
    pub(crate) fn is_drained(&self, conns: &Connections) -> bool {
        let bus_open = self.bus_is_open(conns);
        self.streams.iter().zip(0..).all(|(stream, index)| {
            (!bus_open || stream.bus.sent >= stream.end)
                && (stream.peers >= stream.end
                    || !conns.peers.has_subscriber(OwnIndex::after(index)))
        })
    }
}
