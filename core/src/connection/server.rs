//! The other end of a direct TCP connection that we make: the main process (`protocol.md` 3.1,
//! 3.2, 3.4, 3.5).

use std::collections::BTreeSet;

use bytestring::ByteString;

use super::{
    direction::{client_may_send, server_may_send},
    keep_alive::{Due, KeepAlive},
};
use crate::{
    config::Config,
    event::{Event, Warning},
    ids::ConnectionId,
    shared::Shared,
    time::Timestamp,
    timer::TimerKey,
    wire::{Command, Dialect, Replicate},
};

/// A server as it is known on the present connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    dialect: Dialect,
    life: KeepAlive,
    /// It has said its name, and it is the right one.
    named: bool,
}

/// What to do with a command of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is for the node.
    Passed,
    /// It only manages the connection, or is ignored.
    Done,
    /// The server is not to be listened to: tell it so and close.
    Refused(&'static str),
}

impl Server {
    /// Says who we are.
    pub(super) fn greet(
        now: Timestamp,
        conn: ConnectionId,
        dialect: Dialect,
        config: &Config,
        shared: &mut Shared,
    ) -> Self {
        let name = Command::Name(ByteString::from(config.instance.as_str()));
        shared.send(conn, name);
        ping(now, conn, shared);
        shared.timers.set(TimerKey::KeepAlive(conn), now + config.ping_every);
        Self { dialect, life: KeepAlive::new(now), named: false }
    }

    /// Something else than a PING was sent.
    pub(super) const fn on_sent(&mut self, now: Timestamp) {
        self.life.on_sent(now);
    }

    pub(super) fn on_command(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        command: &Command,
        config: &Config,
        shared: &mut Shared,
    ) -> Heard {
        self.life.on_heard(now, matches!(command, Command::Ping(_)));
        if matches!(command, Command::Rdata(_) | Command::Position(_)) {
            // Its name is the first thing that a server says.
            if !self.named && config.server_name.is_some() {
                return wrong_server(ByteString::new(), config, shared);
            }
            if let Command::Position(position) = command
                && self.replays()
                && !position.ends_catch_up
            {
                let configured = self.dialect;
                shared.notify(Event::Warning(Warning::WrongDialect { configured }));
                return Heard::Refused("failed to parse line");
            }
            return Heard::Passed;
        }
        if !server_may_send(command, self.dialect) {
            let command = command.name().to_owned();
            shared.notify(Event::Warning(Warning::WrongDirection { conn, command }));
            return Heard::Done;
        }
        if let Command::Server(found) = command {
            if config.server_name.as_ref().is_some_and(|expected| expected != found) {
                return wrong_server(found.clone(), config, shared);
            }
            self.named = true;
            return Heard::Done;
        }
        if let Command::Error(text) = command {
            let text = text.clone();
            shared.notify(Event::Warning(Warning::PeerError { conn, text }));
            return Heard::Done;
        }
        if matches!(command, Command::Ping(_)) { Heard::Done } else { Heard::Passed }
    }

    /// A look at the connection: whether it is alive. Sends a PING if one is due.
    pub(super) fn look(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        config: &Config,
        shared: &mut Shared,
    ) -> Heard {
        match self.life.look(now, config) {
            Due::TimedOut => return Heard::Refused("ping timeout"),
            Due::Ping => {
                ping(now, conn, shared);
                self.life.on_sent(now);
            }
            Due::Nothing => {}
        }
        shared.timers.set(TimerKey::KeepAlive(conn), now + config.ping_every);
        Heard::Done
    }

    /// Whether the application may have this command sent. What manages the subscription of the
    /// oldest dialect is the node's own business.
    pub(super) const fn takes(&self, command: &Command) -> bool {
        let manages = matches!(command, Command::Replicate(_)) && !self.dialect.names_instances();
        client_may_send(command, self.dialect) && !manages
    }

    /// Whether the server is of the oldest dialect: it sends nothing unasked, and missed rows over
    /// the connection.
    pub(super) const fn replays(&self) -> bool {
        !self.dialect.names_instances()
    }
}

/// Says a sign of life. Nobody reads what is in it.
fn ping(now: Timestamp, conn: ConnectionId, shared: &mut Shared) {
    let text = ByteString::from((now.as_micros() / 1_000).to_string());
    shared.send(conn, Command::Ping(text));
}

fn wrong_server(found: ByteString, config: &Config, shared: &mut Shared) -> Heard {
    let expected = config.server_name.as_deref().unwrap_or_default().to_owned();
    shared.notify(Event::Warning(Warning::WrongServer { expected, found }));
    Heard::Refused("Wrong remote")
}

/// Subscribes in the oldest dialect: to everything, or to the wanted streams but for those of
/// which a server has said that it has none, for it closes the connection each time.
pub(super) fn subscriptions(
    config: &Config,
    unknown: &BTreeSet<String>,
) -> impl Iterator<Item = Command> {
    let all = config.streams.is_none().then_some("ALL");
    let wanted = config.streams.iter().flatten().filter(|stream| !unknown.contains(*stream));
    all.into_iter().chain(wanted.map(String::as_str)).map(|stream| {
        Command::Replicate(Replicate::Stream { stream: ByteString::from(stream), from: None })
    })
}

/// The first of `names` that an ERROR names: `failed to handle replicate: Exception('unknown
/// stream %s', 'x')`, `... stream x has fallen behind` (`seen.md`).
pub(crate) fn named_in<'a, T>(
    text: &str,
    names: impl Iterator<Item = (&'a str, T)>,
) -> Option<(&'a str, T)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: BTreeSet<&str> = text.split(|c| !is_word(c)).collect();
    names.into_iter().find(|(name, _)| words.contains(name))
}
