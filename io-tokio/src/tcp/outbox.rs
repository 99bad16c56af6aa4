//! What the driver and the task of an accepted connection share: the way out, and what has gone.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use synrepl_core::ConnectionId;

use super::output::Chunk;

/// The way from the driver to one peer. Holds no more than the core lets pile up.
#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    chunks: Vec<Chunk>,
    close: bool,
    /// The connection is over: nothing is kept any more.
    gone: bool,
    task: Option<Waker>,
}

impl Outbox {
    /// The driver's: queues lines behind those before.
    pub(super) fn push(&self, chunk: Chunk) {
        let mut waiting = self.waiting();
        if waiting.gone {
            return;
        }
        waiting.chunks.push(chunk);
        wake(waiting);
    }

    /// The driver's: nothing follows.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.close = true;
        wake(waiting);
    }

    /// The task's: hands each waiting chunk to `each`, and leaves a waker. Returns whether the
    /// connection is to be closed.
    pub(super) fn take(&self, cx: &mut Context<'_>, each: impl FnMut(Chunk)) -> bool {
        let mut waiting = self.waiting();
        waiting.chunks.drain(..).for_each(each);
        if !waiting.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            waiting.task = Some(cx.waker().clone());
        }
        waiting.close
    }

    /// The task's: the connection is over.
    pub(super) fn end(&self) {
        let mut waiting = self.waiting();
        waiting.gone = true;
        waiting.chunks = Vec::new();
        waiting.task = None;
    }

    /// No code panics while holding it, so it is never torn.
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

/// Which commands have gone out, from the tasks to the driver. One list for all peers: the driver
/// is woken once, however many have something to say. Never longer than what was queued.
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

    /// Exchanges what was reported for `empty`.
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

    /// No code panics while holding it, so it is never torn.
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
