//! What a machine asks for, and the application behind it.

use std::hash::Hash;

use bytes::Bytes;
use synrepl_core::{
    Action, Event, Input, Timestamp,
    stream::{Source, Span},
    wire::{Command, Decoder, Dialect},
};

use super::{
    process::{Due, Fetch, LinkState, LogRead, ProcessIndex, in_life},
    world::World,
};
use crate::{
    handler::Truth,
    marks::Mark,
    oracle::{Promise, Violation},
    panic::caught,
    planted::DriverBug,
    report::event_words,
    trace::What,
    world::Log,
};

/// Events that an application may leave untaken before its driver hands nothing more in.
const PENDING_MAX: usize = 32;
/// Inputs that may wait for that before the bus cuts a slow subscriber off.
const INBOX_MAX: usize = 64;

impl World<'_> {
    /// Hands an input in, or lets it wait if the application is behind.
    pub(super) fn feed(&mut self, index: ProcessIndex, input: Input, about: Option<Source>) {
        if let Some(follower) = &mut self.processes[index].follower
            && (!follower.inbox.is_empty() || follower.pending.len() >= PENDING_MAX)
            && !self.has_driver_bug(DriverBug::DropsEventsWhenBehind)
        {
            let Some(follower) = &mut self.processes[index].follower else { return };
            let is_received = matches!(input, Input::Received { .. } | Input::Malformed { .. });
            if matches!(input, Input::Tick) {
                follower.tick_missed = true;
                return;
            }
            follower.inbox.push_back((input, about));
            // A direct connection just fills up; a bus cuts off who does not read.
            let is_full = follower.inbox.len() > INBOX_MAX;
            if is_received && is_full && self.processes[index].link.peer.is_none() {
                self.marks.hit(Mark::SlowFollowerCut);
                let conn = self.processes[index].link.conn;
                self.disconnect(index, conn, "reads too slowly");
            }
            return;
        }
        self.feed_now(index, input, about.as_ref());
    }

    pub(super) fn has_driver_bug(&self, bug: DriverBug) -> bool {
        self.options.planted == Some(bug)
    }

    /// Carries out what a machine asks for.
    pub(super) fn drain(&mut self, index: ProcessIndex) {
        loop {
            let Some(machine) = &mut self.processes[index].machine else { return };
            let Some(action) = machine.poll_action() else { return };
            action.hash(&mut self.fingerprint);
            self.act(index, action);
            if self.stops() {
                return;
            }
        }
    }

    fn act(&mut self, index: ProcessIndex, action: Action) {
        match action {
            Action::Connect { conn } => {
                let process = &mut self.processes[index];
                let conn = in_life(process.life, conn);
                process.link.conn = conn;
                process.link.state = LinkState::Connecting;
                process.link.broken = false;
                let at = self.now + self.delay(index) + self.delay(index);
                self.queue.plan(at, Due::Connect { process: index, conn });
            }
            Action::Close { conn } => {
                if conn.is_accepted() {
                    self.close_peer(conn);
                    return;
                }
                let conn = in_life(self.processes[index].life, conn);
                let at = self.now + self.delay(index);
                self.queue.plan(at, Due::Disconnect { process: index, conn, reason: "closed" });
            }
            Action::Send { conn, command, .. } if conn.is_accepted() => {
                self.say_to_peer(conn, &command);
            }
            Action::Broadcast { audience, command } => {
                for conn in audience.connections() {
                    self.say_to_peer(*conn, &command);
                }
            }
            Action::Send { conn, channel, command } => {
                self.judge_channel(index, channel, &command);
                let process = &self.processes[index];
                if process.link.is_up() && process.link.conn == in_life(process.life, conn) {
                    self.say(index, &command);
                }
            }
            Action::ReadLog { query, stream, span: Span { from, upto }, rows_max } => {
                let process = &self.processes[index];
                let life = process.life;
                let read = Box::new(LogRead { stream, from, upto, rows_max });
                let at = self.now + std::time::Duration::from_micros(50);
                self.queue.plan(at, Due::LogRead { process: index, life, query, read });
            }
            Action::Fetch { query, source, span: Span { from, upto } } => {
                let conn = self.processes[index].link.conn;
                let fetch = Fetch { source, from, upto, conn };
                self.ask(index, query, fetch);
            }
            Action::CancelFetch { query } => {
                let process = &mut self.processes[index];
                if let Some(fetch) = process.fetches.remove(&query)
                    && query.get() % 2 == 1
                {
                    // The answer may still come.
                    process.cancelled.insert(query, fetch);
                }
            }
            Action::Notify(event) => self.on_event(index, event),
            _ => {}
        }
    }

    /// Publishes a command of a machine.
    fn say(&mut self, index: ProcessIndex, command: &Command) {
        let process = &self.processes[index];
        let is_greeting = matches!(command, Command::Name(_) | Command::Ping(_));
        if process.config.observe_only && !is_greeting {
            self.fail(index, Promise::Silence, format!("an observer said {}", command.name()));
            return;
        }
        if let Some(dialect) = self.dialect_of(index) {
            self.say_to_server(index, command, dialect);
            return;
        }
        if let Some(line) = self.encoded(index, command, Dialect::LATEST) {
            self.publish(index, line);
        }
    }

    /// Sends a line on its way to the bus.
    pub(super) fn publish(&mut self, index: ProcessIndex, line: Bytes) {
        let read = Decoder::new().decode(&line);
        let message = self.new_message(index, line, read);
        let leg = self.sent(index, self.writers, &message);
        let process = &mut self.processes[index];
        let is_replicate = matches!(message.read, Ok(Command::Replicate(_)));
        if let Some(follower) = &mut process.follower
            && is_replicate
            && follower.lose_replicates > 0
        {
            follower.lose_replicates -= 1;
            follower.replicate_lost = true;
            self.marks.hit(Mark::ReplicateLost);
            self.lost(self.writers, leg, "a fault took it");
            return;
        }
        let is_ours = self.processes[index].machine.is_some();
        if let Some(writer) = &mut self.processes[index].writer
            && writer.lose > 0
            && is_ours
            && message.source.is_some()
        {
            // The bus never answers: the connection is dead from here on, and that is noticed.
            writer.lose -= 1;
            self.marks.hit(Mark::OurPublishLost);
            self.lost(self.writers, leg, "a fault took it");
            self.break_link(index, 400);
            return;
        }
        let at = (self.now + self.delay(index)).max(self.processes[index].link.outward_at);
        let link = &mut self.processes[index].link;
        link.outward_at = at;
        let conn = link.conn;
        if is_ours && self.has_driver_bug(DriverBug::ConfirmsEarly) {
            self.queue.plan(self.now, Due::Taken { by: index, conn });
        }
        self.queue.plan(at, Due::AtBus { conn, message, leg });
    }

    /// The link carries nothing any more, which is noticed after `ms`.
    pub(super) fn break_link(&mut self, index: ProcessIndex, ms: u16) {
        let link = &mut self.processes[index].link;
        if link.is_up() && !link.broken {
            link.broken = true;
            let conn = link.conn;
            let at = self.now + std::time::Duration::from_millis(u64::from(ms));
            let reason = "nothing was heard for too long";
            self.queue.plan(at, Due::Disconnect { process: index, conn, reason });
        }
    }

    fn on_event(&mut self, index: ProcessIndex, event: Event) {
        let drops = self.has_driver_bug(DriverBug::DropsEventsWhenBehind);
        if drops && self.is_behind(index) {
            // The event is gone for good, though later events move the saved position past it.
            return;
        }
        let lane = self.lane(index);
        let source = event.position().map(|(source, _)| source.clone());
        self.note(lane, source.as_ref(), || What::Event { text: event_words(&event) });
        if let Event::Published { stream, token } = &event {
            let is = |log: &&Log| log.writer == index && log.source.stream() == &**stream;
            let verdict = self
                .logs
                .iter()
                .find(is)
                .map_or(Ok(()), |log| self.publish.on_published(self.now, *token, log));
            if let Err(violation) = verdict {
                self.break_promise(index, violation);
            }
        }
        let Some(follower) = &mut self.processes[index].follower else { return };
        follower.counts.count(&event, &self.logs, &mut self.marks);
        let verdict = follower.oracle.judge(&event, &self.logs);
        if let (Event::Live { .. }, true) = (&event, self.processes[index].config.observe_only) {
            self.marks.hit(Mark::ObserverLive);
        }
        if let Err(violation) = verdict {
            self.break_promise(index, violation);
        }
        let saves_early = self.has_driver_bug(DriverBug::SavesPositionsEarly);
        let Some(follower) = &mut self.processes[index].follower else { return };
        if saves_early && let Some((source, token)) = event.position() {
            follower.applied.set(source, token);
        }
        let free = follower.pending.is_empty() && follower.busy_until <= self.now;
        if free && follower.handler_us == 0 {
            self.take(index, &event);
        } else {
            follower.pending.push_back(event);
            self.plan_handler(index);
        }
    }

    /// Whether the application has left as many events untaken as it may.
    pub(super) fn is_behind(&self, index: ProcessIndex) -> bool {
        let follower = self.processes[index].follower.as_ref();
        follower.is_some_and(|follower| follower.pending.len() >= PENDING_MAX)
    }

    pub(super) fn plan_handler(&mut self, index: ProcessIndex) {
        if let Some(follower) = &mut self.processes[index].follower
            && !follower.pending.is_empty()
            && !follower.handler_planned
        {
            follower.handler_planned = true;
            let at = follower.busy_until.max(self.now);
            self.queue.plan(at, Due::HandlerFree { process: index });
        }
    }

    /// The application takes the next event, and what waited for that is handed in.
    pub(super) fn on_handler_free(&mut self, index: ProcessIndex) {
        let now = self.now;
        let Some(follower) = &mut self.processes[index].follower else { return };
        follower.handler_planned = false;
        if follower.busy_until > now {
            self.plan_handler(index);
            return;
        }
        if let Some(event) = follower.pending.pop_front() {
            let takes = std::time::Duration::from_micros(u64::from(follower.handler_us));
            follower.busy_until = now + takes;
            self.marks.hit(Mark::SlowHandler);
            self.take(index, &event);
        }
        while let Some(follower) = &mut self.processes[index].follower
            && follower.pending.len() < PENDING_MAX
            && let Some((input, about)) = follower.inbox.pop_front()
        {
            self.feed_now(index, input, about.as_ref());
            if self.stops() {
                return;
            }
        }
        if let Some(follower) = &mut self.processes[index].follower
            && follower.inbox.is_empty()
            && follower.pending.len() < PENDING_MAX
            && std::mem::take(&mut follower.tick_missed)
        {
            self.feed_now(index, Input::Tick, None);
        }
        self.plan_handler(index);
    }

    /// The application handles an event.
    fn take(&mut self, index: ProcessIndex, event: &Event) {
        let Some(follower) = &mut self.processes[index].follower else { return };
        if let Some((source, token)) = event.position() {
            follower.applied.set(source, token);
        }
        if index == self.writers
            && let Some(handler) = &mut self.options.handler
            && let Err(what) = caught(|| handler.on_event(self.now, event, Truth::new(&self.logs)))
                .and_then(|handled| handled)
        {
            let source = event.position().map(|(source, _)| source);
            let violation = follower.oracle.violation(Promise::Application, source, what);
            let violation = Violation { at: self.now, ..violation };
            self.break_promise(index, violation);
        }
    }

    /// Notes that a message is on its way, and returns its number in the trace.
    pub(super) fn sent(
        &mut self,
        from: ProcessIndex,
        to_lane: usize,
        message: &super::process::Message,
    ) -> u64 {
        let lane = self.lane(from);
        self.sent_on(
            lane,
            to_lane,
            message.source.as_ref(),
            crate::trace::MessageKind::Command,
            || String::from_utf8_lossy(&message.line).into_owned(),
        )
    }

    pub(super) fn sent_on(
        &mut self,
        lane: usize,
        to: usize,
        source: Option<&Source>,
        kind: crate::trace::MessageKind,
        text: impl FnOnce() -> String,
    ) -> u64 {
        let now: Timestamp = self.now;
        let Some(recorder) = &mut self.recorder else { return 0 };
        let message = recorder.next_message();
        recorder.note(now, lane, source, What::Sent { message, to, kind, text: text() });
        message
    }

    pub(super) fn received(&mut self, lane: usize, message: u64) {
        self.note(lane, None, || What::Received { message });
    }

    pub(super) fn lost(&mut self, lane: usize, message: u64, why: &'static str) {
        self.note(lane, None, || What::Lost { message, why: why.to_owned() });
    }
}
