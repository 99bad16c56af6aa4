//! The other end of a direct TCP connection that we make: the main process (`protocol.md` 3.1, 3.2,
//! 3.4, 3.5).
//!
//! What enters: each command of the server. What leaves: NAME and PING, and whether the command is
//! for the node or ends the connection.

use bytestring::ByteString;

use super::{
    direction::{client_may_send, server_may_send},
    keep_alive::{Due, KeepAlive},
};
use crate::{
    env::Env,
    event::{Event, Warning},
    ids::ConnectionId,
    time::Timestamp,
    timer::TimerKey,
    wire::{Command, Dialect},
};

/// The state of the server on the present connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    dialect: Dialect,
    life: KeepAlive,
    /// Whether it has sent its name, and that name is the right one, or any will do.
    named: bool,
}

/// What follows from a command of the server, or from a look whether it is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The command is for the node.
    ForNode,
    /// The command only manages the connection, or is ignored.
    Done,
    /// The server gets this text as ERROR, and the connection is closed.
    Refused(&'static str),
}

impl Server {
    /// Sends our name and a PING.
    pub(super) fn greet(conn: ConnectionId, dialect: Dialect, env: &mut Env) -> Self {
        let name = Command::Name(ByteString::from(env.config.instance.as_str()));
        env.send(conn, name);
        ping(conn, env);
        env.timers.set(TimerKey::KeepAlive(conn), env.now + env.config.connection.ping_every);
        Self { dialect, life: KeepAlive::new(env.now), named: false }
    }

    /// Notes that something else than a PING was sent.
    pub(super) const fn on_sent(&mut self, now: Timestamp) {
        self.life.on_sent(now);
    }

    pub(super) fn on_command(
        &mut self,
        conn: ConnectionId,
        command: &Command,
        env: &mut Env,
    ) -> Verdict {
        self.life.on_received(env.now, matches!(command, Command::Ping(_)));
        if matches!(command, Command::Rdata(_) | Command::Position(_)) {
            // A server sends its name before everything else.
            if !self.named && env.config.server_name.is_some() {
                return wrong_server(ByteString::new(), env);
            }
            if let Command::Position(position) = command
                && self.catches_up_in_band()
                && !position.ends_catch_up
            {
                let configured = self.dialect;
                env.notify(Event::Warning(Warning::WrongDialect { configured }));
                return Verdict::Refused("failed to parse line");
            }
            return Verdict::ForNode;
        }
        if !server_may_send(command, self.dialect) {
            let command = command.name().to_owned();
            env.notify(Event::Warning(Warning::WrongDirection { conn, command }));
            return Verdict::Done;
        }
        if let Command::Server(found) = command {
            if env.config.server_name.as_ref().is_some_and(|expected| expected != found) {
                return wrong_server(found.clone(), env);
            }
            self.named = true;
            return Verdict::Done;
        }
        if let Command::Error(text) = command {
            let text = text.clone();
            env.notify(Event::Warning(Warning::PeerError { conn, text }));
            return Verdict::Done;
        }
        if matches!(command, Command::Ping(_)) { Verdict::Done } else { Verdict::ForNode }
    }

    /// Looks whether the server is alive. Sends a PING if one is due.
    pub(super) fn look(&mut self, conn: ConnectionId, env: &mut Env) -> Verdict {
        match self.life.look(env.now, &env.config) {
            Due::TimedOut => return Verdict::Refused("ping timeout"),
            Due::Ping => {
                ping(conn, env);
                self.life.on_sent(env.now);
            }
            Due::Nothing => {}
        }
        env.timers.set(TimerKey::KeepAlive(conn), env.now + env.config.connection.ping_every);
        Verdict::Done
    }

    /// Returns whether the application may have this command sent. The subscriptions of the oldest
    /// dialect are managed by the node itself.
    pub(super) const fn takes(&self, command: &Command) -> bool {
        let manages = matches!(command, Command::Replicate(_)) && self.dialect.catches_up_in_band();
        client_may_send(command, self.dialect) && !manages
    }

    /// Returns whether missed rows are requested on the connection.
    pub(super) const fn catches_up_in_band(&self) -> bool {
        self.dialect.catches_up_in_band()
    }
}

/// Sends a sign of life. No receiver reads what is in it (`protocol.md` 2.3).
fn ping(conn: ConnectionId, env: &mut Env) {
    let text = ByteString::from((env.now.as_micros() / 1_000).to_string());
    env.send(conn, Command::Ping(text));
}

fn wrong_server(found: ByteString, env: &mut Env) -> Verdict {
    let expected = env.config.server_name.as_deref().unwrap_or_default().to_owned();
    env.notify(Event::Warning(Warning::WrongServer { expected, found }));
    Verdict::Refused("Wrong remote")
}
