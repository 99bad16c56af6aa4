//! The calls of the application to the driver. Commands, waits and batches enter from any task;
//! results leave. Once the driver has stopped every call ends with an error, but an append, which
//! only needs the log.

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

/// A request of a [`Handle`] to the driver.
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

/// The calls that an application can make to a running replication, from any task: append to own
/// streams, send commands, wait for positions, read counters, stop.
///
/// Cheap to clone. It may outlive the [`Replication`](crate::Replication).
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

    /// Appends a batch to an own stream; its rows share one token and stay together. Resolves to
    /// the token once the batch is durable in the log given to
    /// [`Builder::log`](crate::Builder::log); it is then published, in the order of the tokens.
    ///
    /// Tokens rise in the order of the calls, not of the polls: any number of appends may be under
    /// way. After a shutdown batches are still kept, and published by the next start.
    ///
    /// # Errors
    /// [`AppendError`]: nothing of the batch is kept, unless the variant states that this is
    /// unknown.
    ///
    /// # Cancel safety
    /// A dropped future may or may not have appended the batch, but never a part of it.
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

    /// Announces that `user` (a Matrix user id), with this device, started or stopped syncing on
    /// this instance. The presence writer is notified, and while the sync lasts again on every new
    /// connection.
    ///
    /// # Errors
    /// [`Stopped`] if the driver has stopped.
    ///
    /// # Cancel safety
    /// A dropped call may or may not have announced it.
    pub async fn syncing(
        &self,
        user: impl Into<ByteString>,
        device: Option<ByteString>,
        syncing: bool,
    ) -> Result<(), Stopped> {
        let request = Request::Syncing { user: user.into(), device, syncing };
        self.requests.send(request).await.map_err(|_| Stopped)
    }

    /// Sends `command` to the other instances, and to the connected peers that take it. Resolves
    /// once it is in the output buffer of the present connection; it is lost if that connection
    /// breaks before it is written.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if there is no connection now: the command is not kept.
    /// [`SendError::ObserveOnly`], [`SendError::NotForClients`] and [`SendError::OnlyFromLog`] if
    /// this instance may not send it, [`SendError::Unencodable`] if it has no form on the wire,
    /// [`SendError::Stopped`] if the driver has stopped.
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
    /// [`WaitError::TimedOut`] after `timeout`, with the position at that time;
    /// [`WaitError::Refused`] if the source is not followed or too many waits are open;
    /// [`WaitError::Stopped`] if the driver has stopped.
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

    /// Returns the counters of the core.
    ///
    /// # Errors
    /// [`Stopped`] if the driver has stopped.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn stats(&self) -> Result<Stats, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Stats(reply)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Requests the driver to stop: what was sent goes out, the connections are closed, nothing
    /// more is fetched. The events that were queued are still handed out, then
    /// [`Event::Stopped`](crate::Event::Stopped), then `None`. A second call changes nothing.
    pub fn shutdown(&self) {
        self.stop.cancel();
    }
}

/// Notifies the driver, when dropped, that a wait is no longer wanted. If the driver's queue is
/// full, the wait ends at its own deadline.
struct OpenWait<'a> {
    requests: &'a mpsc::Sender<Request>,
    wait: WaitId,
    ended: bool,
}

impl Drop for OpenWait<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // If the queue is full or closed, the deadline ends the wait in the core.
            let _ = self.requests.try_send(Request::CancelWait(self.wait));
        }
    }
}
