//! The connection to a main process that takes workers over direct TCP. Commands enter and leave as
//! lines; received lines leave as [`Input`]s, in order. Nothing more is read while too much waits
//! to be written (F9).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use synrepl_core::{
    ConnectionId, Input, Printable,
    wire::{Command, Dialect},
};
use tokio::time::{Sleep, sleep, timeout};

use super::{
    line::{self, LineError},
    output::Chunk,
    socket::{Failure, Line, LineSocket},
};
use crate::{
    limits::Limits,
    transport::{Address, Connector},
    transport::{CLOSE_TIMEOUT, READ_BYTES},
};

/// The main process that a connection is made to.
#[derive(Clone)]
pub(crate) struct Server<C: Connector> {
    connector: C,
    address: Address,
    dialect: Dialect,
    connect_timeout: Duration,
    output_bytes_max: usize,
}

impl<C: Connector> Server<C> {
    pub(crate) fn new(connector: C, address: Address, dialect: Dialect, limits: &Limits) -> Self {
        let (connect_timeout, output_bytes_max) = (limits.connect_timeout, limits.output_bytes_max);
        Self { connector, address, dialect, connect_timeout, output_bytes_max }
    }

    async fn open(self) -> Result<Box<LineSocket<C::Stream>>, Failure> {
        let address = &self.address;
        match timeout(self.connect_timeout, self.connector.connect(address)).await {
            Ok(Ok(stream)) => Ok(Box::new(LineSocket::new(stream, READ_BYTES))),
            Ok(Err(error)) => Err(format!("{address}: cannot connect: {error}")),
            Err(_) => Err(format!("{address}: no connection within {:?}", self.connect_timeout)),
        }
    }
}

impl<C: Connector> fmt::Debug for Server<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("dialect", &self.dialect)
            .finish_non_exhaustive()
    }
}

type Opening<S> = Pin<Box<dyn Future<Output = Result<Box<LineSocket<S>>, Failure>> + Send>>;

/// Opens, drives and closes connections on request, and reports everything as [`Input`]s.
pub(crate) struct Session<C: Connector> {
    server: Server<C>,
    /// The lines of the commands that will go out as one chunk.
    lines: BytesMut,
    commands: u32,
    current: Option<(ConnectionId, Phase<C::Stream>)>,
}

enum Phase<S> {
    Opening(Opening<S>),
    Open(Box<LineSocket<S>>),
    /// A close was requested: what was sent is still going out.
    Closing(Box<LineSocket<S>>, Pin<Box<Sleep>>),
    /// The connection has ended, which is still to be reported.
    Ended(Failure),
}

impl<C: Connector> Session<C> {
    pub(crate) fn new(server: Server<C>) -> Self {
        Self { server, lines: BytesMut::new(), commands: 0, current: None }
    }

    /// Begins to connect.
    pub(crate) fn connect(&mut self, conn: ConnectionId) {
        debug_assert!(self.current.is_none(), "the core asks for one connection at a time");
        tracing::debug!(%conn, server = ?self.server, "connecting");
        self.lines.clear();
        self.commands = 0;
        self.current = Some((conn, Phase::Opening(Box::pin(self.server.clone().open()))));
    }

    /// Closes the connection after what was sent on it has gone out.
    pub(crate) fn close(&mut self, conn: ConnectionId) {
        let Some((current, phase)) = self.current.take() else { return };
        let phase = match phase {
            Phase::Open(mut socket) if current == conn => {
                hand_over(&mut self.lines, &mut self.commands, &mut socket);
                Phase::Closing(socket, Box::pin(sleep(CLOSE_TIMEOUT)))
            }
            Phase::Opening(_) if current == conn => {
                Phase::Ended("closed before it was open".to_owned())
            }
            Phase::Opening(_) | Phase::Open(_) | Phase::Closing(..) | Phase::Ended(_) => phase,
        };
        self.current = Some((current, phase));
    }

    /// Queues a command; without effect if the connection is gone. A command that has no line
    /// counts as sent.
    pub(crate) fn send(&mut self, conn: ConnectionId, command: &Command) -> Result<(), LineError> {
        match &self.current {
            Some((current, Phase::Open(_))) if *current == conn => {
                self.commands += 1;
                line::append(command, self.server.dialect, &mut self.lines)
            }
            _ => Ok(()),
        }
    }

