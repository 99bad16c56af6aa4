//! Judges what the writers say on the bus, where the server takes it.

use bytes::Bytes;
use synrepl_core::{
    Event, Timestamp,
    stream::Source,
    wire::{Command, Decoder},
};

use super::{
    redis::{Client, Party},
    stage::Contents,
};
use crate::{
    marks::Mark,
    oracle::{Promise, Violation},
    scenario::Scenario,
    world::Log,
};

impl Contents {
    /// Notes that the server has started, and that nobody is subscribed.
    pub(super) fn on_bus_start(&mut self) {
        for writer in &mut self.writers {
            writer.subscribed_at = None;
        }
        for follower in &mut self.followers {
            follower.subscribed_at = None;
        }
    }

    /// Returns the number for a connection that the server has taken.
    pub(super) fn next_client(&mut self) -> u64 {
        self.bus_clients += 1;
        self.bus_clients
    }

    /// Notes that an instance is subscribed to the bus from now on.
    pub(super) fn on_subscribed(&mut self, at: Timestamp, party: Party) {
        match party {
            Party::Writer(writer) => self.writers[writer].subscribed_at = Some(at),
            Party::Follower(follower) => self.followers[follower].subscribed_at = Some(at),
        }
    }

    /// Returns whether a connection stays when those of its instance are cut.
    pub(super) fn spares(&mut self, party: Party, is_subscriber: bool) -> bool {
        let Party::Follower(follower) = party else { return false };
        let spares = is_subscriber && self.followers[follower].cut_publishing;
        if spares {
            self.marks.hit(Mark::PublishingCut);
        }
        spares
    }

    /// Judges a message that the server takes. Without a client it is a stranger's.
    pub(super) fn judge_published(
        &mut self,
        at: Timestamp,
        from: Option<Client>,
        payload: &Bytes,
        source: Option<&Source>,
    ) {
        let Ok(command) = Decoder::new().decode(payload) else { return };
        if matches!(command, Command::Replicate(_)) {
            self.on_replicate(at, from.map(|client| client.party));
        }
        let Some(Client { party: Party::Writer(writer), number }) = from else { return };
        let is_named = |log: &&mut Log| Some(&log.source) == source;
        if let Some(log) = self.logs.of_writer(writer).find(is_named) {
            log.on_said(&command);
        }
        if self.is_late(writer, number) {
            self.marks.hit(Mark::LatePublish);
            return;
        }
        let log = source.and_then(|source| self.logs.find(source));
        let Some(log) = log.filter(|log| log.writer == writer) else { return };
        self.marks.hit(Mark::OursPublished);
        match self.publish.judge(at, &command, log) {
            Ok(true) => self.marks.hit(Mark::OursAnnouncedAgain),
            Ok(false) => {}
            Err(violation) => self.break_promise(at, writer, violation),
        }
    }

    /// Returns whether a writer had given up the connection on which a message comes. What was
    /// still on its way then is not judged, and says nothing about the next connection.
    fn is_late(&mut self, writer: usize, number: u64) -> bool {
        let part = &mut self.writers[writer];
        if number > part.publishes_on {
            part.publishes_on = number;
            self.publish.on_connected(&Scenario::writer_name(writer));
        }
        number < self.writers[writer].publishes_on
    }

    /// Notes that all who are subscribed were asked to announce.
    fn on_replicate(&mut self, at: Timestamp, asks: Option<Party>) {
        let since = match asks {
            Some(Party::Writer(writer)) => self.writers[writer].subscribed_at,
            Some(Party::Follower(follower)) => self.followers[follower].subscribed_at,
            None => None,
        };
        for writer in 0..self.writers.len() {
            if self.writers[writer].subscribed_at.is_some() {
                // A stranger has heard nothing before it asks.
                let (since, name) = (since.unwrap_or(at), Scenario::writer_name(writer));
                self.publish.on_replicate(at, since, &name);
            }
        }
    }

    /// Judges an event that the application of a writer is given.
    pub(super) fn on_event_of_writer(&mut self, at: Timestamp, writer: usize, event: &Event) {
        let Event::Published { stream, token } = event else { return };
        let Some(log) = self.logs.own(writer, stream) else { return };
        if let Err(violation) = self.publish.on_published(at, *token, log) {
            self.break_promise(at, writer, violation);
        }
    }

    /// Checks P3: the application of a writer was told of all that the bus has taken from it.
    pub(super) fn check_published(&self, at: Timestamp) -> Option<(usize, Violation)> {
        (0..self.writers.len()).find_map(|writer| {
            let verdict = self.publish.check_published(at, &Scenario::writer_name(writer));
            verdict.err().map(|violation| (writer, violation))
        })
    }

    /// Checks what a follower says to others: an observer may say nothing.
    pub(super) fn check_silence(&mut self, at: Timestamp, follower: usize, line: &[u8]) {
        if self.scenario.followers[follower].observe_only {
            let what = format!("an observer said {}", String::from_utf8_lossy(line));
            let part = &self.followers[follower];
            let violation = part.oracle.violation(Promise::Silence, None, what);
            self.break_promise(at, self.follower_lane(follower), violation);
        }
    }

    /// Checks P4: no writer owes an announcement for which it was asked long ago.
    pub(super) fn check_answered(&self, at: Timestamp) -> Option<(usize, Violation)> {
        (0..self.writers.len()).find_map(|writer| {
            let verdict = self.publish.check_answered(at, &Scenario::writer_name(writer));
            verdict.err().map(|violation| (writer, violation))
        })
    }
}
