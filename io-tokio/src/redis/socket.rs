//! One of the two connections to the Redis server: its buffers and its keep-alive. Bytes enter and
//! leave as whole frames; commands enter and leave as bytes. Nothing is lost when a poll is
//! pending, and no failure quotes the password.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use synrepl_core::{
    secret::{LEFT_OUT, Secret},
    wire::{Frame, RespDecoder, RespLimits, encode_command},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use super::{
    keep_alive::{Due, KeepAlive},
    part::Question,
};
use crate::{limits::Limits, transport::READ_BYTES};

/// The room in bytes with less of which a new buffer is begun. Not at every read: rows keep their
/// buffer alive, so a buffer has to be used up.
const ROOM_BYTES_MIN: usize = 8 << 10;

/// The most replicas of a server whose ROLE is read. Redis itself has trouble long before.
const REPLICAS_MAX: usize = 1_024;

/// The hint at the end of a subscription: only a subscriber can be too slow for what it is sent.
const TOO_SLOW: &str = "; if that repeats under load, see its client-output-buffer-limit";

/// The reason why a connection to Redis cannot go on, in words for people.
pub(super) type Failure = String;

/// One connection to the Redis server. Nothing in it is lost when a poll is pending.
pub(super) struct Socket<S> {
    stream: S,
    input: BytesMut,
    decoder: RespDecoder,
    output: BytesMut,
    flushing: bool,
    keep_alive: KeepAlive,
    /// The question that the keep-alive asks.
    question: Question,
    bytes_read: usize,
    /// Whether a whole frame was received.
    has_heard: bool,
    role: Role,
    /// The password that the server has received, which no text of the server may show.
    password: Option<Secret>,
}

/// The use of a connection, as failures name it.
#[derive(Clone, Copy)]
pub(super) enum Role {
    Publishing,
    Subscribing,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publishing => "publishing",
            Self::Subscribing => "subscribing",
        })
    }
}

