//! The accepted connections of the simulated driver: choices enter, inputs about peers leave.

use std::collections::BTreeMap;

use synrepl_core::{ConnectionId, Input, wire::Dialect};

use super::world;
use crate::choices::Choices;

/// The most connections that are open at once.
const OPEN_MAX: usize = 6;

#[derive(Default)]
pub(super) struct AcceptedConnections {
    open: BTreeMap<ConnectionId, Connection>,
    /// The number of ids used or skipped.
    count: u64,
}

struct Connection {
    /// The commands sent on it and not yet reported as gone out.
    unreported: u32,
    /// Whether the node has requested its end.
    closing: bool,
}

impl AcceptedConnections {
    pub(super) fn on_send(&mut self, conn: ConnectionId) {
        if let Some(connection) = self.open.get_mut(&conn) {
            connection.unreported += 1;
        }
    }

    pub(super) fn on_close(&mut self, conn: ConnectionId) {
        if let Some(connection) = self.open.get_mut(&conn) {
            connection.closing = true;
        }
    }

    pub(super) fn any(&self, choices: &mut Choices<'_>) -> Option<ConnectionId> {
        let nth = usize::from(choices.byte()).checked_rem(self.open.len())?;
        self.open.keys().nth(nth).copied()
    }

    pub(super) fn unreported(&self, conn: ConnectionId) -> u32 {
        self.open.get(&conn).map_or(0, |connection| connection.unreported)
    }

    /// Returns the input of a new connection, or of a lost one if the most are open.
    pub(super) fn accept(&mut self, choices: &mut Choices<'_>) -> Input {
        let dialect = choices.one_of(&Dialect::ALL);
        if self.open.len() >= OPEN_MAX
            && let Some(input) = self.disconnected(choices)
        {
            return input;
        }
        let conn = ConnectionId::accepted(self.count);
        // Ids may be skipped.
        self.count += if choices.byte() == 255 { 3 } else { 1 };
        self.open.insert(conn, Connection { unreported: 0, closing: false });
        Input::Accepted { conn, dialect }
    }

    /// Returns the input of a new connection whose id is invalid, which the node must refuse.
    pub(super) fn accept_again(&self, choices: &mut Choices<'_>) -> Input {
        let used = self.open.keys().next_back().copied();
        let conn = used.filter(|_| choices.below(2) == 0).unwrap_or(ConnectionId::new(7));
        Input::Accepted { conn, dialect: choices.one_of(&Dialect::ALL) }
    }

    /// Returns the report that some commands to a peer have gone out.
    pub(super) fn sent(&mut self, choices: &mut Choices<'_>) -> Option<Input> {
        let conn = self.any(choices)?;
        let connection = self.open.get_mut(&conn).filter(|of| of.unreported > 0)?;
        let count = 1 + u32::from(choices.byte()) % connection.unreported;
        connection.unreported -= count;
        Some(Input::Sent { conn, count })
    }

    /// Returns the report that all commands to the first peer have gone out.
    pub(super) fn all_sent(&mut self) -> Option<Input> {
        let (conn, connection) = self.open.iter_mut().find(|(_, of)| of.unreported > 0)?;
        let count = std::mem::take(&mut connection.unreported);
        Some(Input::Sent { conn: *conn, count })
    }

    /// Returns a command, or an unreadable line, from a peer.
    pub(super) fn received(&self, choices: &mut Choices<'_>) -> Option<Input> {
        let conn = self.any(choices)?;
        Some(match choices.byte() {
            255 => Input::LineTooLong { conn },
            253 | 254 => world::raw_line(choices, conn),
            252 => Input::Malformed { conn, error: world::bad_row(choices) },
            _ => Input::Received { conn, command: world::any_command(choices) },
        })
    }

    /// Returns the loss of a peer's connection.
    pub(super) fn disconnected(&mut self, choices: &mut Choices<'_>) -> Option<Input> {
        let conn = self.any(choices)?;
        self.open.remove(&conn);
        Some(Input::Disconnected { conn, reason: "gone".to_owned() })
    }

    /// Returns the end of a connection that the node has closed.
    pub(super) fn closed(&mut self) -> Option<Input> {
        let (conn, _) = self.open.iter().find(|(_, connection)| connection.closing)?;
        let conn = *conn;
        self.open.remove(&conn);
        Some(Input::Disconnected { conn, reason: "closed".to_owned() })
    }
}
