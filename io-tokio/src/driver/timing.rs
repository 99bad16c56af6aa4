//! The two causes of a turn besides arriving data: the core's next deadline, and the request to
//! stop.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The timer of the core's next deadline.
#[derive(Default)]
pub(super) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl Timer {
    /// Sets the deadline. Costs next to nothing when it has not changed.
    pub(super) fn set(&mut self, deadline: Option<Instant>) {
        self.armed = deadline.is_some();
        match (&mut self.sleep, deadline) {
            (Some(sleep), Some(deadline)) if sleep.deadline() != deadline => {
                sleep.as_mut().reset(deadline);
            }
            (None, Some(deadline)) => self.sleep = Some(Box::pin(sleep_until(deadline))),
            (_, _) => {}
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) if self.armed => sleep.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }
}

/// The request to stop, reported once.
pub(super) struct Stop(Option<Pin<Box<WaitForCancellationFutureOwned>>>);

impl Stop {
    pub(super) fn new(token: CancellationToken) -> Self {
        Self(Some(Box::pin(token.cancelled_owned())))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(cancelled) = &mut self.0 else { return Poll::Pending };
        std::task::ready!(cancelled.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(())
    }
}
