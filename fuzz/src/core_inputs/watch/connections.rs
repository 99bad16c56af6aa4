//! The rules of connections, judged from outside: which commands go out on which connection, and
//! none after its end or beyond its limit.

use std::collections::BTreeMap;

use synrepl_core::{Config, ConnectionId, Input, Transport, wire::Command};

use super::{Verdict, holds};

/// The connections of the node.
pub(super) struct Connections {
    observe_only: bool,
    transport: Transport,
    pending_max: u32,
    /// The highest id of a connection that the node requested.
    asked: ConnectionId,
    ours: Option<Connection>,
    accepted: BTreeMap<ConnectionId, Connection>,
}

/// The state of one connection.
struct Connection {
    conn: ConnectionId,
    up: bool,
    closed: bool,
    /// Whether ERROR was sent, which ends the connection.
    sent_error: bool,
    unreported: u32,
}

impl Connection {
    const fn new(conn: ConnectionId, up: bool) -> Self {
        Self { conn, up, closed: false, sent_error: false, unreported: 0 }
    }
}

impl Connections {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            observe_only: config.observe_only,
            transport: config.transport,
            pending_max: config.publish.peer_pending_max,
            asked: ConnectionId::new(0),
            ours: None,
            accepted: BTreeMap::new(),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are not about connections")]
    pub(super) fn on_input(&mut self, input: &Input) {
        match input {
            Input::Accepted { conn, .. } => {
                self.accepted.insert(*conn, Connection::new(*conn, true));
            }
            Input::Connected { conn } => {
                if let Some(seen) = self.get_mut(*conn) {
                    seen.up = true;
                }
            }
            Input::Disconnected { conn, .. } if conn.is_accepted() => {
                self.accepted.remove(conn);
            }
            Input::Disconnected { .. } => self.ours = None,
            Input::Sent { conn, count } => {
                if let Some(seen) = self.get_mut(*conn) {
                    seen.unreported -= count;
                }
            }
            _ => {}
        }
    }

    fn get_mut(&mut self, conn: ConnectionId) -> Option<&mut Connection> {
        if conn.is_accepted() {
            self.accepted.get_mut(&conn)
        } else {
            self.ours.as_mut().filter(|seen| seen.conn == conn)
        }
    }

    pub(super) fn on_connect(&mut self, conn: ConnectionId) -> Verdict {
        holds(self.transport != Transport::None, || "connects without a transport".to_owned())?;
        holds(self.ours.is_none(), || format!("{conn} is a second connection"))?;
        holds(conn > self.asked && !conn.is_accepted(), || format!("{conn} was used before"))?;
        self.asked = conn;
        self.ours = Some(Connection::new(conn, false));
        Ok(())
    }

    pub(super) fn on_close(&mut self, conn: ConnectionId) -> Verdict {
        let Some(seen) = self.get_mut(conn) else {
            return Err(format!("closes {conn}, which is not there"));
        };
        holds(!seen.closed, || format!("closes {conn} twice"))?;
        seen.closed = true;
        Ok(())
    }

    pub(super) fn on_send(&mut self, conn: ConnectionId, command: &Command) -> Verdict {
        self.check_direction(conn, command)?;
        let pending_max = self.pending_max;
        let Some(seen) = self.get_mut(conn) else {
            return Err(format!("sent on {conn}, which is not there: {command:?}"));
        };
        holds(seen.up, || format!("sent on {conn}, which is not up: {command:?}"))?;
        let over = seen.closed || (seen.sent_error && conn.is_accepted());
        holds(!over, || format!("sent on {conn} after its end: {command:?}"))?;
        let is_error = matches!(command, Command::Error(_));
        let fits = !conn.is_accepted() || is_error || seen.unreported < pending_max;
        holds(fits, || format!("P5: more than {pending_max} commands wait for {conn}"))?;
        seen.unreported += 1;
        seen.sent_error |= is_error;
        Ok(())
    }

    fn check_direction(&self, conn: ConnectionId, command: &Command) -> Verdict {
        let is_row = matches!(command, Command::Rdata(_) | Command::Position(_));
        if conn.is_accepted() {
            holds(!(is_row && self.observe_only), || format!("an observer says {command:?}"))?;
            let of_server = is_row
                || matches!(
                    command,
                    Command::Server(_)
                        | Command::Ping(_)
                        | Command::Error(_)
                        | Command::Sync(_)
                        | Command::RemoteServerUp(_)
                        | Command::LockReleased(_)
                );
            return holds(of_server, || format!("not for a server to say: {command:?}"));
        }
        let on_tcp = matches!(self.transport, Transport::Tcp(_));
        // An observer may send these, which publish nothing.
        let manages = matches!(command, Command::Name(_) | Command::Ping(_) | Command::Error(_));
        holds(!self.observe_only || (on_tcp && manages), || {
            format!("an observer sends nothing: {command:?}")
        })?;
        let of_server = is_row || matches!(command, Command::Server(_) | Command::Sync(_));
        holds(!(on_tcp && of_server), || format!("not for a client to say: {command:?}"))
    }