    /// Returns whether more than half of the bytes that may wait to be written do.
    pub(crate) fn is_output_long(&self) -> bool {
        let Some((_, Phase::Open(socket))) = &self.current else { return false };
        socket.output_len() + self.lines.len() > self.server.output_bytes_max / 2
    }

    /// Returns the number of bytes read since the last call.
    pub(crate) fn take_bytes_read(&mut self) -> usize {
        match &mut self.current {
            Some((_, Phase::Open(socket))) => socket.take_bytes_read(),
            _ => 0,
        }
    }

    /// Returns the next line of what was read, without reading more.
    #[inline]
    pub(crate) fn next_buffered(&mut self) -> Option<Input> {
        let Some((conn, Phase::Open(socket))) = &mut self.current else { return None };
        let conn = *conn;
        Some(match socket.next_line()? {
            Line::Command(command) => Input::Received { conn, command },
            Line::Malformed(error) => Input::Malformed { conn, error },
            Line::TooLong => Input::LineTooLong { conn },
        })
    }

    /// Drives the connection; ready with what happened on it. Reads lines only if `read`.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<Input> {
        loop {
            let Some((conn, phase)) = &mut self.current else { return Poll::Pending };
            let conn = *conn;
            match phase {
                Phase::Opening(opening) => match std::task::ready!(opening.as_mut().poll(cx)) {
                    Ok(socket) => {
                        self.current = Some((conn, Phase::Open(socket)));
                        return Poll::Ready(Input::Connected { conn });
                    }
                    Err(failure) => return Poll::Ready(self.ended(conn, failure)),
                },
                Phase::Open(_) => {
                    if read && let Some(input) = self.next_buffered() {
                        return Poll::Ready(input);
                    }
                    match std::task::ready!(self.poll_open(cx, conn, read)) {
                        Ok(Some(input)) => return Poll::Ready(input),
                        Ok(None) => {}
                        Err(failure) => return Poll::Ready(self.ended(conn, failure)),
                    }
                }
                Phase::Closing(socket, deadline) => {
                    let closed = socket.poll_close(cx);
                    if closed.is_pending() && deadline.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    return Poll::Ready(self.ended(conn, "closed on request".to_owned()));
                }
                Phase::Ended(failure) => {
                    let failure = std::mem::take(failure);
                    return Poll::Ready(self.ended(conn, failure));
                }
            }
        }
    }

    /// Writes, and reads if `read`. Ready when lines may have been received, or with another input
    /// to report.
    fn poll_open(
        &mut self,
        cx: &mut Context<'_>,
        conn: ConnectionId,
        read: bool,
    ) -> Poll<Result<Option<Input>, Failure>> {
        let Some((_, Phase::Open(socket))) = &mut self.current else {
            return Poll::Ready(Ok(None));
        };
        hand_over(&mut self.lines, &mut self.commands, socket);
        let _pending_or_done = socket.poll_write(cx);
        let count = socket.take_sent();
        if count > 0 {
            return Poll::Ready(Ok(Some(Input::Sent { conn, count })));
        }
        // What is received may cause an answer, so nothing more is read while too much waits to be
        // written.
        if read && socket.output_len() <= self.server.output_bytes_max {
            return socket.poll_read(cx).map_ok(|()| None);
        }
        match socket.broken() {
            Some(failure) => Poll::Ready(Err(failure.clone())),
            None => Poll::Pending,
        }
    }

    fn ended(&mut self, conn: ConnectionId, reason: Failure) -> Input {
        self.current = None;
        tracing::debug!(%conn, reason = %Printable::foreign(&reason), "connection ended");
        Input::Disconnected { conn, reason }
    }
}

/// Queues the lines that were gathered.
fn hand_over<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    lines: &mut BytesMut,
    commands: &mut u32,
    socket: &mut LineSocket<S>,
) {
    let commands = std::mem::take(commands);
    if commands > 0 {
        socket.push(Chunk { lines: lines.split().freeze(), commands });
    }
}

#[cfg(test)]
mod tests;
