//! The connection that this instance makes itself: to a bus, to a main process, or none. The core's
//! actions enter (connect, send, close), [`Input`]s leave. One connection exists at a time; what is
//! received leaves in the order of the wire.

use std::task::{Context, Poll};

use synrepl_core::{Channel, ConnectionId, Input, wire::Command};

use crate::{redis, tcp, tcp::LineError, transport::Connector};

/// Opens, drives and closes connections on request, and reports everything as [`Input`]s.
pub(crate) enum Session<C: Connector> {
    Redis(Box<redis::Session<C>>),
    Tcp(tcp::Session<C>),
    /// This instance makes no connection: peers connect to it.
    None,
}

impl<C: Connector> Session<C> {
    /// Begins to connect. `Connected` or `Disconnected` follows from [`Session::poll`].
    pub(crate) fn connect(&mut self, conn: ConnectionId) {
        match self {
            Self::Redis(session) => session.connect(conn),
            Self::Tcp(session) => session.connect(conn),
            Self::None => tracing::error!(%conn, "the core wants a connection without a way"),
        }
    }

    /// Closes the connection after what was sent on it has gone out. `Disconnected` follows.
    pub(crate) fn close(&mut self, conn: ConnectionId) {
        match self {
            Self::Redis(session) => session.close(conn),
            Self::Tcp(session) => session.close(conn),
            Self::None => {}
        }
    }

    /// Queues a command; without effect if the connection is gone. A command that cannot be sent
    /// counts as sent.
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

    /// Returns whether new commands of the application should wait.
    pub(crate) fn is_output_full(&self) -> bool {
        match self {
            Self::Redis(session) => session.is_output_full(),
            Self::Tcp(session) => session.is_output_long(),
            Self::None => false,
        }
    }

    /// Returns whether reads of own logs should wait, too.
    pub(crate) fn is_output_long(&self) -> bool {
        match self {
            Self::Redis(session) => session.is_output_long(),
            Self::Tcp(session) => session.is_output_long(),
            Self::None => false,
        }
    }

    /// Returns the number of bytes read since the last call.
    pub(crate) fn take_bytes_read(&mut self) -> usize {
        match self {
            Self::Redis(session) => session.take_bytes_read(),
            Self::Tcp(session) => session.take_bytes_read(),
            Self::None => 0,
        }
    }

    /// Returns the next command of what was read, without reading more.
    #[inline]
    pub(crate) fn next_buffered(&mut self) -> Option<Input> {
        match self {
            Self::Redis(session) => session.next_buffered(),
            Self::Tcp(session) => session.next_buffered(),
            Self::None => None,
        }
    }

    /// Drives the connection; ready with what happened on it. Reads commands only if `read`.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<Input> {
        match self {
            Self::Redis(session) => session.poll(cx, read),
            Self::Tcp(session) => session.poll(cx, read),
            Self::None => Poll::Pending,
        }
    }
}