    /// Checks what must hold between two inputs.
    pub(super) fn check(&self) -> Verdict {
        let left = self.accepted.values().find(|seen| seen.sent_error && !seen.closed);
        holds(left.is_none(), || "an ERROR that does not end its connection".to_owned())
    }

    /// Returns the peers that are connected and were not cut off.
    pub(super) fn open(&self) -> impl Iterator<Item = ConnectionId> {
        self.accepted.values().filter(|seen| !seen.closed).map(|seen| seen.conn)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ours.is_none() && self.accepted.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use synrepl_core::{
        stream::Row,
        wire::{Dialect, Rdata},
    };

    use super::*;

    const OURS: ConnectionId = ConnectionId::new(1);
    const PEER: ConnectionId = ConnectionId::accepted(0);

    /// Returns an established connection of our own, and a peer.
    fn connections(change: impl FnOnce(&mut Config)) -> Connections {
        let mut config = Config::default();
        config.transport = Transport::Tcp(Dialect::LATEST);
        config.publish.peer_pending_max = 2;
        change(&mut config);
        let mut connections = Connections::new(&config);
        assert_eq!(connections.on_connect(OURS), Ok(()));
        connections.on_input(&Input::Connected { conn: OURS });
        connections.on_input(&Input::Accepted { conn: PEER, dialect: Dialect::LATEST });
        connections
    }

    fn ping() -> Command {
        Command::Ping("1".into())
    }

    fn rdata() -> Command {
        let (stream, instance) = ("events".into(), "synrepl".into());
        Command::Rdata(Rdata { stream, instance, token: None, row: Row::from("[]") })
    }

    #[track_caller]
    fn breaks(verdict: Verdict, expected: &str) {
        let broken = verdict.expect_err("it is wrong");
        assert!(broken.contains(expected), "{broken}");
    }

    #[test]
    fn what_is_sent_where_nothing_may_be_is_noticed() {
        let mut connections = connections(|_| {});
        for conn in [OURS, PEER] {
            assert_eq!(connections.on_send(conn, &ping()), Ok(()));
            assert_eq!(connections.on_close(conn), Ok(()));
            breaks(connections.on_send(conn, &ping()), "after its end");
            breaks(connections.on_close(conn), "twice");
            connections.on_input(&Input::Disconnected { conn, reason: String::new() });
            breaks(connections.on_send(conn, &ping()), "not there");
            breaks(connections.on_close(conn), "not there");
        }
        breaks(connections.on_connect(OURS), "used before");
        assert_eq!(connections.on_connect(ConnectionId::new(2)), Ok(()));
        breaks(connections.on_send(ConnectionId::new(2), &ping()), "not up");
    }

    #[test]
    fn what_a_side_may_not_say_is_noticed() {
        breaks(connections(|_| {}).on_send(OURS, &rdata()), "not for a client");
        breaks(connections(|_| {}).on_send(PEER, &Command::Name("x".into())), "not for a server");
        let mut observer = connections(|config| config.observe_only = true);
        assert_eq!(observer.on_send(OURS, &ping()), Ok(()));
        breaks(observer.on_send(PEER, &rdata()), "an observer");
        breaks(observer.on_send(OURS, &Command::UserSync(Box::new(user_sync()))), "an observer");
    }

    fn user_sync() -> synrepl_core::wire::UserSync {
        synrepl_core::wire::UserSync {
            instance_id: None,
            user: "@a:x".into(),
            device: None,
            syncing: true,
            last_sync_ms: 0,
        }
    }

    #[test]
    fn a_peer_that_takes_nothing_and_an_error_without_an_end_are_noticed() {
        let mut connections = connections(|_| {});
        assert_eq!(connections.on_send(PEER, &ping()), Ok(()));
        assert_eq!(connections.on_send(PEER, &ping()), Ok(()));
        breaks(connections.on_send(PEER, &ping()), "P5");
        assert_eq!(connections.on_send(PEER, &Command::Error("slow".into())), Ok(()));
        breaks(connections.check(), "an ERROR");
        assert_eq!(connections.on_close(PEER), Ok(()));
        assert_eq!(connections.check(), Ok(()));
    }
}
