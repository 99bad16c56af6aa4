//! The queue of events from the driver to the application, bounded in events and in bytes (F9):
//! events enter at the [`Sender`] and leave at the [`Receiver`], in order.
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

/// The memory of one event beyond the text of its rows, in bytes.
const EVENT_BYTES: usize = size_of::<Event>();

/// The size in bytes at which a chunk is published before more is added.
const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Makes both ends of a queue that takes new events while fewer than `events_max` wait and they
/// hold less than `bytes_max`.
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
    /// Locks the state. No code panics while it holds the lock, so the state is never torn.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The driver's end of the queue.
pub(crate) struct Sender {
    shared: Arc<Shared>,
    chunk: VecDeque<Event>,
    chunk_bytes: usize,
    events_max: usize,
    bytes_max: usize,
}

impl Sender {
    /// Adds an event to the chunk that [`Sender::publish`] hands over. `held_bytes` is the memory
    /// of the read buffers that it may keep alive; the larger of this and the text of its rows
    /// counts.
    pub(crate) fn push(&mut self, event: Event, held_bytes: usize) {
        let text = if let Event::Rows { rows, .. } = &event { rows.byte_len() } else { 0 };
        self.chunk_bytes += EVENT_BYTES + text.max(held_bytes);
        self.chunk.push_back(event);
    }

    /// Hands the chunk over. It is dropped if the application's end is gone.
    pub(crate) fn publish(&mut self) {
        if self.chunk.is_empty() {
            return;
        }
        let receiver = {
            let mut state = self.shared.state();
            if state.receiver_gone {
                self.chunk.clear();
                self.chunk_bytes = 0;
                return;
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
    }

    /// Waits until there is room, or the application's end is gone.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.state();
        let room = state.waiting.len() < self.events_max && state.bytes < self.bytes_max;
        if room || state.receiver_gone {
            return Poll::Ready(());
        }
        state.sender = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Returns whether lines of peers may still be taken in though there is no room: up to twice as
    /// many events may wait. Were their PINGs left unread for long, the peers would be taken for
    /// dead.
    pub(crate) fn has_room_for_peers(&self) -> bool {
        let state = self.shared.state();
        let room = state.waiting.len() / 2 < self.events_max && state.bytes / 2 < self.bytes_max;
        room || state.receiver_gone
    }

    /// Returns whether the chunk is so large that it should be published before more is added.
    pub(crate) const fn is_chunk_full(&self) -> bool {
        self.chunk_bytes >= CHUNK_BYTES_MAX
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

/// The application's end of the queue.
pub(crate) struct Receiver {
    shared: Arc<Shared>,
    chunk: VecDeque<Event>,
}

impl Receiver {
    /// Returns whether an event is at hand, taken together with those before it.
    pub(crate) fn has_at_hand(&self) -> bool {
        !self.chunk.is_empty()
    }

    /// Returns the next event, without waiting.
    pub(crate) fn try_pop(&mut self) -> Option<Event> {
        self.chunk.pop_front().or_else(|| {
            self.take_waiting(None);
            self.chunk.pop_front()
        })
    }

    /// Waits for the next event; `None` once the driver is gone and all its events are out.
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

    /// Takes all events that wait, or leaves a waker. Returns whether the driver is gone.
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

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use synrepl_core::{ConnectionId, Origin, stream::Source};

    use super::*;

    fn numbered(number: u64) -> Event {
        Event::Connected { conn: ConnectionId::new(number) }
    }

    fn rows(bytes: usize) -> Event {
        let row = synrepl_core::stream::Row::from("x".repeat(bytes).as_str());
        Event::Rows {
            source: Source::new("events", "p1"),
            token: 1.into(),
            rows: row.into(),
            origin: Origin::Live,
            position: 1.into(),
        }
    }

    #[derive(Default)]
    struct Count(Mutex<u32>);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() += 1;
        }
    }

    impl Count {
        fn get(&self) -> u32 {
            *self.0.lock().unwrap()
        }
    }

    #[test]
    fn events_come_in_order_across_chunks() {
        let (mut sender, mut receiver) = queue(10, 1 << 20);
        for chunk in [0..3, 3..4, 4..9] {
            for number in chunk {
                sender.push(numbered(number), 0);
            }
            sender.publish();
        }
        drop(sender);
        let mut cx = Context::from_waker(Waker::noop());
        for number in 0..9 {
            assert_eq!(receiver.poll_pop(&mut cx), Poll::Ready(Some(numbered(number))));
        }
        assert_eq!(receiver.poll_pop(&mut cx), Poll::Ready(None));
    }

    #[test]
    fn a_chunk_wakes_the_application_once() {
        let (mut sender, mut receiver) = queue(10, 1 << 20);
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        assert!(receiver.poll_pop(&mut Context::from_waker(&waker)).is_pending());
        for number in 0..5 {
            sender.push(numbered(number), 0);
        }
        assert_eq!(count.get(), 0, "nothing is handed over before it is published");
        sender.publish();
        assert_eq!(count.get(), 1);
    }

    #[test]
    fn a_queue_full_of_events_has_room_again_once_they_are_taken() {
        let (mut sender, mut receiver) = queue(2, 1 << 20);
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        sender.push(numbered(0), 0);
        sender.publish();
        assert!(sender.poll_room(&mut cx).is_ready());
        sender.push(numbered(1), 0);
        sender.publish();
        assert!(sender.poll_room(&mut cx).is_pending());
        assert_eq!(receiver.try_pop(), Some(numbered(0)));
        assert_eq!(count.get(), 1, "taking events wakes the driver");
        assert!(sender.poll_room(&mut cx).is_ready());
    }

    #[test]
    fn a_queue_full_of_bytes_has_no_room() {
        let mut cx = Context::from_waker(Waker::noop());
        let (mut sender, _receiver) = queue(100, 1_000);
        sender.push(rows(1_000), 0);
        sender.publish();
        assert!(sender.poll_room(&mut cx).is_pending());
    }

    #[test]
    fn a_read_buffer_that_a_small_row_keeps_alive_counts_in_full() {
        let mut cx = Context::from_waker(Waker::noop());
        let (mut sender, _receiver) = queue(100, 1_000);
        sender.push(rows(1), 1_000);
        sender.publish();
        assert!(sender.poll_room(&mut cx).is_pending());
    }

    #[test]
    fn a_dropped_application_makes_room_and_frees_what_waits() {
        let (mut sender, receiver) = queue(1, 1 << 20);
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        sender.push(numbered(0), 0);
        sender.publish();
        assert!(sender.poll_room(&mut cx).is_pending());
        drop(receiver);
        assert_eq!(count.get(), 1);
        assert!(sender.poll_room(&mut cx).is_ready());
        sender.push(numbered(1), 0);
        sender.publish();
        assert!(sender.chunk.is_empty());
    }
}