/// Names the kind of an unexpected frame, for people. Its content is left out, but for an error's:
/// it may be long, or be of this instance.
pub(super) fn kind_of(frame: &Frame) -> String {
    match frame {
        Frame::Simple(text) => format!("a status of {} bytes", text.len()),
        Frame::Error(text) => format!("an error: {text:.300}"),
        Frame::Integer(number) => format!("the number {number}"),
        Frame::Bulk(None) | Frame::NullArray => "a null".to_owned(),
        Frame::Bulk(Some(bytes)) => format!("a string of {} bytes", bytes.len()),
        Frame::Array(parts) => format!("an array of {}", parts.len()),
        Frame::Message { .. } | _ => "a message".to_owned(),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(super) fn new(stream: S, role: Role, password: Option<&Secret>, limits: &Limits) -> Self {
        let mut resp_limits = RespLimits::default();
        resp_limits.bulk_bytes_max = limits.message_bytes_max;
        let mut ping_interval = limits.ping_interval;
        if let Role::Publishing = role {
            // ROLE lists the replicas, one array each.
            resp_limits.array_len_max = REPLICAS_MAX;
            resp_limits.depth_max = 3;
            ping_interval = ping_interval.min(limits.publisher_ping_interval);
        }
        Self {
            stream,
            input: BytesMut::with_capacity(READ_BYTES),
            decoder: RespDecoder::new(resp_limits),
            output: BytesMut::new(),
            flushing: false,
            keep_alive: KeepAlive::new(ping_interval, limits.ping_timeout),
            question: Question::Ping,
            bytes_read: 0,
            has_heard: false,
            role,
            password: password.cloned(),
        }
    }

    /// Returns whether a whole frame was received.
    pub(super) const fn has_heard(&self) -> bool {
        self.has_heard
    }

    /// Queues a Redis command.
    pub(super) fn queue(&mut self, parts: &[&[u8]]) {
        encode_command(parts, &mut self.output);
    }

    /// Returns the number of bytes that wait to be written.
    pub(super) fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Returns the number of bytes read since the last call.
    pub(super) fn take_bytes_read(&mut self) -> usize {
        std::mem::take(&mut self.bytes_read)
    }

    /// Returns the next frame of what was read, without reading more.
    #[inline]
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, Failure> {
        match self.decoder.decode(&mut self.input) {
            Ok(None) => Ok(None),
            Ok(Some(frame)) => {
                self.keep_alive.on_frame();
                self.has_heard = true;
                Ok(Some(self.without_password(frame)))
            }
            Err(error) => {
                Err(format!("the {} connection does not speak Redis: {error}", self.role))
            }
        }
    }

    /// Returns the frame, without the text of an error that holds the password: errors are shown to
    /// people.
    #[inline]
    fn without_password(&self, frame: Frame) -> Frame {
        match (frame, &self.password) {
            (Frame::Error(text), Some(password)) if password.is_in(&text) => {
                Frame::Error(LEFT_OUT.to_owned())
            }
            (frame, _) => frame,
        }
    }

    /// Reads once. Ready when something was received.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.input.capacity() - self.input.len() < ROOM_BYTES_MIN {
            self.input.reserve(READ_BYTES);
        }
        match ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input)) {
            Ok(0) => {
                let hint = match self.role {
                    Role::Subscribing => TOO_SLOW,
                    Role::Publishing => {
                        "; if that repeats while nothing is sent, see its `timeout`"
                    }
                };
                Poll::Ready(Err(format!("Redis closed the {} connection{hint}", self.role)))
            }
            Ok(count) => {
                self.bytes_read += count;
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(self.broken(&error))),
        }
    }

    /// Writes what is queued. Ready when all of it is written.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        while !self.output.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.output)) {
                Ok(0) => {
                    let error = io::Error::from(io::ErrorKind::WriteZero);
                    return Poll::Ready(Err(self.broken(&error)));
                }
                Ok(count) => {
                    self.output.advance(count);
                    self.flushing = true;
                }
                Err(error) => return Poll::Ready(Err(self.broken(&error))),
            }
        }
        if self.flushing {
            if let Err(error) = ready!(Pin::new(&mut self.stream).poll_flush(cx)) {
                return Poll::Ready(Err(self.broken(&error)));
            }
            self.flushing = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Queues the keep-alive's question when it is due, and returns whether it did. To be called
    /// after reading; `reading` is whether all that had arrived was read.
    pub(super) fn poll_keep_alive(
        &mut self,
        cx: &mut Context<'_>,
        reading: bool,
    ) -> Result<bool, Failure> {
        let mut asked = false;
        while let Poll::Ready(due) = self.keep_alive.poll(cx, reading) {
            match due {
                Due::Ping => {
                    self.queue(self.question.words());
                    asked = true;
                }
                Due::TimedOut => {
                    return Err(format!(
                        "ping timeout: nothing came on the {} connection for {:?} after a PING",
                        self.role,
                        self.keep_alive.timeout()
                    ));
                }
            }
        }
        Ok(asked)
    }

    /// Sets the question that the keep-alive asks from now on.
    pub(super) const fn ask(&mut self, question: Question) {
        self.question = question;
    }

    /// Returns the question that the keep-alive asks.
    pub(super) const fn question(&self) -> Question {
        self.question
    }

    /// Records the answer to a PING.
    pub(super) fn on_pong(&mut self) -> Result<(), Failure> {
        if self.keep_alive.on_pong() { Ok(()) } else { Err(self.unexpected_reply()) }
    }

    /// Makes the failure for a reply to nothing.
    #[cold]
    pub(super) fn unexpected_reply(&self) -> Failure {
        format!("Redis sent more replies than commands it got on the {} connection", self.role)
    }

    fn broken(&self, error: &io::Error) -> Failure {
        // Redis says no word to a subscriber that it cuts off; TLS and resets show it as an error.
        let hint = match (self.role, error.kind()) {
            (Role::Subscribing, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                TOO_SLOW
            }
            _ => "",
        };
        format!("the {} connection broke: {error}{hint}", self.role)
    }
}
