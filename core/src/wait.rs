//! Waits of the application for a source to reach a token (`protocol.md` 8.3).
//!
//! They are keyed by source and token, so that the progress of one writer never ends a wait for
//! another, and the cost of an advance does not grow with the waits that it does not end (C4).

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ids::{SourceIndex, WaitId},
    stream::Token,
};

/// The open waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Waits {
    by_token: BTreeSet<(SourceIndex, Token, WaitId)>,
    by_id: BTreeMap<WaitId, (SourceIndex, Token)>,
}

impl Waits {
    pub(crate) fn contains(&self, wait: WaitId) -> bool {
        self.by_id.contains_key(&wait)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn insert(&mut self, wait: WaitId, source: SourceIndex, token: Token) {
        self.by_id.insert(wait, (source, token));
        self.by_token.insert((source, token, wait));
    }

    /// Ends a wait; returns its source, if it was open.
    pub(crate) fn remove(&mut self, wait: WaitId) -> Option<SourceIndex> {
        let (source, token) = self.by_id.remove(&wait)?;
        self.by_token.remove(&(source, token, wait));
        Some(source)
    }

    /// Takes one wait that `source` at `position` satisfies, lowest token first.
    pub(crate) fn pop_reached(&mut self, source: SourceIndex, position: Token) -> Option<WaitId> {
        let lowest = (source, Token::new(i64::MIN), WaitId::new(0));
        let (_, token, wait) = *self.by_token.range(lowest..).next()?;
        let reached = self.by_id.get(&wait).is_some_and(|(of, _)| *of == source);
        if !reached || token > position {
            return None;
        }
        self.remove(wait);
        Some(wait)
    }

    /// Takes the open wait with the lowest id.
    pub(crate) fn pop(&mut self) -> Option<WaitId> {
        let wait = *self.by_id.keys().next()?;
        self.remove(wait);
        Some(wait)
    }
}
