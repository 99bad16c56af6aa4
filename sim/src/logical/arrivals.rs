//! Connections, the bus, and what reaches an instance.

use std::{rc::Rc, time::Duration};

use synrepl_core::{
    ConnectionId, Input,
    stream::Source,
    wire::{Command, Decoder, Dialect},
};

use super::{
    process::{Due, LinkState, Message, ProcessIndex, as_named},
    tcp::SERVER,
    world::World,
};
use crate::{marks::Mark, planted::DriverBug, trace::What, world::damaged};

impl World<'_> {
    /// A connection is made or fails.
    pub(super) fn on_connect(&mut self, index: ProcessIndex, conn: ConnectionId) {
        let now = self.now;
        let bus_is_down = now < self.bus_down_until;
        let link = &self.processes[index].link;
        if link.state != LinkState::Connecting || link.conn != conn {
            return;
        }
        let dialect = self.dialect_of(index);
        let listens = dialect.is_none() || self.processes[SERVER].machine.is_some();
        let link = &mut self.processes[index].link;
        if link.refuse > 0
            || now < link.refuse_until
            || (bus_is_down && dialect.is_none())
            || !listens
        {
            link.refuse = link.refuse.saturating_sub(1);
            self.marks.hit(Mark::ConnectionRefused);
            self.disconnect(index, conn, "refused");
            return;
        }
        link.state = LinkState::Up;
        link.since = now;
        link.outward_at = now;
        link.inward_at = now;
        let process = &mut self.processes[index];
        if let Some(follower) = &mut process.follower {
            follower.open_batches.clear();
            follower.positioned.clear();
            follower.last_was_position = false;
            follower.live_since.get_or_insert(now);
        } else {
            let name = process.name.clone();
            self.publish.on_connected(&name);
        }
        if let Some(dialect) = dialect {
            self.accept(index, dialect);
        }
        let lane = self.lane(index);
        self.note(lane, None, || What::Input { text: format!("connected as {conn}") });
        if self.has_driver_bug(DriverBug::ConnectedBeforeSubscribed) {
            // The follower does not hear what is answered within this time.
            self.processes[index].link.deaf_until = now + Duration::from_millis(150);
        }
        self.feed(index, Input::Connected { conn: as_named(conn) }, None);
    }

    /// A connection ends, if it is still the present one.
    pub(super) fn disconnect(
        &mut self,
        index: ProcessIndex,
        conn: ConnectionId,
        reason: &'static str,
    ) {
        let process = &mut self.processes[index];
        if process.link.state == LinkState::Down || process.link.conn != conn {
            return;
        }
        let was_up = process.link.is_up();
        if let Some(follower) = &mut process.follower
            && was_up
        {
            if !follower.open_batches.is_empty() {
                self.marks.hit(Mark::CutInBatch);
            }
            if follower.counts.is_catching_up() {
                self.marks.hit(Mark::CutInCatchUp);
            }
            if follower.last_was_position {
                self.marks.hit(Mark::CutAfterPosition);
            }
            follower.cut_after = None;
        }
        let lane = self.lane(index);
        self.note(lane, None, || What::Input { text: format!("disconnected {conn}: {reason}") });
        let is_bus = self.processes[index].link.peer.is_none();
        if was_up
            && is_bus
            && index >= self.writers
            && self.has_driver_bug(DriverBug::HidesReconnection)
        {
            // The driver subscribes again at once under the same name, and what was on its way is
            // lost.
            let link = &mut self.processes[index].link;
            link.broken = false;
            link.inward_at = self.now + Duration::from_millis(100);
            return;
        }
        let link = &mut self.processes[index].link;
        link.state = LinkState::Down;
        link.broken = false;
        if index < self.writers {
            self.on_writer_disconnected(index);
        }
        self.end_peer(index, reason);
        if self.processes[index].machine.is_some() {
            let reason = reason.to_owned();
            self.feed(index, Input::Disconnected { conn: as_named(conn), reason }, None);
        }
    }

    /// The bus takes a message and passes it to everyone who is there.
    pub(super) fn on_bus(&mut self, conn: ConnectionId, message: &Rc<Message>, leg: u64) {
        let bus = self.writers;
        let sender = message.from;
        let link = &self.processes[sender].link;
        if self.now < self.bus_down_until || !link.is_up() || link.conn != conn || link.broken {
            self.lost(bus, leg, "its connection ended");
            return;
        }
        self.received(bus, leg);
        if let Ok(command) = &message.read {
            self.on_published(sender, command, message.source.as_ref());
        }
        self.pass_to_all(message);
        if self.processes[sender].machine.is_some()
            && !self.has_driver_bug(DriverBug::ConfirmsEarly)
        {
            let at = (self.now + self.delay(sender)).max(self.processes[sender].link.inward_at);
            self.processes[sender].link.inward_at = at;
            self.queue.plan(at, Due::Taken { by: sender, conn });
        }
    }

    /// The bus passes a message to everyone who is there.
    pub(super) fn pass_to_all(&mut self, message: &Rc<Message>) {
        let bus = self.writers;
        let is_replicate = matches!(message.read, Ok(Command::Replicate(_)));
        for to in 0..self.processes.len() {
            if is_replicate && to < self.writers && self.processes[to].link.is_up() {
                let since = self.processes[message.from].link.since;
                self.publish.on_replicate(self.now, since, &self.processes[to].name);
            }
            let process = &self.processes[to];
            // What a builtin writer hears changes it only if it is a question.
            let direct = process.link.peer.is_some();
            if !process.link.is_up() || direct || (process.machine.is_none() && !is_replicate) {
                continue;
            }
            let to_lane = self.lane(to);
            let kind = crate::trace::MessageKind::Command;
            let leg = self.sent_on(bus, to_lane, message.source.as_ref(), kind, || {
                String::from_utf8_lossy(&message.line).into_owned()
            });
            let at = (self.now + self.delay(to)).max(self.processes[to].link.inward_at);
            let link = &mut self.processes[to].link;
            link.inward_at = at;
            let conn = link.conn;
            self.queue.plan(at, Due::Arrive { to, conn, message: Rc::clone(message), leg });
        }
    }

    /// A message reaches an instance.
    pub(super) fn on_arrival(
        &mut self,
        to: ProcessIndex,
        conn: ConnectionId,
        message: &Rc<Message>,
        leg: u64,
    ) {
        let lane = self.lane(to);
        let link = &self.processes[to].link;
        if !link.is_up() || link.conn != conn || link.broken || self.now < link.deaf_until {
            self.lost(lane, leg, "its connection ended");
            return;
        }
        self.received(lane, leg);
        let is_replicate = matches!(message.read, Ok(Command::Replicate(_)));
        if self.processes[to].machine.is_none() {
            if is_replicate {
                self.on_asked_to_announce(to);
            }
            return;
        }
        self.hear(to, conn, message);
    }

    /// An instance hears a message, damaged if that is planned.
    pub(super) fn hear(&mut self, to: ProcessIndex, conn: ConnectionId, message: &Rc<Message>) {
        self.mark_arrival(to, message);
        // Without an instance name a cut line may read as another stream's.
        let names = self.dialect_of(to).is_none_or(Dialect::names_instances);
        let damage = self.processes[to]
            .follower
            .as_mut()
            .filter(|_| names && matches!(message.read, Ok(Command::Rdata(_))))
            .and_then(|follower| follower.damage.take());
        let read = match damage {
            Some(byte) => {
                self.marks.hit(Mark::Damaged);
                Decoder::new().decode(&damaged(&message.line, byte))
            }
            None => message.read.clone(),
        };
        let about = self.logs.named_in(&read).or_else(|| message.source.clone());
        let (tagged, conn) = (conn, as_named(conn));
        match read {
            Ok(command) => self.feed(to, Input::Received { conn, command }, about),
            Err(_) if self.has_driver_bug(DriverBug::SwallowsMalformed) => {}
            Err(error) => self.feed(to, Input::Malformed { conn, error }, about),
        }
        if let Some(follower) = &mut self.processes[to].follower
            && let Some(after) = follower.cut_after
        {
            follower.cut_after = after.checked_sub(1);
            if follower.cut_after.is_none() {
                self.disconnect(to, tagged, "cut");
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "other commands are not of a log")]
    fn mark_arrival(&mut self, to: ProcessIndex, message: &Message) {
        let Some(follower) = &mut self.processes[to].follower else { return };
        follower.last_was_position = false;
        let (Some(source), Ok(command)) = (&message.source, &message.read) else { return };
        if message.number < follower.latest.0 && message.from != follower.latest.1 {
            self.marks.hit(Mark::WritersReordered);
        }
        if message.number > follower.latest.0 {
            follower.latest = (message.number, message.from);
        }
        match command {
            Command::Rdata(rdata) => {
                let interleaved =
                    |other: &Source| other != source && other.stream() == source.stream();
                if follower.open_batches.iter().any(interleaved) {
                    self.marks.hit(Mark::BatchesInterleaved);
                }
                if !follower.positioned.contains(source) {
                    self.marks.hit(Mark::RdataBeforePosition);
                }
                if rdata.token.is_none() {
                    follower.open_batches.insert(source.clone());
                } else {
                    follower.open_batches.remove(source);
                }
            }
            Command::Position(position) => {
                follower.last_was_position = true;
                let (prev, new) = (position.prev, position.token);
                if let Some(at) = follower.oracle.position_of(source) {
                    self.marks.hit(if new < at {
                        Mark::PositionAhead
                    } else if new == at {
                        Mark::PositionAtNew
                    } else if at < prev {
                        Mark::PositionBehind
                    } else if at == prev {
                        Mark::PositionAtPrev
                    } else {
                        Mark::PositionInside
                    });
                }
                if !follower.positioned.contains(source) {
                    follower.positioned.insert(source.clone());
                }
            }
            _ => {}
        }
    }
}
