//! How far each log of a store is durable, and who is told.

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
    /// These streams are durable up to these tokens.
    #[cfg(feature = "sqlite")]
    pub(super) fn new(last: BTreeMap<ByteString, Token>) -> Self {
        Self(Mutex::new(State { last, ends: None }))
    }

    /// The log of `stream` is durable up to `token`. A token that is not higher changes nothing.
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

    /// Tells `ends` from now on; first where all streams stand, so that nothing is missed that
    /// was appended just before.
    pub(super) fn attach(&self, ends: LogEnds) {
        let mut state = self.state();
        for (stream, token) in &state.last {
            ends.advance(stream, *token);
        }
        state.ends = Some(ends);
    }

    /// Where all streams stand.
    pub(super) fn streams(&self) -> BTreeMap<String, Token> {
        let state = self.state();
        state.last.iter().map(|(stream, token)| (stream.to_string(), *token)).collect()
    }

    /// Where `stream` stands.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(super) fn last(&self, stream: &str) -> Token {
        self.state().last.get(stream).copied().unwrap_or(Token::START)
    }

    /// Whether there is a log of `stream`.
    #[cfg(feature = "postgres")]
    pub(super) fn knows(&self, stream: &str) -> bool {
        self.state().last.contains_key(stream)
    }

    /// No code panics while holding the state, so it is never torn.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
