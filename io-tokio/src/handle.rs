//! Calls of the application to the driver.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use synrepl_core::{
    ByteString, Stats, WaitId, WaitOutcome,
    stream::{Row, Source, Token},
    wire::Command,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    error::{SendError, Stopped, WaitError},
    log::{AppendError, AppendFuture, LogStore},
};

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
    Syncing {
        user: ByteString,
        device: Option<ByteString>,
        syncing: bool,
    },
    Stats(oneshot::Sender<Stats>),
}

/// Appends to own streams, sends commands, waits for positions, reads counters and stops. Cheap to
/// clone; outliving the [`Replication`](crate::Replication) is fine.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    stop: CancellationToken,
    next_wait: Arc<AtomicU64>,
    observe_only: bool,
    log: Option<Arc<dyn LogStore>>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    pub(crate) fn new(
        requests: mpsc::Sender<Request>,
        stop: CancellationToken,
        observe_only: bool,
        log: Option<Arc<dyn LogStore>>,
    ) -> Self {
        Self { requests, stop, next_wait: Arc::new(AtomicU64::new(0)), observe_only, log }
    }

    /// Appends a batch to an own stream: `rows` share one token and stay together. Resolves with
    /// the token when the batch is durable in the log given to
    /// [`Builder::log`](crate::Builder::log); it is then published, in the order of the tokens.
    ///
    /// Tokens rise in the order of the calls, not of the polls: any number of appends may be under
    /// way. After a shutdown batches are still kept, and published by the next start.
    ///
    /// # Errors
    /// [`AppendError`]: nothing of the batch is kept.
    ///
    /// # Cancel safety
    /// A dropped future may or may not have appended the batch, whole.
    pub fn append(
        &self,
        stream: impl Into<ByteString>,
        rows: impl IntoIterator<Item = impl Into<Row>>,
    ) -> AppendFuture {
        match &self.log {
            Some(log) => log.append(stream.into(), rows.into_iter().map(Into::into).collect()),
            None => Box::pin(std::future::ready(Err(AppendError::NoLog))),
        }
    }

    /// Says that `user` (a Matrix user id), with this device, started or stopped syncing here. The
    /// presence writer is told; after a start on every new connection again, until the end.
    ///
    /// # Errors
    /// The driver has stopped.
    ///
    /// # Cancel safety
    /// A dropped call may or may not have said it.
    pub async fn syncing(
        &self,
        user: impl Into<ByteString>,
        device: Option<ByteString>,
        syncing: bool,
    ) -> Result<(), Stopped> {
        let request = Request::Syncing { user: user.into(), device, syncing };
        self.requests.send(request).await.map_err(|_| Stopped)
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
