//! The queue of events to the application, bounded in events and in bytes.
//!
//! The driver gathers events without a lock and publishes them a chunk at a time; the application
//! takes all that wait at once. So a busy queue costs one lock and one wake-up per chunk, not per
//! event.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use synrepl_core::Event;

/// What one event costs beyond the text of its rows, in bytes.
const EVENT_BYTES: usize = size_of::<Event>();

/// Both ends of a queue that takes new events while fewer than `events_max` wait and they hold
/// less than `bytes_max`.
pub(crate) fn queue(events_max: usize, bytes_max: usize) -> (Sender, Receiver) {
    let shared = Arc::new(Shared { state: Mutex::new(State::default()) });
    let sender = Sender {
        shared: Arc::clone(&shared),
        chunk: VecDeque::new(),
        chunk_bytes: 0,
        events_max,
        bytes_max,
    };
    (sender, Receiver { shared, chunk: VecDeque::new() })
}

struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Event>,
    bytes: usize,
    sender_gone: bool,
    receiver_gone: bool,
    receiver: Option<Waker>,
    sender: Option<Waker>,
}

impl Shared {
    /// The state. No code panics while holding it, so it is never torn.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The driver's end.
pub(crate) struct Sender {
    shared: Arc<Shared>,
    chunk: VecDeque<Event>,
    chunk_bytes: usize,
    events_max: usize,
    bytes_max: usize,
}

impl Sender {
    /// Adds an event to the chunk that [`Sender::publish`] hands over. `held_bytes` is the memory
    /// that it keeps alive besides the text of its rows.
    pub(crate) fn push(&mut self, event: Event, held_bytes: usize) {
        let text = match &event {
            Event::Rows { rows, .. } => rows.byte_len(),
            _ => 0,
        };
        self.chunk_bytes += EVENT_BYTES + text.max(held_bytes);
        self.chunk.push_back(event);
    }

    /// Hands the chunk over. Returns whether the application still listens.
    pub(crate) fn publish(&mut self) -> bool {
        if self.chunk.is_empty() {
            return true;
        }
        let receiver = {
            let mut state = self.shared.state();
            if state.receiver_gone {
                self.chunk.clear();
                return false;
            }
            if state.waiting.is_empty() {
                std::mem::swap(&mut state.waiting, &mut self.chunk);
            } else {
                state.waiting.append(&mut self.chunk);
            }
            state.bytes += std::mem::take(&mut self.chunk_bytes);
            state.receiver.take()
        };
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        true
    }

    /// Ready once there is room, or the application listens no more.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.state();
        let room = state.waiting.len() < self.events_max && state.bytes < self.bytes_max;
        if room || state.receiver_gone {
            return Poll::Ready(());
        }
        state.sender = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether [`Sender::poll_room`] would be ready.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.shared.state();
        (state.waiting.len() < self.events_max && state.bytes < self.bytes_max)
            || state.receiver_gone
    }

    /// Ready once the application listens no more.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.state().receiver_gone
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.publish();
        let mut state = self.shared.state();
        state.sender_gone = true;
        let receiver = state.receiver.take();
        drop(state);
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }
}

/// The application's end.
pub(crate) struct Receiver {
    shared: Arc<Shared>,
    chunk: VecDeque<Event>,
}

impl Receiver {
    /// The next event, without waiting.
    pub(crate) fn try_pop(&mut self) -> Option<Event> {
        self.chunk.pop_front().or_else(|| {
            self.take_waiting(None);
            self.chunk.pop_front()
        })
    }

    /// The next event; `None` once the driver is gone and all its events are out.
    pub(crate) fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(event) = self.chunk.pop_front() {
            return Poll::Ready(Some(event));
        }
        let ended = self.take_waiting(Some(cx));
        match self.chunk.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Takes all that waits, or leaves a waker. Returns whether the driver is gone.
    fn take_waiting(&mut self, cx: Option<&mut Context<'_>>) -> bool {
        let mut state = self.shared.state();
        std::mem::swap(&mut state.waiting, &mut self.chunk);
        state.bytes = 0;
        if self.chunk.is_empty()
            && let Some(cx) = cx
        {
            state.receiver = Some(cx.waker().clone());
        }
        let ended = state.sender_gone;
        let sender = state.sender.take();
        drop(state);
        if let Some(sender) = sender {
            sender.wake();
        }
        ended
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.receiver_gone = true;
        let waiting = std::mem::take(&mut state.waiting);
        let sender = state.sender.take();
        drop(state);
        drop(waiting);
        if let Some(sender) = sender {
            sender.wake();
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("at_hand", &self.chunk.len()).finish_non_exhaustive()
    }
}
