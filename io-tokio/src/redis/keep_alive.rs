//! The keep-alive of a Redis connection: when to send a PING, and when a silent connection counts
//! as dead. Received frames and time enter; what is due leaves. Time in which nothing was read
//! never counts as silence.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Sleep;

use crate::clock;

/// The time granted after the deadline to read what the system may already hold, since the loop may
/// have had no time to read.
const GRACE: Duration = Duration::from_secs(1);

/// The keep-alive of one connection. Any whole frame counts as life, not only the PONG: behind a
/// burst of messages the PONG comes late. Single bytes do not count, so a server that only drips is
/// given up.
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
    /// The deadline has passed; one more read is granted before the end.
    Grace,
}

/// The step that is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A PING is to be sent.
    Ping,
    /// The server counts as dead.
    TimedOut,
}

impl KeepAlive {
    pub(super) fn new(interval: Duration, timeout: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(interval));
        Self { timer, state: State::Idle, heard: false, interval, timeout }
    }

    /// Returns the time that an answer may take.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Records that a frame was received.
    pub(super) const fn on_frame(&mut self) {
        self.heard = true;
    }

    /// Records the answer to the PING: the next one is due an interval after now. False if no PING
    /// was open.
    pub(super) fn on_pong(&mut self) -> bool {
        if self.state == State::Idle {
            return false;
        }
        self.state = State::Idle;
        self.arm(self.interval);
        true
    }

    /// Waits until something is due. To be called after reading; `reading` is whether everything
    /// that had arrived was read: while it was not, the server cannot be called silent.
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

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Waker};

    use tokio::time::Instant;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);
    const TIMEOUT: Duration = Duration::from_secs(20);

    async fn due(keep_alive: &mut KeepAlive, reading: bool) -> Due {
        poll_fn(|cx| keep_alive.poll(cx, reading)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_pinged_after_the_interval_and_given_up_after_the_deadline() {
        let mut keep_alive = KeepAlive::new(INTERVAL, TIMEOUT);
        let start = Instant::now();
        assert_eq!(due(&mut keep_alive, true).await, Due::Ping);
        assert_eq!(start.elapsed().as_secs(), 30);
        assert_eq!(due(&mut keep_alive, true).await, Due::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 30 + 20 + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_is_pinged_again_an_interval_later() {
        let mut keep_alive = KeepAlive::new(INTERVAL, TIMEOUT);
        let start = Instant::now();
        assert_eq!(due(&mut keep_alive, true).await, Due::Ping);
        keep_alive.on_frame();
        assert!(keep_alive.on_pong());
        assert_eq!(due(&mut keep_alive, true).await, Due::Ping);
        assert_eq!(start.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_nothing_is_none() {
        let mut keep_alive = KeepAlive::new(INTERVAL, TIMEOUT);
        assert!(!keep_alive.on_pong());
        assert_eq!(due(&mut keep_alive, true).await, Due::Ping);
        assert!(keep_alive.on_pong());
        assert!(!keep_alive.on_pong());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_speaks_without_answering_is_kept() {
        let mut keep_alive = KeepAlive::new(INTERVAL, TIMEOUT);
        assert_eq!(due(&mut keep_alive, true).await, Due::Ping);
        let start = Instant::now();
        keep_alive.on_frame();
        assert_eq!(due(&mut keep_alive, true).await, Due::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 20 + 20 + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_passed_while_nothing_was_read_leaves_time_to_read() {
        let mut keep_alive = KeepAlive::new(INTERVAL, TIMEOUT);
        assert_eq!(due(&mut keep_alive, true).await, Due::Ping);
        // Nothing is read for ten minutes; the answer lies in the socket.
        let not_reading =
            tokio::time::timeout(Duration::from_secs(600), due(&mut keep_alive, false));
        assert!(not_reading.await.is_err());
        keep_alive.on_frame();
        assert!(keep_alive.on_pong());
        assert_eq!(due(&mut keep_alive, true).await, Due::Ping);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_was_not_polled_past_the_deadline_gets_one_more_look() {
        let mut keep_alive = KeepAlive::new(INTERVAL, TIMEOUT);
        assert_eq!(due(&mut keep_alive, true).await, Due::Ping);
        tokio::time::advance(Duration::from_secs(600)).await;
        let mut cx = Context::from_waker(Waker::noop());
        assert!(keep_alive.poll(&mut cx, true).is_pending());
        keep_alive.on_frame();
        assert!(keep_alive.on_pong());
        assert_eq!(due(&mut keep_alive, true).await, Due::Ping);
    }
}
