//! The connection that publishes. Commands enter as PUBLISHes; replies enter, and leave as the
//! number of commands that have gone out. Its keep-alive asks which part the server plays, since a
//! primary may become a replica, which takes every PUBLISH and passes it to nobody.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use synrepl_core::wire::Frame;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    part::{Part, Purpose, Question, warn_of_unknown},
    socket::{Failure, Socket, kind_of},
};

/// The publishing connection and the account of what went out on it.
pub(super) struct Publisher<S> {
    socket: Socket<S>,
    account: PublishAccount,
    purpose: Purpose,
    /// The number of PUBLISHes whose replies come before that to the keep-alive's question, while
    /// that is open.
    before_answer: Option<usize>,
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

impl<S: AsyncRead + AsyncWrite + Unpin> Publisher<S> {
    pub(super) fn new(socket: Socket<S>, purpose: Purpose) -> Self {
        Self { socket, account: PublishAccount::default(), purpose, before_answer: None }
    }

    /// Queues a PUBLISH.
    pub(super) fn publish(&mut self, channel: &str, message: &[u8]) {
        self.socket.queue(&[b"PUBLISH", channel.as_bytes(), message]);
        self.account.unanswered += 1;
    }

    /// Counts a command that has no form as gone out once all before it have.
    pub(super) fn leave_out(&mut self) {
        self.account.leave_out();
    }

    /// Returns the number of PUBLISHes without a reply.
    pub(super) const fn unanswered(&self) -> usize {
        self.account.unanswered
    }

    /// Returns the number of bytes that wait to be written.
    pub(super) fn output_len(&self) -> usize {
        self.socket.output_len()
    }

    /// Returns the number of commands that have gone out since the last call.
    pub(super) const fn take_sent(&mut self) -> u32 {
        std::mem::replace(&mut self.account.sent, 0)
    }

    /// Writes what is queued.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let _pending_or_done = self.socket.poll_write(cx)?;
        Ok(())
    }

    /// Writes what is queued, reads all replies that have come, and keeps alive.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        self.poll_write(cx)?;
        loop {
            while let Some(frame) = self.socket.next_frame()? {
                self.on_reply(frame)?;
            }
            match self.socket.poll_read(cx)? {
                Poll::Ready(()) => {}
                Poll::Pending => break,
            }
        }
        if self.socket.poll_keep_alive(cx, true)? {
            self.before_answer = Some(self.account.unanswered);
        }
        Ok(())
    }

    fn on_reply(&mut self, frame: Frame) -> Result<(), Failure> {
        if self.before_answer == Some(0) {
            self.before_answer = None;
            self.socket.on_pong()?;
            return self.on_answer(&frame);
        }
        match frame {
            // The number is that of the subscribers that got it, this instance included.
            Frame::Integer(_) if self.account.on_reply() => {
                self.before_answer = self.before_answer.map(|before| before - 1);
                Ok(())
            }
            Frame::Integer(_) | Frame::Simple(_) => Err(self.socket.unexpected_reply()),
            Frame::Error(text) => Err(refused_publish(&text)),
            Frame::Bulk(_) | Frame::Array(_) | Frame::NullArray | Frame::Message { .. } | _ => {
                Err(format!("Redis answered a PUBLISH with {}", kind_of(&frame)))
            }
        }
    }

    /// Handles the answer to the keep-alive's question.
    fn on_answer(&mut self, answer: &Frame) -> Result<(), Failure> {
        match (self.socket.question(), answer) {
            (Question::Ping, Frame::Simple(_)) => Ok(()),
            (Question::Ping, other) => {
                Err(format!("Redis answered a PING with {}", kind_of(other)))
            }
            (Question::Role | Question::Info, answer) => {
                if let Some(part) = Part::read(answer) {
                    return part.check(self.purpose).map_err(|problem| {
                        format!("Redis can no longer be published to: {problem}")
                    });
                }
                // What was told at login may be denied since.
                if matches!(answer, Frame::Error(_)) {
                    warn_of_unknown(answer);
                    self.socket.ask(Question::Ping);
                }
                Ok(())
            }
        }
    }
}

fn refused_publish(text: &str) -> Failure {
    let hint = if text.starts_with("NOPERM") {
        "; allow its user PUBLISH on the deployment's channels, or only observe (`--observe-only`), \
         which publishes nothing"
    } else {
        ""
    };
    format!("Redis refused a PUBLISH: {text:.300}{hint}")
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
