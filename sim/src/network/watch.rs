//! Records what goes into a core and comes out of it, for the trace and the fingerprint.

use bytes::BytesMut;
use synrepl::Recorder;
use synrepl_core::{
    Action, Config, FetchId, Input, Timestamp,
    stream::{Source, Span, Token},
    wire::{Command, Dialect, encode},
};

use super::stage::{Stage, now};
use crate::{
    marks::Mark,
    scenario::Via,
    trace::{MessageKind, What},
};

/// Watches one life of a follower.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) stage: Stage,
    pub(super) follower: usize,
    /// The fetches under way.
    pub(super) fetches: Vec<Fetch>,
}

impl Recorder for Watch {
    fn start(&mut self, _config: &Config) {}

    fn input(&mut self, _now: Timestamp, input: &Input) {
        let text = format!("{input:?}");
        let mut stage = self.stage.lock();
        stage.steps += 1;
        stage.imprint(now(), self.follower, &text);
        drop(stage);
        self.note_input(input);
    }

    fn action(&mut self, action: &Action) {
        let text = format!("{action:?}");
        self.stage.lock().imprint(now(), self.follower, &text);
        if let Action::Fetch { query, source, span: Span { from, upto } } = action {
            let mut stage = self.stage.lock();
            let lane = stage.follower_lane(self.follower);
            let to = stage.logs.iter().find(|log| log.source == *source).map(|log| log.writer);
            let to = to.unwrap_or_else(|| stage.bus_lane());
            let message = stage.next_message();
            let kind = MessageKind::Fetch;
            let text = format!("fetch {source} ({from}, {upto}]");
            stage.note(now(), lane, Some(source), || What::Sent { message, to, kind, text });
            stage.followers[self.follower].wanted += 1;
            self.fetches.push((*query, message, source.clone(), *from, *upto));
        }
        if let Action::CancelFetch { query } = action {
            self.forget(*query);
        }
    }
}

/// A fetch under way: its id, its message in the trace, its source, and its span.
pub(super) type Fetch = (FetchId, u64, Source, Token, Token);

impl Watch {
    /// Forgets a fetch that is answered or no longer wanted.
    fn forget(&mut self, query: FetchId) -> Option<Fetch> {
        let found = self.fetches.iter().position(|(id, ..)| *id == query)?;
        self.stage.lock().followers[self.follower].wanted -= 1;
        Some(self.fetches.swap_remove(found))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is told by the events")]
    fn note_input(&mut self, input: &Input) {
        let mut stage = self.stage.lock();
        let lane = stage.follower_lane(self.follower);
        match input {
            Input::Received { command, .. } => {
                let mut line = BytesMut::new();
                let dialect = match stage.followers[self.follower].via {
                    Via::Tcp(dialect) => dialect,
                    Via::Bus => Dialect::LATEST,
                };
                if encode(command, dialect, &mut line).is_ok() {
                    received(&mut stage, self.follower, &line, command);
                }
            }
            Input::Malformed { error, .. } => {
                let text = format!("cannot be read: {error}");
                stage.note(now(), lane, None, || What::Input { text });
            }
            Input::Disconnected { reason, .. } => {
                for (message, _) in std::mem::take(&mut stage.followers[self.follower].under_way) {
                    let why = "the connection ended".to_owned();
                    stage.note(now(), lane, None, || What::Lost { message, why });
                }
                let text = format!("disconnected: {reason}");
                stage.note(now(), lane, None, || What::Input { text });
            }
            Input::Fetched { query, result } => {
                drop(stage);
                let Some((_, message, source, ..)) = self.forget(*query) else { return };
                let mut stage = self.stage.lock();
                let writer = stage.logs.find(&source);
                let Some(writer) = writer.map(|log| log.writer) else { return };
                match result {
                    Ok(page) => {
                        if page.limited {
                            stage.marks.hit(Mark::FetchPaged);
                        }
                        // The times at which the question arrived and the page left are not known.
                        stage.note(now(), writer, Some(&source), || What::Received { message });
                        let limited = if page.limited { ", limited" } else { "" };
                        let (rows, upto) = (page.updates.len(), page.upto);
                        let text = format!("{rows} rows of {source} up to {upto}{limited}");
                        let message = stage.next_message();
                        let kind = MessageKind::Page;
                        let to = lane;
                        let sent = What::Sent { message, to, kind, text };
                        stage.note(now(), writer, Some(&source), || sent);
                        stage.note(now(), lane, Some(&source), || What::Received { message });
                    }
                    Err(error) => {
                        let why = error.to_string();
                        stage.note(now(), writer, Some(&source), || What::Lost { message, why });
                    }
                }
            }
            _ => {}
        }
    }
}

/// Watches one life of a writer: what it hands over to peers, and what the fingerprint is made of.
#[derive(Debug)]
pub(super) struct ServerWatch {
    pub(super) stage: Stage,
    pub(super) writer: usize,
}

/// Added to the number of a writer, so that a fingerprint tells it from a follower.
const WRITERS: usize = 1 << 16;

impl Recorder for ServerWatch {
    fn start(&mut self, _config: &Config) {}

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is of no peer")]
    fn input(&mut self, _now: Timestamp, input: &Input) {
        let text = format!("{input:?}");
        let mut stage = self.stage.lock();
        stage.steps += 1;
        stage.imprint(now(), WRITERS + self.writer, &text);
        match input {
            Input::Accepted { conn, dialect } => stage.direct.on_accepted(*conn, *dialect),
            Input::Disconnected { conn, .. } => stage.direct.on_disconnected(*conn),
            _ => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is of no peer")]
    fn action(&mut self, action: &Action) {
        let text = format!("{action:?}");
        let mut stage = self.stage.lock();
        stage.imprint(now(), WRITERS + self.writer, &text);
        match action {
            Action::Send { conn, command, .. } => stage.check_untaken(*conn, command),
            Action::Broadcast { audience, command } => {
                for conn in audience.connections() {
                    stage.check_untaken(*conn, command);
                }
            }
            _ => {}
        }
    }
}

/// Records that a command has arrived. Messages that were sent before it on the same connection and
/// have not arrived are lost.
fn received(stage: &mut super::stage::Contents, follower: usize, line: &[u8], command: &Command) {
    let lane = stage.follower_lane(follower);
    let under_way = &mut stage.followers[follower].under_way;
    let name = command.name().as_bytes();
    let is_it = |text: &[u8]| text == line || (text.starts_with(name) && line.starts_with(text));
    let Some(at) = under_way.iter().position(|(_, text)| is_it(text.as_bytes())) else { return };
    let passed: Vec<_> = under_way.drain(..=at).map(|(message, _)| message).collect();
    for (index, message) in passed.into_iter().enumerate() {
        stage.note(now(), lane, None, || {
            if index == at {
                What::Received { message }
            } else {
                What::Lost { message, why: "not a command".to_owned() }
            }
        });
    }
}
