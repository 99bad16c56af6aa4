//! Inputs of accepted connections: each is handed to the peers, the publisher or the account of
//! users, and what remains to the application.

use super::Node;
use crate::{
    connection::To,
    event::{Event, Warning},
    ids::ConnectionId,
    wire::{Command, DecodeError, DecodeErrorKind, Dialect, Replicate},
};

impl Node {
    pub(super) fn on_accepted(&mut self, conn: ConnectionId, dialect: Dialect) {
        if self.stopping {
            self.connections.peers.refuse_while_stopping(conn, dialect, &mut self.env);
            return;
        }
        self.connections.peers.accept(conn, dialect, &mut self.env);
        self.publisher.retry_waiting(&mut self.connections, &mut self.env);
    }

    pub(super) fn on_peer_disconnected(&mut self, conn: ConnectionId, reason: String) {
        let Some(peer) = self.connections.peers.remove(conn, &mut self.env) else { return };
        self.their_users.on_disconnected(conn, &mut self.env);
        if peer.announced {
            self.env.notify(Event::PeerDisconnected { conn, reason });
        }
        self.publisher.retry_waiting(&mut self.connections, &mut self.env);
    }

    pub(super) fn on_peer_sent(&mut self, conn: ConnectionId, count: u32) {
        if self.connections.peers.on_sent(conn, count, &self.env.config) {
            self.publisher.on_room_at_peer(conn, &mut self.connections, &mut self.env);
        }
    }

    pub(super) fn on_peer_keep_alive_due(&mut self, conn: ConnectionId) {
        self.connections.peers.on_keep_alive_due(conn, &mut self.env);
        self.publisher.retry_waiting(&mut self.connections, &mut self.env);
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other commands are treated alike")]
    pub(super) fn on_peer_command(&mut self, conn: ConnectionId, command: Command) {
        self.env.stats.commands += 1;
        if !self.connections.peers.may_send(conn, &command, &mut self.env) {
            return;
        }
        match command {
            Command::Ping(_) => {}
            Command::Name(name) => self.env.notify(Event::PeerNamed { conn, name }),
            Command::Error(text) => {
                self.env.notify(Event::Warning(Warning::PeerError { conn, text }));
            }
            Command::Replicate(replicate) => self.on_peer_replicate(conn, &replicate),
            command => {
                self.relay(Some(conn), &command);
                if let Some(command) = self.take_report(conn, command) {
                    let command = Box::new(command);
                    self.env.notify(Event::PeerCommand { conn, command });
                }
            }
        }
    }

    fn on_peer_replicate(&mut self, conn: ConnectionId, replicate: &Replicate) {
        let oldest =
            self.connections.peers.get(conn).is_some_and(|peer| peer.dialect.catches_up_in_band());
        let (connections, env) = (&mut self.connections, &mut self.env);
        match replicate {
            Replicate::Stream { stream, from } if oldest => {
                self.publisher.on_subscribe(conn, stream, *from, connections, env);
            }
            // Later servers do not read what stands behind the name (`protocol.md` 2.3).
            Replicate::Everything | Replicate::Stream { .. } => {
                self.publisher.announce_to_peer(conn, connections, env);
            }
        }
    }

    /// Relays that a remote server answers again, to all peers but the one that reported it
    /// (`protocol.md` 4.8). An observer relays nothing.
    pub(super) fn relay(&mut self, origin: Option<ConnectionId>, command: &Command) {
        if matches!(command, Command::RemoteServerUp(_))
            && !self.connections.peers.is_empty()
            && !self.env.config.observe_only
        {
            let command = command.clone();
            self.connections.peers.broadcast(To::Relay { origin }, command, &mut self.env);
        }
    }

    /// Sends a command of the application to the peers; returns false if there is none, or none
    /// that may get this command.
    pub(super) fn send_to_peers(&mut self, command: &Command) -> bool {
        if self.connections.peers.is_empty() {
            return false;
        }
        let command = command.clone();
        self.connections.peers.broadcast(To::Relay { origin: None }, command, &mut self.env)
    }

    /// Handles a line that is not a command: the peer is cut off. Blank lines are ignored, which is
    /// more lenient than Synapse.
    pub(super) fn on_peer_malformed(&mut self, conn: ConnectionId, error: &DecodeError) {
        let Some(dialect) = self.connections.peers.open(conn).map(|peer| peer.dialect) else {
            return;
        };
        if error.kind() == DecodeErrorKind::Blank {
            return;
        }
        self.env.stats.malformed += 1;
        let unknown = error.kind() == DecodeErrorKind::UnknownCommand;
        let told = if unknown && dialect.names_unknown_commands() {
            format!("invalid command: {}", error.command())
        } else {
            format!("failed to parse line: {error}")
        };
        self.connections.peers.refuse(conn, told, &mut self.env);
    }

    pub(super) fn on_peer_line_too_long(&mut self, conn: ConnectionId) {
        let told = "Line length exceeded".to_owned();
        self.connections.peers.refuse(conn, told, &mut self.env);
    }
}
