//! An open subscription with its publishing connection. Commands enter and leave as PUBLISHes;
//! messages and replies enter, and leave as commands and as the number of commands that have gone
//! out. Nothing more is read while too much waits to be written (F9).

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use synrepl_core::{
    Channel,
    wire::{Command, DecodeError, Decoder, Dialect, EncodeError, Frame, encode},
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    login::Channels,
    publisher::Publisher,
    socket::{Failure, Socket, kind_of},
};
use crate::limits::Limits;

/// Two connections to one Redis server. When either fails, so does the link.
pub(super) struct Link<S> {
    subscriber: Socket<S>,
    publisher: Publisher<S>,
    channels: Channels,
    decoder: Decoder,
    /// The messages that were received while the subscription was being confirmed, and then their
    /// bytes together.
    early: VecDeque<Bytes>,
    early_bytes: usize,
    scratch: BytesMut,
    unanswered_max: usize,
    output_bytes_max: usize,
}

/// The most messages between two confirmations of one SUBSCRIBE. Redis sends the confirmations
/// together, so that there is hardly ever one.
const EARLY_MAX: usize = 1_024;
/// The bytes that these may have before one more comes.
const EARLY_BYTES_MAX: usize = 4 << 20;

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) fn new(
        subscriber: Socket<S>,
        publisher: Publisher<S>,
        channels: Channels,
        limits: &Limits,
    ) -> Self {
        Self {
            subscriber,
            publisher,
            channels,
            decoder: Decoder::new(),
            early: VecDeque::new(),
            early_bytes: 0,
            scratch: BytesMut::new(),
            unanswered_max: limits.publishes_in_flight_max,
            output_bytes_max: limits.output_bytes_max,
        }
    }

    pub(super) const fn subscriber(&mut self) -> &mut Socket<S> {
        &mut self.subscriber
    }

    /// Queues a PUBLISH of `command`. A command that has no form counts as gone out.
    pub(super) fn publish(
        &mut self,
        channel: Channel,
        command: &Command,
    ) -> Result<(), EncodeError> {
        self.scratch.clear();
        encode(command, Dialect::LATEST, &mut self.scratch)
            .inspect_err(|_| self.publisher.leave_out())?;
        let name = self.channels.name_for(channel, command);
        self.publisher.publish(name, &self.scratch);
        Ok(())
    }

    /// Returns whether new commands should wait.
    pub(super) fn is_output_full(&self) -> bool {
        self.publisher.unanswered() >= self.unanswered_max || self.is_output_long()
    }

    /// Returns whether more than half of the bytes that may wait to be written do.
    pub(super) fn is_output_long(&self) -> bool {
        self.publisher.output_len() > self.output_bytes_max / 2
    }

    /// Returns whether every PUBLISH was answered.
    pub(super) const fn is_answered(&self) -> bool {
        self.publisher.unanswered() == 0
    }

    /// Returns the number of commands that have gone out since the last call: PUBLISHes that were
    /// answered, and commands without a form before them.
    pub(super) const fn take_sent(&mut self) -> u32 {
        self.publisher.take_sent()
    }

    /// Returns the number of bytes read since the last call.
    pub(super) fn take_bytes_read(&mut self) -> usize {
        self.subscriber.take_bytes_read()
    }

    /// Keeps a message that was received before the subscription was confirmed.
    pub(super) fn keep(&mut self, frame: Frame) -> Result<(), Failure> {
        let Frame::Message { payload, .. } = frame else {
            let kind = kind_of(&frame);
            return Err(format!("it answered SUBSCRIBE with {kind}; is that a Redis server?"));
        };
        if self.early.len() >= EARLY_MAX || self.early_bytes > EARLY_BYTES_MAX {
            return Err("it sent messages without confirming the subscription; is that a Redis \
                        server?"
                .to_owned());
        }
        self.early_bytes += payload.len();
        self.early.push_back(payload);
        Ok(())
    }

    /// Returns the next message of what was read, without reading more.
    #[inline]
    pub(super) fn next_message(&mut self) -> Result<Option<Result<Command, DecodeError>>, Failure> {
        if let Some(payload) = self.early.pop_front() {
            return Ok(Some(self.decoder.decode(&payload)));
        }
        loop {
            match self.subscriber.next_frame()? {
                None => return Ok(None),
                Some(Frame::Message { payload, .. }) => {
                    return Ok(Some(self.decoder.decode(&payload)));
                }
                Some(frame) => self.on_other(&frame)?,
            }
        }
    }

    /// Handles a frame other than a message on the subscription.
    #[cold]
    fn on_other(&mut self, frame: &Frame) -> Result<(), Failure> {
        // Redis answers a subscriber's PING with a push; some proxies pass on a plain status.
        if is_push(frame, b"pong") || matches!(frame, Frame::Simple(text) if text == "PONG") {
            self.subscriber.on_pong()
        } else if is_push(frame, b"unsubscribe") {
            Err("Redis ended the subscription".to_owned())
        } else if let Frame::Error(text) = frame {
            Err(format!("Redis said on the subscription: {text:.300}"))
        } else {
            Err(format!("Redis said on the subscription: {}", kind_of(frame)))
        }
    }

    /// Writes, reads replies and keeps alive; reads messages too if `read`. Ready when messages may
    /// have been received for [`Link::next_message`].
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<Result<(), Failure>> {
        self.publisher.poll(cx)?;
        // What is received may cause an answer, so nothing more is read while too much waits to be
        // written.
        let read = read && self.publisher.output_len() <= self.output_bytes_max;
        let messages = if read { self.subscriber.poll_read(cx)? } else { Poll::Pending };
        // Only whole messages count as life, so what has just been received is to be decoded first.
        if messages.is_pending() {
            let _asked = self.subscriber.poll_keep_alive(cx, read)?;
        }
        // This comes after the keep-alive, which may have queued a PING.
        let _pending_or_done = self.subscriber.poll_write(cx)?;
        self.publisher.poll_write(cx)?;
        messages.map(Ok)
    }

    /// Writes what is left and reads the replies. Ready when every PUBLISH was answered.
    pub(super) fn poll_answered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.publisher.poll(cx)?;
        self.publisher.poll_write(cx)?;
        if self.is_answered() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

/// Returns whether `frame` is an array that begins with `name`.
pub(super) fn is_push(frame: &Frame, name: &[u8]) -> bool {
    let Frame::Array(parts) = frame else { return false };
    matches!(parts.first(), Some(Frame::Bulk(Some(first))) if first.as_ref() == name)
}
