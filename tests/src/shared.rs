//! A state that the threads of a test share, and wait for.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::clock::Deadline;

/// A state that one thread changes while others wait for it.
#[derive(Debug, Default)]
pub(crate) struct Shared<T> {
    state: Mutex<T>,
    changed: Condvar,
}

impl<T> Shared<T> {
    /// The state, which nobody else reads or changes meanwhile.
    pub(crate) fn state(&self) -> MutexGuard<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes all who wait for it.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.state());
        self.changed.notify_all();
        result
    }

    /// Waits until `done` returns a value for the state, and returns that; `None` if it does not
    /// within the time.
    pub(crate) fn wait<R>(
        &self,
        time: Duration,
        mut done: impl FnMut(&T) -> Option<R>,
    ) -> Option<R> {
        let deadline = Deadline::after(time);
        let mut state = self.state();
        loop {
            if let Some(result) = done(&state) {
                return Some(result);
            }
            let waited = self.changed.wait_timeout(state, deadline.left()?);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
