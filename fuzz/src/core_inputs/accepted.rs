//! Connections that peers made, as a driver knows them.

use std::collections::BTreeMap;

use synrepl_core::{ConnectionId, Input, wire::Dialect};

use super::world;
use crate::choices::Choices;

/// Open at once. More are accepted only when one of them is gone.
const OPEN_MAX: usize = 6;

#[derive(Default)]
pub(super) struct AcceptedConnections {
    open: BTreeMap<ConnectionId, Connection>,
    /// Ids used or passed over.
    count: u64,
}

struct Connection {
    /// Commands sent on it and not reported as gone out.
    unreported: u32,
    /// The node asked for its end.
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

    /// A new connection, or one less if there are many.
    pub(super) fn accept(&mut self, choices: &mut Choices<'_>) -> Input {
        let dialect = choices.one_of(&Dialect::ALL);
        if self.open.len() >= OPEN_MAX
            && let Some(input) = self.disconnected(choices)
        {
            return input;
        }
        let conn = ConnectionId::accepted(self.count);
        // Numbers may be left out.
        self.count += if choices.byte() == 255 { 3 } else { 1 };
        self.open.insert(conn, Connection { unreported: 0, closing: false });
        Input::Accepted { conn, dialect }
    }

    /// An id that cannot be that of a new connection.
    pub(super) fn accept_again(&self, choices: &mut Choices<'_>) -> Input {
        let used = self.open.keys().next_back().copied();
        let conn = used.filter(|_| choices.below(2) == 0).unwrap_or(ConnectionId::new(7));
        Input::Accepted { conn, dialect: choices.one_of(&Dialect::ALL) }
    }

    /// Some of what was sent to one has gone out.
    pub(super) fn sent(&mut self, choices: &mut Choices<'_>) -> Option<Input> {
        let conn = self.any(choices)?;
        let connection = self.open.get_mut(&conn).filter(|of| of.unreported > 0)?;
        let count = 1 + u32::from(choices.byte()) % connection.unreported;
        connection.unreported -= count;
        Some(Input::Sent { conn, count })
    }

    /// All that was sent to the first has gone out.
    pub(super) fn all_sent(&mut self) -> Option<Input> {
        let (conn, connection) = self.open.iter_mut().find(|(_, of)| of.unreported > 0)?;
        let count = std::mem::take(&mut connection.unreported);
        Some(Input::Sent { conn: *conn, count })
    }

    /// One says something, or what it says cannot be read.
    pub(super) fn said(&self, choices: &mut Choices<'_>) -> Option<Input> {
        let conn = self.any(choices)?;
        Some(match choices.byte() {
            255 => Input::LineTooLong { conn },
            253 | 254 => world::raw_line(choices, conn),
            252 => Input::Malformed { conn, error: world::bad_row(choices) },
            _ => Input::Received { conn, command: world::any_command(choices) },
        })
    }

    /// One is gone.
    pub(super) fn disconnected(&mut self, choices: &mut Choices<'_>) -> Option<Input> {
        let conn = self.any(choices)?;
        self.open.remove(&conn);
        Some(Input::Disconnected { conn, reason: "gone".to_owned() })
    }

    /// One that was to be closed is.
    pub(super) fn closed(&mut self) -> Option<Input> {
        let (conn, _) = self.open.iter().find(|(_, connection)| connection.closing)?;
        let conn = *conn;
        self.open.remove(&conn);
        Some(Input::Disconnected { conn, reason: "closed".to_owned() })
    }
}
