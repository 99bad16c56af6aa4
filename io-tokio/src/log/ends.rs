//! How far the logs have come, from the store to the driver, which publishes. The token up to which
//! a stream is durable enters; the highest of each stream leaves once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use synrepl_core::{ByteString, stream::Token};

/// The ends of the own logs that the driver has not taken yet: the highest token per stream. So it
/// never holds more than one entry per stream, however far the publisher is behind. Cheap to clone;
/// all clones are one.
#[derive(Clone, Debug, Default)]
pub struct LogEnds(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    news: BTreeMap<ByteString, Token>,
    waker: Option<Waker>,
}

impl LogEnds {
    /// Reports that the log of `stream` is durable up to `token`. A lower token than one reported
    /// before changes nothing.
    pub fn advance(&self, stream: &ByteString, token: Token) {
        let mut state = self.state();
        match state.news.get_mut(stream) {
            Some(known) => *known = token.max(*known),
            None => {
                state.news.insert(stream.clone(), token);
            }
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for the next stream that has come further, in the order of names. One task waits at a
    /// time.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<(ByteString, Token)> {
        let mut state = self.state();
        match state.news.pop_first() {
            Some(news) => Poll::Ready(news),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Returns the next stream that has come further, if there is one.
    pub(crate) fn take(&self) -> Option<(ByteString, Token)> {
        self.state().news.pop_first()
    }

    /// Locks the state. No code panics while it holds the lock, so the state is never torn.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_token_of_each_stream_is_told_once() {
        let ends = LogEnds::default();
        let (a, b) = (ByteString::from_static("a"), ByteString::from_static("b"));
        for (stream, token) in [(&b, 1), (&a, 3), (&b, 5), (&a, 2)] {
            ends.advance(stream, token.into());
        }
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(ends.poll_next(&mut cx), Poll::Ready((a, 3.into())));
        assert_eq!(ends.poll_next(&mut cx), Poll::Ready((b, 5.into())));
        assert!(ends.poll_next(&mut cx).is_pending());
    }
}
