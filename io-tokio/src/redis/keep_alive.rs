//! When to send a Redis PING, and when a silent connection counts as dead.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Sleep;

use crate::clock;

/// How long is waited after the deadline for bytes that the system may already hold, since the
/// loop may have had no time to read.
const GRACE: Duration = Duration::from_secs(1);

/// The keep-alive of one connection. Any byte heard counts as life, not only the PONG: behind a
/// burst of messages the PONG comes late.
pub(super) struct KeepAlive {
    timer: Pin<Box<Sleep>>,
    state: State,
    heard: bool,
    interval: Duration,
    timeout: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    AwaitingPong,
    /// The deadline passed; one more look before the end.
    Grace,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Send a PING.
    Ping,
    /// The peer is dead.
    TimedOut,
}

impl KeepAlive {
    pub(super) fn new(interval: Duration, timeout: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(interval));
        Self { timer, state: State::Idle, heard: false, interval, timeout }
    }

    /// How long an answer may take.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Bytes came in.
    pub(super) const fn on_heard(&mut self) {
        self.heard = true;
    }

    /// The PING was answered. The next one is due an interval after now.
    pub(super) fn on_pong(&mut self) {
        self.state = State::Idle;
        self.arm(self.interval);
    }

    /// Call after reading. `reading` tells whether everything that had come in was read; while it
    /// was not, nobody can say that the peer is silent.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, reading: bool) -> Poll<Due> {
        loop {
            std::task::ready!(self.timer.as_mut().poll(cx));
            let heard = std::mem::take(&mut self.heard);
            match self.state {
                State::Idle => {
                    self.state = State::AwaitingPong;
                    self.arm(self.timeout);
                    return Poll::Ready(Due::Ping);
                }
                State::AwaitingPong | State::Grace if heard => {
                    self.state = State::AwaitingPong;
                    self.arm(self.timeout);
                }
                State::AwaitingPong => {
                    self.state = State::Grace;
                    self.arm(GRACE);
                }
                State::Grace if reading => return Poll::Ready(Due::TimedOut),
                State::Grace => self.arm(GRACE),
            }
        }
    }

    fn arm(&mut self, after: Duration) {
        self.timer.as_mut().reset(clock::instant_after(after));
    }
}
