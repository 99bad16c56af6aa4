//! The one connection that the core makes at a time. Its actions enter (connect, send, close);
//! [`Input`]s leave, and `Disconnected` exactly once per connection.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use synrepl_core::{
    Channel, ConnectionId, Input, Printable,
    wire::{Command, EncodeError},
};
use tokio::time::Sleep;

use super::{link::Link, login::Bus, socket::Failure};
use crate::transport::{CLOSE_TIMEOUT, Connector, Secured};

type Opening<S> = Pin<Box<dyn Future<Output = Result<Link<S>, Failure>> + Send>>;

/// Opens, drives and closes connections on request, and reports everything as [`Input`]s.
pub(crate) struct Session<C: Connector> {
    bus: Bus<C>,
    current: Option<(ConnectionId, Phase<Secured<C::Stream>>)>,
}

enum Phase<S> {
    Opening(Opening<S>),
    Open(Box<Link<S>>),
    /// A close was requested: what was sent is still going out.
    Closing(Box<Link<S>>, Pin<Box<Sleep>>),
    /// The connection has ended, which is still to be reported.
    Ended(Failure),
}

impl<C: Connector> Session<C> {
    pub(crate) fn new(bus: Bus<C>) -> Self {
        Self { bus, current: None }
    }

    /// Begins to connect.
    pub(crate) fn connect(&mut self, conn: ConnectionId) {
        debug_assert!(self.current.is_none(), "the core asks for one connection at a time");
        tracing::debug!(%conn, bus = ?self.bus, "connecting");
        self.current = Some((conn, Phase::Opening(Box::pin(self.bus.clone().open()))));
    }

    /// Closes the connection after what was sent on it has gone out.
    pub(crate) fn close(&mut self, conn: ConnectionId) {
        let Some((current, phase)) = self.current.take() else { return };
        let phase = match phase {
            Phase::Open(link) if current == conn => {
                Phase::Closing(link, Box::pin(tokio::time::sleep(CLOSE_TIMEOUT)))
            }
            Phase::Opening(_) if current == conn => {
                Phase::Ended("closed before it was open".to_owned())
            }
            Phase::Opening(_) | Phase::Open(_) | Phase::Closing(..) | Phase::Ended(_) => phase,
        };
        self.current = Some((current, phase));
    }

    /// Queues a command; without effect if the connection is gone.
    pub(crate) fn send(
        &mut self,
        conn: ConnectionId,
        channel: Channel,
        command: &Command,
    ) -> Result<(), EncodeError> {
        match &mut self.current {
            Some((current, Phase::Open(link))) if *current == conn => {
                link.publish(channel, command)
            }
            _ => Ok(()),
        }
    }

    /// Returns whether new commands of the application should wait.
    pub(crate) fn is_output_full(&self) -> bool {
        matches!(&self.current, Some((_, Phase::Open(link))) if link.is_output_full())
    }

    /// Returns whether more than half of the bytes that may wait to be written do.
    pub(crate) fn is_output_long(&self) -> bool {
        matches!(&self.current, Some((_, Phase::Open(link))) if link.is_output_long())
    }

    /// Returns the number of bytes read since the last call.
    pub(crate) fn take_bytes_read(&mut self) -> usize {
        match &mut self.current {
            Some((_, Phase::Open(link))) => link.take_bytes_read(),
            _ => 0,
        }
    }

    /// Returns the next message of what was read, without reading more.
    #[inline]
    pub(crate) fn next_buffered(&mut self) -> Option<Input> {
        let Some((conn, Phase::Open(link))) = &mut self.current else { return None };
        let conn = *conn;
        match link.next_message() {
            Ok(None) => None,
            Ok(Some(Ok(command))) => Some(Input::Received { conn, command }),
            Ok(Some(Err(error))) => Some(Input::Malformed { conn, error }),
            Err(failure) => Some(self.ended(conn, failure)),
        }
    }

    /// Drives the connection; ready with what happened on it. Reads messages only if `read`.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<Input> {
        loop {
            let Some((conn, phase)) = &mut self.current else { return Poll::Pending };
            let conn = *conn;
            match phase {
                Phase::Opening(opening) => match std::task::ready!(opening.as_mut().poll(cx)) {
                    Ok(link) => {
                        self.current = Some((conn, Phase::Open(Box::new(link))));
                        return Poll::Ready(Input::Connected { conn });
                    }
                    Err(failure) => return Poll::Ready(self.ended(conn, failure)),
                },
                Phase::Open(_) => {
                    if read && let Some(input) = self.next_buffered() {
                        return Poll::Ready(input);
                    }
                    let Some((_, Phase::Open(link))) = &mut self.current else { continue };
                    let polled = link.poll(cx, read);
                    let count = link.take_sent();
                    if count > 0 {
                        // What was answered before the end counts.
                        if let Poll::Ready(Err(failure)) = polled {
                            self.current = Some((conn, Phase::Ended(failure)));
                        }
                        return Poll::Ready(Input::Sent { conn, count });
                    }
                    if let Err(failure) = std::task::ready!(polled) {
                        return Poll::Ready(self.ended(conn, failure));
                    }
                }
                Phase::Closing(link, deadline) => {
                    let settled = link.poll_answered(cx);
                    let count = link.take_sent();
                    if count > 0 {
                        return Poll::Ready(Input::Sent { conn, count });
                    }
                    if settled.is_pending() && deadline.as_mut().poll(cx).is_pending() {
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

    fn ended(&mut self, conn: ConnectionId, reason: Failure) -> Input {
        self.current = None;
        tracing::debug!(%conn, reason = %Printable::foreign(&reason), "connection ended");
        Input::Disconnected { conn, reason }
    }
}
