//! The queues between the driver and the task of an accepted connection: chunks of lines go to the
//! task, numbers of commands that have gone out come back. Neither grows beyond what the core lets
//! wait (P5, F9).

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use synrepl_core::ConnectionId;

use super::output::Chunk;

/// The queue of chunks from the driver to one peer. It holds no more than the core lets pile up.
#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    chunks: Vec<Chunk>,
    close: bool,
    /// Set once the connection has ended: nothing is kept any more.
    gone: bool,
    task: Option<Waker>,
}

impl Outbox {
    /// Queues lines behind those before. Called by the driver.
    pub(super) fn push(&self, chunk: Chunk) {
        let mut waiting = self.waiting();
        if waiting.gone {
            return;
        }
        waiting.chunks.push(chunk);
        wake(waiting);
    }

    /// Requests a close: nothing follows. Called by the driver.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.close = true;
        wake(waiting);
    }

    /// Hands each waiting chunk to `each`, and leaves a waker. Returns whether the connection is to
    /// be closed. Called by the task.
    pub(super) fn take(&self, cx: &mut Context<'_>, each: impl FnMut(Chunk)) -> bool {
        let mut waiting = self.waiting();
        waiting.chunks.drain(..).for_each(each);
        if !waiting.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            waiting.task = Some(cx.waker().clone());
        }
        waiting.close
    }

    /// Marks the connection as ended and frees what waits. Called by the task.
    pub(super) fn end(&self) {
        let mut waiting = self.waiting();
        waiting.gone = true;
        waiting.chunks = Vec::new();
        waiting.task = None;
    }

    /// Locks the queue. No code panics while it holds the lock, so the queue is never torn.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(mut waiting: MutexGuard<'_, Waiting>) {
    let task = waiting.task.take();
    drop(waiting);
    if let Some(task) = task {
        task.wake();
    }
}

/// The numbers of commands that have gone out, from the tasks to the driver. One list for all
/// peers: the driver is woken once, however many have something to report. It is never longer than
/// what was queued.
#[derive(Clone, Debug, Default)]
pub(super) struct Reports(Arc<Mutex<Reported>>);

#[derive(Debug, Default)]
struct Reported {
    sent: Vec<(ConnectionId, u32)>,
    driver: Option<Waker>,
}

impl Reports {
    pub(super) fn add(&self, conn: ConnectionId, count: u32) {
        let mut reported = self.reported();
        match reported.sent.last_mut() {
            Some((last, sent)) if *last == conn => *sent += count,
            _ => reported.sent.push((conn, count)),
        }
        let driver = reported.driver.take();
        drop(reported);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Waits for reports, and exchanges them for `empty`.
    pub(super) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        empty: &mut Vec<(ConnectionId, u32)>,
    ) -> Poll<()> {
        let mut reported = self.reported();
        if reported.sent.is_empty() {
            if !reported.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
                reported.driver = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        std::mem::swap(&mut reported.sent, empty);
        Poll::Ready(())
    }

    /// Locks the list. No code panics while it holds the lock, so the list is never torn.
    fn reported(&self) -> MutexGuard<'_, Reported> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        task::Wake,
    };

    use bytes::Bytes;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn chunk(lines: &'static str) -> Chunk {
        Chunk { lines: Bytes::from_static(lines.as_bytes()), commands: 1 }
    }

    fn taken(outbox: &Outbox, cx: &mut Context<'_>) -> (Vec<Bytes>, bool) {
        let mut lines = Vec::new();
        let close = outbox.take(cx, |chunk| lines.push(chunk.lines));
        (lines, close)
    }

    #[test]
    fn a_task_is_woken_once_for_all_that_waits() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let outbox = Outbox::default();
        assert_eq!(taken(&outbox, &mut cx), (vec![], false));
        outbox.push(chunk("a\n"));
        outbox.push(chunk("b\n"));
        outbox.close();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(taken(&outbox, &mut cx), (vec!["a\n".into(), "b\n".into()], true));
    }

    #[test]
    fn nothing_is_kept_for_a_connection_that_is_over() {
        let outbox = Outbox::default();
        outbox.push(chunk("a\n"));
        outbox.end();
        outbox.push(chunk("b\n"));
        assert_eq!(taken(&outbox, &mut Context::from_waker(Waker::noop())), (vec![], false));
    }

    #[test]
    fn reports_of_all_peers_wake_the_driver_once() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let (reports, mut sent) = (Reports::default(), Vec::new());
        assert!(reports.poll_take(&mut cx, &mut sent).is_pending());
        let (a, b) = (ConnectionId::accepted(0), ConnectionId::accepted(1));
        for (conn, count) in [(a, 1), (a, 2), (b, 3), (a, 4)] {
            reports.add(conn, count);
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(reports.poll_take(&mut cx, &mut sent).is_ready());
        assert_eq!(sent, [(a, 3), (b, 3), (a, 4)]);
        sent.clear();
        assert!(reports.poll_take(&mut cx, &mut sent).is_pending());
    }
}
