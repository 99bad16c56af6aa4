//! What happens on accepted connections.

use super::Node;
use crate::connection::{Peers, To};
use crate::{
    event::{Event, Warning},
    ids::ConnectionId,
    turn::Turn,
    wire::{Command, DecodeError, DecodeErrorKind, Dialect, Replicate},
};

impl Node {
    /// One turn of the accepted connections alone.
    fn at_peers<R>(&mut self, act: impl FnOnce(&mut Peers, &mut Turn<'_>) -> R) -> R {
        let mut turn = Turn { now: self.now, config: &self.config, shared: &mut self.shared };
        act(&mut self.peers, &mut turn)
    }

    pub(super) fn on_accepted(&mut self, conn: ConnectionId, dialect: Dialect) {
        if self.stopping {
            self.at_peers(|peers, turn| peers.accept_not(conn, dialect, turn));
            return;
        }
        self.at_peers(|peers, turn| peers.accept(conn, dialect, turn));
        self.publish(|publisher, ctx| publisher.look_for_room(ctx));
    }

    pub(super) fn on_peer_disconnected(&mut self, conn: ConnectionId, reason: String) {
        let Some(peer) = self.at_peers(|peers, turn| peers.remove(conn, turn)) else { return };
        self.their_users.on_disconnected(conn, &mut self.shared);
        if peer.announced {
            self.shared.notify(Event::PeerDisconnected { conn, reason });
        }
        self.publish(|publisher, ctx| publisher.look_for_room(ctx));
    }

    pub(super) fn on_peer_sent(&mut self, conn: ConnectionId, count: u32) {
        if self.peers.on_sent(conn, count, &self.config) {
            self.publish(|publisher, ctx| publisher.on_room_at_peer(conn, ctx));
        }
    }

    pub(super) fn on_peer_keep_alive_due(&mut self, conn: ConnectionId) {
        self.at_peers(|peers, turn| peers.on_keep_alive_due(conn, turn));
        self.publish(|publisher, ctx| publisher.look_for_room(ctx));
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other commands are treated alike")]
    pub(super) fn on_peer_command(&mut self, conn: ConnectionId, command: Command) {
        self.shared.stats.commands += 1;
        if !self.at_peers(|peers, turn| peers.may_say(conn, &command, turn)) {
            return;
        }
        match command {
            Command::Ping(_) => {}
            Command::Name(name) => self.shared.notify(Event::PeerNamed { conn, name }),
            Command::Error(text) => {
                self.shared.notify(Event::Warning(Warning::PeerError { conn, text }));
            }
            Command::Replicate(replicate) => self.on_peer_replicate(conn, &replicate),
            command => {
                self.relay(Some(conn), &command);
                if let Some(command) = self.keep_account(conn, command) {
                    let command = Box::new(command);
                    self.shared.notify(Event::PeerCommand { conn, command });
                }
            }
        }
    }

    fn on_peer_replicate(&mut self, conn: ConnectionId, replicate: &Replicate) {
        let oldest = self.peers.get(conn).is_some_and(|peer| !peer.dialect.names_instances());
        self.publish(|publisher, ctx| match replicate {
            Replicate::Stream { stream, from } if oldest => {
                publisher.on_subscribe(conn, stream, *from, ctx);
            }
            // Later servers do not look at what stands behind the name.
            Replicate::Everything | Replicate::Stream { .. } => {
                publisher.announce_to_peer(conn, ctx);
            }
        });
    }

    /// Passes on that a remote server answers again, to all but where that came from
    /// (`protocol.md` 4.8). Who only observes passes nothing on.
    pub(super) fn relay(&mut self, origin: Option<ConnectionId>, command: &Command) {
        if matches!(command, Command::RemoteServerUp(_))
            && !self.peers.is_empty()
            && !self.config.observe_only
        {
            let command = command.clone();
            self.at_peers(|peers, turn| peers.broadcast(To::Relay { origin }, command, turn));
        }
    }

    /// Sends for the application; false if no peer may be told this, or none is there.
    pub(super) fn send_to_peers(&mut self, command: &Command) -> bool {
        if self.peers.is_empty() {
            return false;
        }
        let command = command.clone();
        self.at_peers(|peers, turn| peers.broadcast(To::Relay { origin: None }, command, turn))
    }

    /// A line that is no command. Blank ones are let pass, which is kinder than the reference.
    pub(super) fn on_peer_malformed(&mut self, conn: ConnectionId, error: &DecodeError) {
        let Some(dialect) = self.peers.open(conn).map(|peer| peer.dialect) else { return };
        if error.kind() == DecodeErrorKind::Blank {
            return;
        }
        self.shared.stats.malformed += 1;
        let unknown = error.kind() == DecodeErrorKind::UnknownCommand;
        let told = if unknown && !dialect.names_instances() {
            format!("invalid command: {}", error.command())
        } else {
            format!("failed to parse line: {error}")
        };
        self.at_peers(|peers, turn| peers.refuse(conn, told, turn));
    }

    pub(super) fn on_peer_line_too_long(&mut self, conn: ConnectionId) {
        let told = "Line length exceeded".to_owned();
        self.at_peers(|peers, turn| peers.refuse(conn, told, turn));
    }
}
