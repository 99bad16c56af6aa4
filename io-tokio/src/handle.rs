//! Calls of the application to the driver.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use synrepl_core::{
    Stats, WaitId, WaitOutcome,
    stream::{Source, Token},
    wire::Command,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::error::{SendError, Stopped, WaitError};

/// What a [`Handle`] asks of the driver.
#[derive(Debug)]
pub(crate) enum Request {
    Send {
        command: Command,
        reply: oneshot::Sender<Result<(), SendError>>,
    },
    WaitFor {
        wait: WaitId,
        source: Source,
        token: Token,
        timeout: Duration,
        reply: oneshot::Sender<WaitOutcome>,
    },
    CancelWait(WaitId),
    Stats(oneshot::Sender<Stats>),
}

/// Sends commands, waits for positions, reads counters and stops. Cheap to clone; outliving the
/// [`Replication`](crate::Replication) is fine.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    stop: CancellationToken,
    next_wait: Arc<AtomicU64>,
    observe_only: bool,
}

impl Handle {
    pub(crate) fn new(
        requests: mpsc::Sender<Request>,
        stop: CancellationToken,
        observe_only: bool,
    ) -> Self {
        Self { requests, stop, next_wait: Arc::new(AtomicU64::new(0)), observe_only }
    }

    /// Sends `command` to the other instances. Resolves when it stands in the output buffer of
    /// the present connection; it is lost if that connection breaks before it is written.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if there is no connection now: the command is not kept.
    ///
    /// # Cancel safety
    /// A dropped call may or may not have sent the command.
    pub async fn send(&self, command: Command) -> Result<(), SendError> {
        if self.observe_only {
            return Err(SendError::ObserveOnly);
        }
        let (reply, answer) = oneshot::channel();
        let request = Request::Send { command, reply };
        self.requests.send(request).await.map_err(|_| SendError::Stopped)?;
        answer.await.map_err(|_| SendError::Stopped)?
    }

    /// Waits until the rows of `instance` on `stream` are complete up to `token`, and returns the
    /// position then: `token` or above. The rows may still be queued for the application.
    ///
    /// # Errors
    /// [`WaitError::TimedOut`] after `timeout`, with the position at that time.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call ends the wait.
    pub async fn wait_for(
        &self,
        stream: &str,
        instance: &str,
        token: Token,
        timeout: Duration,
    ) -> Result<Token, WaitError> {
        let wait = WaitId::new(self.next_wait.fetch_add(1, Ordering::Relaxed));
        let (reply, answer) = oneshot::channel();
        let source = Source::new(stream, instance);
        let request = Request::WaitFor { wait, source, token, timeout, reply };
        self.requests.send(request).await.map_err(|_| WaitError::Stopped)?;
        let mut open = OpenWait { requests: &self.requests, wait, ended: false };
        let outcome = answer.await;
        open.ended = true;
        match outcome {
            Ok(WaitOutcome::Reached { position }) => Ok(position),
            Ok(WaitOutcome::TimedOut { position }) => Err(WaitError::TimedOut { position }),
            Ok(WaitOutcome::Refused | _) => Err(WaitError::Refused),
            Err(_) => Err(WaitError::Stopped),
        }
    }

    /// The counters of the core.
    ///
    /// # Errors
    /// The driver has stopped.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn stats(&self) -> Result<Stats, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Stats(reply)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Asks the driver to stop: what was sent goes out, the connection is closed, no more is
    /// fetched. The events that were queued still come, then
    /// [`Event::Stopped`](crate::Event::Stopped), then `None`. Asking twice is fine.
    pub fn shutdown(&self) {
        self.stop.cancel();
    }
}

/// Tells the driver when a wait is no longer wanted. Where the driver is too busy to be told, the
/// wait ends at its own deadline.
struct OpenWait<'a> {
    requests: &'a mpsc::Sender<Request>,
    wait: WaitId,
    ended: bool,
}

impl Drop for OpenWait<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // Full or closed: the deadline ends the wait in the core.
            let _ = self.requests.try_send(Request::CancelWait(self.wait));
        }
    }
}
