//! The outlet to the bus: what was sent there, and what is known to have gone out (promise P3,
//! `protocol.md` 5.4).
//!
//! What enters: pages of own logs, REPLICATE of others, and how many commands have gone out. What
//! leaves: RDATA and POSITION, in the order of the log (P1), and the events that say what is
//! published.

use std::collections::VecDeque;

use bytestring::ByteString;

use super::{Publisher, page::LogPage, stream::OwnStream};
use crate::{
    config::Channel,
    connection::Connections,
    env::Env,
    event::{Event, Warning},
    ids::OwnIndex,
    stream::{Span, Token, traits},
    wire::{Command, Position, Rdata},
};

/// What has been sent on the present connection to the bus and not yet gone out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct BusOutlet {
    /// The tokens that are complete once a command has gone out, in the order of the commands.
    marks: VecDeque<Mark>,
    /// The last announcement of all streams, until something of it is known to have gone out.
    announcement: Option<Announcement>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Mark {
    command: u64,
    stream: OwnIndex,
    token: Token,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Announcement {
    first_command: u64,
    first_stream: OwnIndex,
    /// Where it has the first stream.
    at: Token,
}

/// Returns the announcement of an own stream: no row lies in `(prev, token]`.
pub(super) fn position(stream: &OwnStream, me: &ByteString, prev: Token, token: Token) -> Command {
    Command::Position(Position {
        stream: stream.name.clone(),
        instance: me.clone(),
        prev,
        token,
        ends_catch_up: false,
    })
}

impl Publisher {
    /// Returns whether own rows can go out on the bus now.
    pub(super) fn bus_is_open(&self, conns: &Connections) -> bool {
        self.uses_bus && conns.upstream.up().is_some()
    }

    /// Handles a new connection: announces all own streams, and goes on behind that (P4).
    pub(crate) fn on_bus_up(&mut self, conns: &mut Connections, env: &mut Env) {
        if !self.uses_bus {
            return;
        }
        for stream in &mut self.streams {
            stream.resume_on_bus();
        }
        self.announce_on_bus(conns, env);
        for index in 0..self.streams.len() {
            self.queue_read(OwnIndex::after(index));
        }
        self.start_reads(conns, env);
    }

    /// Handles the end of the connection: the fate of what has not been confirmed is unknown.
    pub(crate) fn on_bus_down(&mut self) {
        self.bus = BusOutlet::default();
    }

    /// Handles a REPLICATE of another instance (P4).
    ///
    /// A second announcement is of no use while one has not gone out yet: the bus brings all of
    /// that one to every instance that sent its REPLICATE before. The announcement has begun to go
    /// out when its first command is confirmed or comes back as an echo, whichever is first; an
    /// instance that sends REPLICATE after that may have missed it.
    pub(crate) fn on_replicate_on_bus(&mut self, conns: &mut Connections, env: &mut Env) {
        if self.bus_is_open(conns) && self.bus.announcement.is_none() {
            self.announce_on_bus(conns, env);
        }
    }

    fn announce_on_bus(&mut self, conns: &mut Connections, env: &mut Env) {
        self.bus.announcement = None;
        for index in 0..self.streams.len() {
            let stream = OwnIndex::after(index);
            let Some(command) = self.announce_one_on_bus(stream, conns, env) else { continue };
            self.bus.announcement.get_or_insert(Announcement {
                first_command: command,
                first_stream: stream,
                at: self.streams[index].bus.sent,
            });
        }
    }

    /// Announces one stream where it was sent up to, never ahead of rows that are still to be sent:
    /// those come behind it (P4). Returns the number of the command.
    pub(super) fn announce_one_on_bus(
        &mut self,
        index: OwnIndex,
        conns: &mut Connections,
        env: &mut Env,
    ) -> Option<u64> {
        let stream = &mut self.streams[index.as_usize()];
        let at = stream.bus.sent;
        let command = position(stream, &self.me, at, at);
        let command = conns.upstream.send_on(stream.channel, command, env)?;
        // Where the first announcement of a token has no confirmation yet, a second one waits for
        // none: the number of marks does not grow with the requests.
        let is_unconfirmed = at > stream.bus.confirmed || !stream.bus.announced;
        if is_unconfirmed && stream.bus.announced_on_this != Some(at) {
            stream.bus.announced_on_this = Some(at);
            self.bus.marks.push_back(Mark { command, stream: index, token: at });
        }
        Some(command)
    }

    /// Sends the rows of the page that were not sent yet.
    pub(super) fn page_to_bus(
        &mut self,
        index: OwnIndex,
        page: &LogPage,
        conns: &mut Connections,
        env: &mut Env,
    ) {
        let takes = self.bus_is_open(conns) && !self.bus_is_full(env);
        let stream = &mut self.streams[index.as_usize()];
        if !takes || !page.continues(stream.bus.sent) {
            return;
        }
        let mut at = stream.bus.sent;
        for batch in page.batches_above(at) {
            let mut command = None;
            for (nth, (token, row)) in batch.iter().enumerate() {
                at = *token;
                let rdata = Command::Rdata(Rdata {
                    stream: stream.name.clone(),
                    instance: self.me.clone(),
                    token: (nth + 1 == batch.len()).then_some(*token),
                    row: row.clone(),
                });
                command = conns.upstream.send_on(stream.channel, rdata, env);
            }
            env.stats.rows_published += batch.len() as u64;
            if let Some(command) = command {
                self.bus.marks.push_back(Mark { command, stream: index, token: at });
            }
        }
        if at < page.complete {
            // The page is complete up to there, so no row lies between (P2).
            let moved = position(stream, &self.me, at, page.complete);
            let channel = stream.channel;
            if let Some(command) = conns.upstream.send_on(channel, moved, env) {
                self.bus.marks.push_back(Mark { command, stream: index, token: page.complete });
            }
        }
        stream.bus.sent = page.complete;
        stream.bus.highest = stream.bus.highest.max(page.complete);
    }

    /// Handles commands that have gone out on the bus.
    pub(crate) fn on_bus_sent(&mut self, was_full: bool, conns: &mut Connections, env: &mut Env) {
        let gone_out = env.outbox.gone_out();
        let mut advanced = Vec::new();
        while let Some(mark) = self.bus.marks.pop_front_if(|mark| mark.command <= gone_out) {
            let cursor = &mut self.streams[mark.stream.as_usize()].bus;
            if cursor.confirmed == cursor.notified {
                advanced.push(mark.stream);
            }
            cursor.confirmed = cursor.confirmed.max(mark.token);
            // The first command of a stream on a connection is its announcement.
            cursor.announced = true;
        }
        for index in advanced {
            let OwnStream { name, bus: cursor, .. } = &mut self.streams[index.as_usize()];
            if cursor.notified < cursor.confirmed {
                cursor.notified = cursor.confirmed;
                let (stream, token) = (name.clone(), cursor.notified);
                env.notify(Event::Published { stream, token });
            }
        }
        if self.bus.announcement.is_some_and(|announcement| announcement.first_command <= gone_out)
        {
            self.bus.announcement = None;
        }
        if was_full && !self.bus_is_full(env) {
            self.retry_waiting(conns, env);
        }
    }

    /// Returns whether as many commands are unconfirmed as may be.
    pub(crate) fn bus_is_full(&self, env: &Env) -> bool {
        env.outbox.unconfirmed() >= u64::from(env.config.publish.unconfirmed_max)
    }

    /// Handles an announcement of another instance: where Synapse takes one writer only, and hears
    /// of us, its configuration names that instance or us (P6).
    pub(crate) fn on_others_position(
        &mut self,
        stream: &ByteString,
        instance: &ByteString,
        env: &mut Env,
    ) {
        // Mostly there is no own stream of that name.
        let Some(index) = self.by_name.get(stream) else { return };
        if !self.uses_bus || !traits(stream).single_writer {
            return;
        }
        let own = &mut self.streams[index.as_usize()];
        if own.channel == Channel::Main && !own.other_writer_reported {
            own.other_writer_reported = true;
            let (stream, instance) = (stream.clone(), instance.clone());
            env.notify(Event::Warning(Warning::OtherWriter { stream, instance }));
        }
    }

    /// Handles an RDATA or POSITION under our own name; `token` is `None` inside a batch. Returns
    /// whether it is the echo of what we have sent ourselves.
    pub(crate) fn on_echo(&mut self, stream: &str, token: Option<Token>) -> bool {
        let Some(index) = self.by_name.get(stream).copied().filter(|_| self.uses_bus) else {
            return false;
        };
        let highest = self.streams[index.as_usize()].bus.highest;
        token.is_none_or(|token| token <= highest)
    }

    /// Handles a POSITION under our own name, like [`Publisher::on_echo`]. Rows and announcements
    /// that were sent before the last announcement of all streams come back before it, and say
    /// nothing of how far that one has come.
    pub(crate) fn on_own_position(&mut self, stream: &str, span: Span) -> bool {
        let is_first = |announcement: &Announcement| {
            self.by_name.get(stream) == Some(&announcement.first_stream)
                && span == Span { from: announcement.at, upto: announcement.at }
        };
        if self.bus.announcement.as_ref().is_some_and(is_first) {
            self.bus.announcement = None;
        }
        self.on_echo(stream, Some(span.upto))
    }
}
