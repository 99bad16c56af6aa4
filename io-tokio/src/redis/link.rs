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
    socket::{Failure, Socket, kind_of},
};
use crate::limits::Limits;

/// Two connections to one Redis server. When either fails, so does the link.
pub(super) struct Link<S> {
    subscriber: Socket<S>,
    publisher: Socket<S>,
    channels: Channels,
    decoder: Decoder,
    /// The messages that were received while the subscription was being confirmed, and then their
    /// bytes together.
    early: VecDeque<Bytes>,
    early_bytes: usize,
    scratch: BytesMut,
    published: PublishAccount,
    unanswered_max: usize,
    output_bytes_max: usize,
}

/// The account of which commands have gone out. PUBLISHes are answered in their order.
#[derive(Default)]
struct PublishAccount {
    /// The number of PUBLISHes without a reply, those not yet written included.
    unanswered: usize,
    /// One entry per command that could not be sent: the value that `answered` has to reach. The
    /// command counts as gone out then, once all PUBLISHes before it were answered.
    left_out: VecDeque<usize>,
    /// The number of PUBLISHes that were answered since `left_out` was last empty.
    answered: usize,
    /// The number of commands gone out that were not reported yet.
    sent: u32,
}

impl PublishAccount {
    /// Records the answer to a PUBLISH; false if there was none to answer.
    fn on_reply(&mut self) -> bool {
        if self.unanswered == 0 {
            return false;
        }
        self.unanswered -= 1;
        self.sent += 1;
        if !self.left_out.is_empty() {
            self.answered += 1;
            self.count_left_out();
        }
        true
    }

    fn leave_out(&mut self) {
        if self.left_out.is_empty() {
            self.answered = 0;
        }
        self.left_out.push_back(self.answered + self.unanswered);
        self.count_left_out();
    }

    fn count_left_out(&mut self) {
        while self.left_out.front().is_some_and(|behind| *behind <= self.answered) {
            self.left_out.pop_front();
            self.sent += 1;
        }
    }
}

/// The most messages between two confirmations of one SUBSCRIBE. Redis sends the confirmations
/// together, so that there is hardly ever one.
const EARLY_MAX: usize = 1_024;
/// The bytes that these may have before one more comes.
const EARLY_BYTES_MAX: usize = 4 << 20;

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) fn new(
        subscriber: Socket<S>,
        publisher: Socket<S>,
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
            published: PublishAccount::default(),
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
            .inspect_err(|_| self.published.leave_out())?;
        let name = self.channels.name_for(channel, command);
        self.publisher.queue(&[b"PUBLISH", name.as_bytes(), &self.scratch]);
        self.published.unanswered += 1;
        Ok(())
    }

    /// Returns whether new commands should wait.
    pub(super) fn is_output_full(&self) -> bool {
        self.published.unanswered >= self.unanswered_max || self.is_output_long()
    }

    /// Returns whether more than half of the bytes that may wait to be written do.
    pub(super) fn is_output_long(&self) -> bool {
        self.publisher.output_len() > self.output_bytes_max / 2
    }

    /// Returns whether every PUBLISH was answered.
    pub(super) const fn is_answered(&self) -> bool {
        self.published.unanswered == 0
    }

    /// Returns the number of commands that have gone out since the last call: PUBLISHes that were
    /// answered, and commands without a form before them.
    pub(super) const fn take_sent(&mut self) -> u32 {
        std::mem::replace(&mut self.published.sent, 0)
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
        if is_push(frame, b"pong") {
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
        self.poll_publisher(cx)?;
        // What is received may cause an answer, so nothing more is read while too much waits to be
        // written.
        let read = read && self.publisher.output_len() <= self.output_bytes_max;
        let messages = if read { self.subscriber.poll_read(cx)? } else { Poll::Pending };
        // Only whole messages count as life, so what has just been received is to be decoded first.
        if messages.is_pending() {
            self.subscriber.poll_keep_alive(cx, read)?;
        }
        // This comes after the keep-alive, which may have queued a PING.
        let _pending_or_done = self.subscriber.poll_write(cx)?;
        let _pending_or_done = self.publisher.poll_write(cx)?;
        messages.map(Ok)
    }

    /// Writes what is left and reads the replies. Ready when every PUBLISH was answered.
    pub(super) fn poll_answered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.poll_publisher(cx)?;
        let _pending_or_done = self.publisher.poll_write(cx)?;
        if self.is_answered() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_publisher(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let _pending_or_done = self.publisher.poll_write(cx)?;
        loop {
            while let Some(frame) = self.publisher.next_frame()? {
                self.on_reply(frame)?;
            }
            match self.publisher.poll_read(cx)? {
                Poll::Ready(()) => {}
                Poll::Pending => break,
            }
        }
        self.publisher.poll_keep_alive(cx, true)
    }

    fn on_reply(&mut self, frame: Frame) -> Result<(), Failure> {
        match frame {
            // The number is that of the subscribers that got it, this instance included.
            Frame::Integer(_) if self.published.on_reply() => Ok(()),
            Frame::Integer(_) => Err(self.publisher.unexpected_reply()),
            Frame::Simple(_) => self.publisher.on_pong(),
            Frame::Error(text) => Err(format!("Redis refused a PUBLISH: {text:.300}")),
            Frame::Bulk(_) | Frame::Array(_) | Frame::NullArray | Frame::Message { .. } | _ => {
                Err(format!("Redis answered a PUBLISH with {}", kind_of(&frame)))
            }
        }
    }
}

/// Returns whether `frame` is an array that begins with `name`.
pub(super) fn is_push(frame: &Frame, name: &[u8]) -> bool {
    let Frame::Array(parts) = frame else { return false };
    matches!(parts.first(), Some(Frame::Bulk(Some(first))) if first.as_ref() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_was_left_out_counts_once_all_before_it_were_answered() {
        let mut published = PublishAccount::default();
        published.leave_out();
        assert_eq!(published.sent, 1);
        published.unanswered = 2;
        published.leave_out();
        published.leave_out();
        published.unanswered += 1;
        published.leave_out();
        let mut sent = Vec::new();
        for _ in 0..3 {
            assert!(published.on_reply());
            sent.push(published.sent);
        }
        assert_eq!(sent, [2, 5, 7]);
        published.unanswered = 1;
        assert!(published.on_reply());
        assert_eq!(published.sent, 8);
        assert!(!published.on_reply(), "to nothing");
        assert!(published.left_out.is_empty());
    }
}
