//! The connection that we make ourselves: to a bus, to a main process, or none.

use std::task::{Context, Poll};

use synrepl_core::{Channel, ConnectionId, Input, wire::Command};

use crate::{redis, tcp, tcp::LineError, transport::Connector};

/// Opens, drives and closes connections when told to; reports everything as [`Input`]s.
pub(crate) enum Session<C: Connector> {
    Redis(Box<redis::Session<C>>),
    Tcp(tcp::Session<C>),
    /// Peers connect to us; we connect to nobody.
    None,
}

impl<C: Connector> Session<C> {
    /// Begins a connection.
    pub(crate) fn connect(&mut self, conn: ConnectionId) {
        match self {
            Self::Redis(session) => session.connect(conn),
            Self::Tcp(session) => session.connect(conn),
            Self::None => tracing::error!(%conn, "the core wants a connection without a way"),
        }
    }

    /// Ends a connection after what was sent on it has gone out.
    pub(crate) fn close(&mut self, conn: ConnectionId) {
        match self {
            Self::Redis(session) => session.close(conn),
            Self::Tcp(session) => session.close(conn),
            Self::None => {}
        }
    }

    /// Queues a command; without effect if the connection is gone. One that cannot be sent counts
    /// as sent.
    pub(crate) fn send(
        &mut self,
        conn: ConnectionId,
        channel: Channel,
        command: &Command,
    ) -> Result<(), LineError> {
        match self {
            Self::Redis(session) => session.send(conn, channel, command).map_err(LineError::from),
            Self::Tcp(session) => session.send(conn, command),
            Self::None => Ok(()),
        }
    }

    /// Whether new commands of the application should wait.
    pub(crate) fn is_output_full(&self) -> bool {
        match self {
            Self::Redis(session) => session.is_output_full(),
            Self::Tcp(session) => session.is_output_long(),
            Self::None => false,
        }
    }

    /// Whether more own rows should wait, too.
    pub(crate) fn is_output_long(&self) -> bool {
        match self {
            Self::Redis(session) => session.is_output_long(),
            Self::Tcp(session) => session.is_output_long(),
            Self::None => false,
        }
    }

    /// Bytes read since this was asked last.
    pub(crate) fn take_bytes_read(&mut self) -> usize {
        match self {
            Self::Redis(session) => session.take_bytes_read(),
            Self::Tcp(session) => session.take_bytes_read(),
            Self::None => 0,
        }
    }

    /// The next command of what was read, without reading more.
    #[inline]
    pub(crate) fn next_buffered(&mut self) -> Option<Input> {
        match self {
            Self::Redis(session) => session.next_buffered(),
            Self::Tcp(session) => session.next_buffered(),
            Self::None => None,
        }
    }

    /// Drives the connection. Reads commands only if `read`.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<Input> {
        match self {
            Self::Redis(session) => session.poll(cx, read),
            Self::Tcp(session) => session.poll(cx, read),
            Self::None => Poll::Pending,
        }
    }
}
