//! Direct TCP: connections from followers to the main process, each in its dialect
//! (`protocol.md` 1.2, 3). A connection loses nothing while it stands; it ends on both sides.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use synrepl_core::{
    ConnectionId, Input, Timestamp,
    wire::{Command, Decoder, Dialect, encode},
};

use super::{
    population::PEER_PENDING_MAX,
    process::{Due, ProcessIndex, as_named},
    world::World,
};
use crate::{
    marks::Mark,
    oracle::Promise,
    scenario::Via,
    trace::{MessageKind, What},
};

/// The process that takes connections.
pub(super) const SERVER: ProcessIndex = 0;

impl World<'_> {
    /// The dialect in which a follower is connected directly, if it is.
    pub(super) fn dialect_of(&self, index: ProcessIndex) -> Option<Dialect> {
        let plan = self.scenario.followers.get(index.checked_sub(self.writers)?)?;
        match plan.via {
            Via::Tcp(dialect) => Some(dialect),
            Via::Bus => None,
        }
    }

    /// A follower has reached the listener.
    pub(super) fn accept(&mut self, index: ProcessIndex, dialect: Dialect) {
        let conn = ConnectionId::accepted(self.accepted);
        self.accepted += 1;
        self.processes[index].link.peer = Some(conn);
        self.marks.hit(Mark::Accepted);
        self.processes[index].link.untaken = 0;
        self.feed(SERVER, Input::Accepted { conn, dialect }, None);
    }

    /// The follower to which the server's connection leads.
    pub(super) fn peer(&self, conn: ConnectionId) -> Option<ProcessIndex> {
        (self.writers..self.processes.len())
            .find(|index| self.processes[*index].link.peer == Some(conn))
    }

    /// The server says something to a peer.
    pub(super) fn say_to_peer(&mut self, conn: ConnectionId, command: &Command) {
        let Some((to, dialect)) = self.peer(conn).and_then(|to| Some((to, self.dialect_of(to)?)))
        else {
            return;
        };
        let Some(line) = self.encoded(SERVER, command, dialect) else { return };
        let to_lane = self.lane(to);
        let source = self.logs.named_in(&Ok(command.clone()));
        let leg = self.sent_on(SERVER, to_lane, source.as_ref(), MessageKind::Command, || {
            String::from_utf8_lossy(&line).into_owned()
        });
        let at = (self.now + self.delay(to)).max(self.processes[to].link.inward_at);
        let link = &mut self.processes[to].link;
        link.inward_at = at;
        link.untaken += 1;
        // Two commands more may be under way: the one that went over the limit, and the ERROR.
        if link.untaken > PEER_PENDING_MAX + 2 {
            let what = format!("a peer has left {} commands untaken", PEER_PENDING_MAX + 3);
            self.fail(SERVER, Promise::CutsOff, what);
        }
        let conn = self.processes[to].link.conn;
        self.queue.plan(at, Due::TcpInward { to, conn, line, leg });
    }

    /// A follower says something to the server.
    pub(super) fn say_to_server(
        &mut self,
        index: ProcessIndex,
        command: &Command,
        dialect: Dialect,
    ) {
        let Some(line) = self.encoded(index, command, dialect) else { return };
        let Some(peer) = self.processes[index].link.peer else { return };
        let lane = self.lane(index);
        let leg = self.sent_on(lane, SERVER, None, MessageKind::Command, || {
            String::from_utf8_lossy(&line).into_owned()
        });
        let loses = matches!(command, Command::Replicate(_))
            && self.processes[index].follower.as_ref().is_some_and(|f| f.lose_replicates > 0);
        if loses {
            // Nothing gets lost on a connection that stands: it ends.
            if let Some(follower) = &mut self.processes[index].follower {
                follower.lose_replicates -= 1;
            }
            self.lost(SERVER, leg, "its connection broke");
            self.break_link(index, 500);
            return;
        }
        let at = (self.now + self.delay(index)).max(self.processes[index].link.outward_at);
        self.processes[index].link.outward_at = at;
        self.queue.plan(at, Due::TcpOutward { from: index, peer, line, leg });
    }

    pub(super) fn encoded(
        &mut self,
        index: ProcessIndex,
        command: &Command,
        dialect: Dialect,
    ) -> Option<Bytes> {
        let mut line = BytesMut::new();
        match encode(command, dialect, &mut line) {
            Ok(()) => Some(line.freeze()),
            Err(error) => {
                self.fail(index, Promise::Total, error.to_string());
                None
            }
        }
    }

    /// A line of the server reaches a follower.
    pub(super) fn on_tcp_inward(
        &mut self,
        to: ProcessIndex,
        conn: ConnectionId,
        line: &Bytes,
        leg: u64,
    ) {
        let lane = self.lane(to);
        let link = &self.processes[to].link;
        if !link.is_up() || link.conn != conn || link.broken {
            self.lost(lane, leg, "its connection ended");
            return;
        }
        let peer = link.peer;
        self.received(lane, leg);
        if let Some(conn) = peer {
            self.processes[to].link.untaken = self.processes[to].link.untaken.saturating_sub(1);
            self.feed(SERVER, Input::Sent { conn, count: 1 }, None);
        }
        let read = Decoder::new().decode(line);
        let message = self.new_message(SERVER, line.clone(), read);
        self.hear(to, conn, &message);
    }

    /// A line of a follower reaches the server.
    pub(super) fn on_tcp_outward(
        &mut self,
        from: ProcessIndex,
        peer: ConnectionId,
        line: &Bytes,
        leg: u64,
    ) {
        let link = &self.processes[from].link;
        if !link.is_up() || link.peer != Some(peer) || link.broken {
            self.lost(SERVER, leg, "its connection ended");
            return;
        }
        let conn = as_named(link.conn);
        self.received(SERVER, leg);
        self.feed(from, Input::Sent { conn, count: 1 }, None);
        match Decoder::new().decode(line) {
            Ok(command) => self.feed(SERVER, Input::Received { conn: peer, command }, None),
            Err(error) => self.feed(SERVER, Input::Malformed { conn: peer, error }, None),
        }
    }

    /// The server closes a connection: the peer hears what was sent before, then the end.
    pub(super) fn close_peer(&mut self, conn: ConnectionId) {
        let Some(index) = self.peer(conn) else { return };
        self.marks.hit(Mark::PeerClosed);
        let at = self.processes[index].link.inward_at.max(self.now) + Duration::from_micros(10);
        let conn = self.processes[index].link.conn;
        self.queue
            .plan(at, Due::Disconnect { process: index, conn, reason: "closed by the server" });
    }

    /// The follower's side of a direct connection has ended; so does the server's.
    pub(super) fn end_peer(&mut self, index: ProcessIndex, reason: &'static str) {
        if let Some(conn) = self.processes[index].link.peer.take() {
            self.note(SERVER, None, || What::Input {
                text: format!("disconnected {conn}: {reason}"),
            });
            let reason = reason.to_owned();
            self.feed(SERVER, Input::Disconnected { conn, reason }, None);
        }
    }

    /// The server is gone: all that were connected to it notice.
    pub(super) fn end_all_peers(&mut self) {
        let now: Timestamp = self.now;
        for index in self.writers..self.processes.len() {
            let link = &mut self.processes[index].link;
            if link.peer.take().is_some() {
                let conn = link.conn;
                let reason = "the server went away";
                self.queue.plan(now, Due::Disconnect { process: index, conn, reason });
            }
        }
    }
}
