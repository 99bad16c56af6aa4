//! A line of calls that wait for the task or thread that serves them. Calls enter and leave in
//! order; a caller that no longer waits takes its call out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// The calls in the order in which they were made. A call in line belongs to a caller that waits;
/// when that drops its [`Place`], the call leaves the line. So the line is as long as callers wait,
/// and no longer.
pub(super) struct Line<T>(Mutex<State<T>>);

struct State<T> {
    next: u64,
    waiting: BTreeMap<u64, T>,
    /// The wakers of servers that found nothing to do.
    idle: Vec<Waker>,
    closed: bool,
}

/// A place in line. Dropping it takes the call out of the line, if its turn has not come.
pub(super) struct Place<T> {
    line: Arc<Line<T>>,
    number: u64,
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let given_up = self.line.state().waiting.remove(&self.number);
        // Only now, without the lock, as what it drops may wake a task.
        drop(given_up);
    }
}

impl<T> Line<T> {
    pub(super) fn new() -> Arc<Self> {
        let (waiting, idle) = (BTreeMap::new(), Vec::new());
        Arc::new(Self(Mutex::new(State { next: 0, waiting, idle, closed: false })))
    }

    /// Puts a call in line, behind all others. `None` if the line is closed.
    pub(super) fn stand(self: &Arc<Self>, item: T) -> Option<Place<T>> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.waiting.insert(number, item);
        let idle = state.idle.pop();
        drop(state);
        if let Some(idle) = idle {
            idle.wake();
        }
        Some(Place { line: Arc::clone(self), number })
    }

    /// Takes the first call in line, and those behind it for as long as `with` returns true. `None`
    /// once the line is closed and empty.
    pub(super) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        mut with: impl FnMut(&T) -> bool,
    ) -> Poll<Option<Vec<T>>> {
        let mut state = self.state();
        let mut taken = Vec::new();
        while let Some(first) = state.waiting.first_entry()
            && (with(first.get()) || taken.is_empty())
        {
            taken.push(first.remove());
        }
        if !taken.is_empty() {
            return Poll::Ready(Some(taken));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        if !state.idle.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.idle.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Closes the line to further calls. Those in line are still served.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        idle.into_iter().for_each(Waker::wake);
    }

    /// Closes the line and drops the calls in it, so that their callers end.
    fn abandon(&self) {
        self.close();
        let waiting = std::mem::take(&mut self.state().waiting);
        drop(waiting);
    }

    /// Returns the number of calls in line.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Locks the state. No code panics while it holds the lock, so the state is never torn.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of the line at which it is served. When it is dropped, for whatever reason, the line is
/// closed and emptied, so that no caller waits in vain.
pub(super) struct Server<T>(Arc<Line<T>>);

impl<T> Drop for Server<T> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl<T> Server<T> {
    pub(super) const fn new(line: Arc<Line<T>>) -> Self {
        Self(line)
    }

    /// Takes calls as [`Line::poll_take`] does.
    pub(super) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        with: impl FnMut(&T) -> bool,
    ) -> Poll<Option<Vec<T>>> {
        self.0.poll_take(cx, with)
    }

    /// Returns whether the line is closed.
    #[cfg(feature = "postgres")]
    pub(super) fn is_closed(&self) -> bool {
        self.0.state().closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(line: &Line<u32>, most: u32) -> Poll<Option<Vec<u32>>> {
        let mut left = most;
        line.poll_take(&mut Context::from_waker(Waker::noop()), |_| {
            left = left.saturating_sub(1);
            left > 0 || most == 1
        })
    }

    #[test]
    fn calls_are_served_in_the_order_in_which_they_were_made() {
        let line = Line::new();
        let places: Vec<_> = (0..5).map(|number| line.stand(number)).collect();
        let taken = line.poll_take(&mut Context::from_waker(Waker::noop()), |number| *number < 3);
        assert_eq!(taken, Poll::Ready(Some(vec![0, 1, 2])));
        assert_eq!(poll(&line, 9), Poll::Ready(Some(vec![3, 4])));
        assert_eq!(poll(&line, 9), Poll::Pending);
        drop(places);
    }

    #[test]
    fn the_first_is_taken_though_it_is_too_large() {
        let line = Line::new();
        let _places = [line.stand(7), line.stand(8)];
        let taken = line.poll_take(&mut Context::from_waker(Waker::noop()), |_| false);
        assert_eq!(taken, Poll::Ready(Some(vec![7])));
    }

    #[test]
    fn who_no_longer_waits_leaves_the_line_and_the_others_keep_their_places() {
        let line = Line::new();
        let [_first, second, _third] = [line.stand(1), line.stand(2), line.stand(3)];
        drop(second);
        assert_eq!(poll(&line, 9), Poll::Ready(Some(vec![1, 3])));
        assert_eq!(line.len(), 0);
    }

    #[test]
    fn a_closed_line_serves_who_stands_in_it_and_lets_nobody_in() {
        let line = Line::new();
        let _place = line.stand(1);
        line.close();
        assert!(line.stand(2).is_none());
        assert_eq!(poll(&line, 9), Poll::Ready(Some(vec![1])));
        assert_eq!(poll(&line, 9), Poll::Ready(None));
    }

    #[test]
    fn who_waits_is_sent_away_when_the_server_is_gone() {
        struct Told(Arc<Mutex<bool>>);
        impl Drop for Told {
            fn drop(&mut self) {
                *self.0.lock().unwrap() = true;
            }
        }
        let told = Arc::new(Mutex::new(false));
        let line = Line::new();
        let server = Server::new(Arc::clone(&line));
        let _place = line.stand(Told(Arc::clone(&told)));
        drop(server);
        assert!(*told.lock().unwrap());
        assert!(line.stand(Told(Arc::clone(&told))).is_none());
    }
}
