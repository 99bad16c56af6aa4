//! How far each log of a store is durable. Tokens enter as they become durable; they leave to the
//! [`LogEnds`] that the store was given, rising per stream.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use synrepl_core::{ByteString, stream::Token};

use super::LogEnds;

/// The last durable token of each stream of a store.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: BTreeMap<ByteString, Token>,
    ends: Option<LogEnds>,
}

impl Progress {
    /// Begins with streams that are durable up to these tokens.
    #[cfg(feature = "sqlite")]
    pub(super) fn new(last: BTreeMap<ByteString, Token>) -> Self {
        Self(Mutex::new(State { last, ends: None }))
    }

    /// Records that the log of `stream` is durable up to `token`. A token that is not higher
    /// changes nothing.
    pub(super) fn reached(&self, stream: &ByteString, token: Token) {
        let mut state = self.state();
        match state.last.get_mut(stream) {
            Some(last) if *last >= token => return,
            Some(last) => *last = token,
            None => {
                state.last.insert(stream.clone(), token);
            }
        }
        if let Some(ends) = &state.ends {
            ends.advance(stream, token);
        }
    }

    /// Reports to `ends` from now on; first the last token of every stream, so that nothing is
    /// missed that was appended just before.
    pub(super) fn attach(&self, ends: LogEnds) {
        let mut state = self.state();
        for (stream, token) in &state.last {
            ends.advance(stream, *token);
        }
        state.ends = Some(ends);
    }

    /// Returns the last durable token of every stream.
    pub(super) fn streams(&self) -> BTreeMap<String, Token> {
        let state = self.state();
        state.last.iter().map(|(stream, token)| (stream.to_string(), *token)).collect()
    }

    /// Returns the last durable token of `stream`; [`Token::START`] if there is no log of it.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(super) fn last(&self, stream: &str) -> Token {
        self.state().last.get(stream).copied().unwrap_or(Token::START)
    }

    /// Returns whether there is a log of `stream`.
    #[cfg(feature = "postgres")]
    pub(super) fn knows(&self, stream: &str) -> bool {
        self.state().last.contains_key(stream)
    }

    /// Locks the state. No code panics while it holds the lock, so the state is never torn.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
