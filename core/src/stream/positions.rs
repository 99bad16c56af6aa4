//! Positions of many sources: the value to save and to resume from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Token;

/// Where to resume, per stream and writer. As JSON: `{"events":{"p1":123}}`.
///
/// Each token says that everything up to it was delivered. Order of iteration is by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Positions(BTreeMap<String, BTreeMap<String, Token>>);

impl Positions {
    /// No positions at all.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The position of one source, if it is known.
    pub fn get(&self, stream: &str, instance: &str) -> Option<Token> {
        self.0.get(stream)?.get(instance).copied()
    }

    /// Sets the position of one source, lower or higher than before. Allocates only for a
    /// source that was not known.
    pub fn set(&mut self, stream: &str, instance: &str, token: Token) {
        if let Some(known) = self.0.get_mut(stream).and_then(|writers| writers.get_mut(instance)) {
            *known = token;
            return;
        }
        self.0.entry(stream.to_owned()).or_default().insert(instance.to_owned(), token);
    }

    /// The highest position of any writer of `stream`.
    pub fn highest(&self, stream: &str) -> Option<Token> {
        self.0.get(stream)?.values().copied().max()
    }

    /// All positions, as (stream, instance, token), by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, Token)> {
        self.0.iter().flat_map(|(stream, writers)| {
            writers.iter().map(|(instance, token)| (stream.as_str(), instance.as_str(), *token))
        })
    }

    /// How many sources have a position.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Whether no source has a position.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(BTreeMap::is_empty)
    }
}
