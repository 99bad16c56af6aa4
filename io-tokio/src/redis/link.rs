//! An open subscription with its publishing connection.

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
use crate::{
    limits::Limits,
    planted::{Planted, planted},
};

/// Two connections to one Redis server. When either fails, so does the link.
pub(super) struct Link<S> {
    subscriber: Socket<S>,
    publisher: Socket<S>,
    channels: Channels,
    decoder: Decoder,
    /// Messages that came while the subscription was being confirmed, and their bytes.
    early: VecDeque<Bytes>,
    early_bytes: usize,
    scratch: BytesMut,
    published: Published,
    unanswered_max: usize,
    output_bytes_max: usize,
    planted: Planted,
    /// Commands without an answer: only of a planted bug.
    waiting: VecDeque<(Channel, Command)>,
}

/// Which commands have gone out. PUBLISHes are answered in their order.
#[derive(Default)]
struct Published {
    /// PUBLISHes without a reply, those not yet written included.
    unanswered: usize,
    /// Commands that could not be sent: how many PUBLISHes were then still to be answered. They
    /// count as gone out once those have.
    left_out: VecDeque<usize>,
    /// PUBLISHes answered while `left_out` stands.
    answered: usize,
    /// Commands gone out that were not reported yet.
    sent: u32,
}

impl Published {
    /// A PUBLISH was answered; false if there was none to answer.
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

/// Messages between two confirmations of one SUBSCRIBE. Redis sends the confirmations together,
/// so that there is hardly ever one.
const EARLY_MAX: usize = 1_024;
/// What these may have in bytes before one more comes.
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
            published: Published::default(),
            unanswered_max: limits.publishes_in_flight_max,
            output_bytes_max: limits.output_bytes_max,
            planted: limits.planted(),
            waiting: VecDeque::new(),
        }
    }

    pub(super) const fn subscriber(&mut self) -> &mut Socket<S> {
        &mut self.subscriber
    }

    /// Queues a PUBLISH of `command`. One that has no form counts as gone out.
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
        if planted!(self.planted, ConfirmsWritten) {
            self.published.sent += 1;
            return Ok(());
        }
        if planted!(self.planted, ResendsAfterReconnect) {
            self.waiting.push_back((channel, command.clone()));
        }
        self.published.unanswered += 1;
        Ok(())
    }

    /// Commands that were not answered: kept only to be sent again by a planted bug.
    pub(super) fn take_waiting(&mut self) -> VecDeque<(Channel, Command)> {
        std::mem::take(&mut self.waiting)
    }

    /// Whether new commands should wait.
    pub(super) fn is_output_full(&self) -> bool {
        self.published.unanswered >= self.unanswered_max || self.is_output_long()
    }

    /// Whether as much waits to be written as should.
    pub(super) fn is_output_long(&self) -> bool {
        self.publisher.output_len() > self.output_bytes_max / 2
    }

    /// Whether every PUBLISH was answered.
    pub(super) const fn is_settled(&self) -> bool {
        self.published.unanswered == 0
    }

    /// Commands that have gone out since this was asked last: PUBLISHes that were answered.
    pub(super) const fn take_sent(&mut self) -> u32 {
        std::mem::replace(&mut self.published.sent, 0)
    }

    /// Bytes read since this was asked last.
    pub(super) fn take_bytes_read(&mut self) -> usize {
        self.subscriber.take_bytes_read()
    }

    /// Keeps a message that came early.
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

    /// The next message of what was read, without reading more.
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

    /// Something other than a message on the subscription.
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

    /// Writes, reads replies and keeps alive; reads messages too if `read`. Ready when messages
    /// may be there for [`Link::next_message`].
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<Result<(), Failure>> {
        self.poll_publisher(cx)?;
        // What comes in may be answered, so nothing more is taken in while that does not go out.
        let read = read && self.publisher.output_len() <= self.output_bytes_max;
        let messages = if read { self.subscriber.poll_read(cx)? } else { Poll::Pending };
        // Only whole messages are life, so what has just come in is to be looked at first.
        if messages.is_pending() {
            self.subscriber.poll_keep_alive(cx, read)?;
        }
        // After the keep-alive: it may have queued a PING.
        let _pending_or_done = self.subscriber.poll_write(cx)?;
        let _pending_or_done = self.publisher.poll_write(cx)?;
        messages.map(Ok)
    }

    /// Writes what is left and reads the replies. Ready when every PUBLISH was answered.
    pub(super) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.poll_publisher(cx)?;
        let _pending_or_done = self.publisher.poll_write(cx)?;
        if self.is_settled() { Poll::Ready(Ok(())) } else { Poll::Pending }
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
            // How many subscribers got it, ourselves included.
            Frame::Integer(_) if self.published.on_reply() => {
                if planted!(self.planted, ResendsAfterReconnect) {
                    self.waiting.pop_front();
                }
                Ok(())
            }
            Frame::Integer(_) => Err(self.publisher.unasked()),
            Frame::Simple(_) => self.publisher.on_pong(),
            Frame::Error(_)
                if planted!(self.planted, TakesRefusalsForDone) && self.published.on_reply() =>
            {
                Ok(())
            }
            Frame::Error(text) => Err(format!("Redis refused a PUBLISH: {text:.300}")),
            Frame::Bulk(_) | Frame::Array(_) | Frame::NullArray | Frame::Message { .. } | _ => {
                Err(format!("Redis answered a PUBLISH with {}", kind_of(&frame)))
            }
        }
    }
}

/// Whether `frame` is an array that begins with `name`.
pub(super) fn is_push(frame: &Frame, name: &[u8]) -> bool {
    let Frame::Array(parts) = frame else { return false };
    matches!(parts.first(), Some(Frame::Bulk(Some(first))) if first.as_ref() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_was_left_out_counts_once_all_before_it_were_answered() {
        let mut published = Published::default();
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
