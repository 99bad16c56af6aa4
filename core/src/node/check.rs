//! The check of each input against the contract of [`Node::handle`], before anything is changed: no
//! input of a driver panics (C2).

use super::Node;
use crate::{
    config::Transport, connection::Link, error::Misuse, ids::ConnectionId, input::Input,
    time::Timestamp,
};

impl Node {
    /// Checks that the driver may hand in this input at this time.
    ///
    /// # Errors
    /// [`Misuse`] says how the driver broke the contract.
    pub(super) fn check(&self, now: Timestamp, input: &Input) -> Result<(), Misuse> {
        if now < self.env.now {
            return Err(Misuse::TimeWentBack { from: self.env.now, to: now });
        }
        match input {
            Input::Connected { conn } => match &self.connections.upstream.link {
                Link::Connecting(open) | Link::Closing(open) if open == conn => Ok(()),
                Link::Up(session) if session.conn == *conn => {
                    Err(Misuse::WrongConnectionState(*conn))
                }
                Link::Connecting(_)
                | Link::Refused(..)
                | Link::Closing(_)
                | Link::Up(_)
                | Link::Down
                | Link::Stopped => Err(Misuse::UnknownConnection(*conn)),
            },
            Input::LineTooLong { conn }
                if !conn.is_accepted()
                    && !matches!(self.env.config.transport, Transport::Tcp(_)) =>
            {
                // Only direct TCP has lines.
                Err(self.check_usable(*conn).err().unwrap_or(Misuse::WrongConnectionState(*conn)))
            }
            Input::Received { conn, .. }
            | Input::Malformed { conn, .. }
            | Input::LineTooLong { conn } => self.check_usable(*conn),
            Input::Sent { conn, count } => {
                self.check_usable(*conn)?;
                let matches = if conn.is_accepted() {
                    self.connections.peers.has_untaken(*conn, *count)
                } else {
                    u64::from(*count) <= self.env.outbox.unconfirmed()
                };
                if matches && *count > 0 { Ok(()) } else { Err(Misuse::NothingToConfirm(*conn)) }
            }
            Input::Disconnected { conn, .. } => match &self.connections.upstream.link {
                _ if self.connections.peers.get(*conn).is_some()
                    || self.connections.upstream.is_or_was_up(*conn) =>
                {
                    Ok(())
                }
                Link::Connecting(open) if open == conn => Ok(()),
                Link::Connecting(_)
                | Link::Refused(..)
                | Link::Closing(_)
                | Link::Up(_)
                | Link::Down
                | Link::Stopped => Err(Misuse::UnknownConnection(*conn)),
            },
            Input::Accepted { conn, .. } if !self.connections.peers.may_accept(*conn) => {
                Err(Misuse::ConnectionIdInUse(*conn))
            }
            Input::Fetched { query, .. } if !self.env.queries.has_issued_fetch(*query) => {
                Err(Misuse::UnknownFetch(*query))
            }
            Input::LogRead { query, .. } if !self.env.queries.has_issued_read(*query) => {
                Err(Misuse::UnknownRead(*query))
            }
            Input::Appended { stream, .. }
                if stream.is_empty()
                    || stream.contains(|c: char| c.is_whitespace() || c.is_control()) =>
            {
                Err(Misuse::BadStreamName)
            }
            Input::WaitFor { wait, .. } if self.env.waits.contains(*wait) => {
                Err(Misuse::WaitInUse(*wait))
            }
            Input::Accepted { .. }
            | Input::Appended { .. }
            | Input::LogRead { .. }
            | Input::Syncing { .. }
            | Input::Fetched { .. }
            | Input::WaitFor { .. }
            | Input::Send { .. }
            | Input::CancelWait { .. }
            | Input::Tick
            | Input::Shutdown => Ok(()),
        }
    }

    /// Checks that commands can arrive and go out on this connection, or could until we closed it.
    fn check_usable(&self, conn: ConnectionId) -> Result<(), Misuse> {
        match &self.connections.upstream.link {
            _ if self.connections.peers.get(conn).is_some()
                || self.connections.upstream.is_or_was_up(conn) =>
            {
                Ok(())
            }
            Link::Connecting(open) if *open == conn => Err(Misuse::WrongConnectionState(conn)),
            Link::Connecting(_)
            | Link::Refused(..)
            | Link::Closing(_)
            | Link::Up(_)
            | Link::Down
            | Link::Stopped => Err(Misuse::UnknownConnection(conn)),
        }
    }
}
