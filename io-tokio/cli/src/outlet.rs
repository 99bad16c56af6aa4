//! A writer that never blocks. Bytes enter a bounded queue; a thread of its own writes them. What is
//! written to may stand still for ever (a pipe that nobody reads, a file on a server that is gone),
//! and the rest of the program goes on.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// The queue to a thread that writes. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Outlet(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Notified whenever the state changes.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Vec<u8>>,
    /// The bytes in the queue and in the write under way.
    bytes: usize,
    bytes_max: usize,
    left_out: u64,
    error: Option<io::Error>,
}

/// The queue has no room, so what was offered was left out and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Outlet {
    /// Starts a thread that writes to `sink`. At most `bytes_max` bytes wait for it.
    ///
    /// # Errors
    /// Fails if the system gives no thread.
    pub(crate) fn start(sink: impl Write + Send + 'static, bytes_max: usize) -> io::Result<Self> {
        let state = State { queue: VecDeque::new(), bytes: 0, bytes_max, left_out: 0, error: None };
        let outlet = Self(Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }));
        let of_thread = outlet.clone();
        // The thread may stand still in a write, so nobody waits for its end.
        thread::Builder::new().name("outlet".to_owned()).spawn(move || of_thread.run(sink))?;
        Ok(outlet)
    }

    /// Queues bytes to be written together, all or none.
    ///
    /// # Errors
    /// [`Full`] if the queue has no room for them.
    pub(crate) fn offer(&self, bytes: Vec<u8>) -> Result<(), Full> {
        let mut state = self.lock();
        if state.bytes + bytes.len() > state.bytes_max {
            state.left_out += 1;
            return Err(Full);
        }
        state.bytes += bytes.len();
        state.queue.push_back(bytes);
        drop(state);
        self.0.changed.notify_all();
        Ok(())
    }

    /// Returns how often something was left out since the last call, once there is room again.
    pub(crate) fn take_left_out(&self) -> u64 {
        let mut state = self.lock();
        if state.bytes > state.bytes_max / 2 { 0 } else { std::mem::take(&mut state.left_out) }
    }

    /// Returns the error of a write since the last call. What was written afterwards may have gone
    /// out.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.lock().error.take()
    }

    /// Waits until everything was written, at most for `time`; returns whether it was.
    pub(crate) fn drain(&self, time: Duration) -> bool {
        let waited = self
            .0
            .changed
            .wait_timeout_while(self.lock(), time, |state| state.bytes > 0)
            .unwrap_or_else(PoisonError::into_inner);
        !waited.1.timed_out()
    }

    fn run(&self, mut sink: impl Write) {
        loop {
            let mut state = self.lock();
            let bytes = loop {
                match state.queue.pop_front() {
                    Some(bytes) => break bytes,
                    None => {
                        state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            drop(state);
            let written = sink.write_all(&bytes).and_then(|()| sink.flush());
            let mut state = self.lock();
            state.bytes -= bytes.len();
            if let Err(error) = written {
                state.error.get_or_insert(error);
            }
            drop(state);
            self.0.changed.notify_all();
        }
    }

    /// Locks the state. No code panics while holding the lock, so a poisoned one guards a whole
    /// value.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A writer whose every write waits for the test's permission.
    struct Gated {
        permits: Receiver<io::Result<()>>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.permits.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
            let _ = self.written.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn what_finds_no_room_is_left_out_and_counted_and_the_rest_goes_on() {
        let (permit, permits) = channel();
        let (written, seen) = channel();
        let outlet = Outlet::start(Gated { permits, written }, 10).unwrap();
        assert_eq!(outlet.offer(b"12345".to_vec()), Ok(()));
        assert_eq!(outlet.offer(b"67890".to_vec()), Ok(()));
        for _ in 0..3 {
            assert_eq!(outlet.offer(b"x".to_vec()), Err(Full));
        }
        assert_eq!(outlet.take_left_out(), 0, "there is no room yet");
        assert!(!outlet.drain(Duration::ZERO));
        permit.send(Ok(())).unwrap();
        permit.send(Ok(())).unwrap();
        assert!(outlet.drain(LIMIT));
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), [b"12345".to_vec(), b"67890".to_vec()]);
        assert_eq!((outlet.take_left_out(), outlet.take_left_out()), (3, 0));
        assert!(outlet.take_error().is_none());
    }

    #[test]
    fn an_error_is_told_once_and_the_next_write_is_tried() {
        let (permit, permits) = channel();
        let (written, seen) = channel();
        let outlet = Outlet::start(Gated { permits, written }, 10).unwrap();
        outlet.offer(b"1".to_vec()).unwrap();
        outlet.offer(b"2".to_vec()).unwrap();
        permit.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        permit.send(Ok(())).unwrap();
        assert!(outlet.drain(LIMIT));
        assert_eq!(outlet.take_error().unwrap().kind(), io::ErrorKind::StorageFull);
        assert!(outlet.take_error().is_none());
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), [b"2".to_vec()]);
    }
}
