//! Tokens: positions inside one source.

use std::{fmt, num::ParseIntError, str::FromStr};

use serde::{Deserialize, Serialize};

/// A position in a stream, as it stands on the wire. Tokens are only compared within one source.
///
/// Any `i64` is a token; those of Synapse are zero or positive (`protocol.md` 7.1).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Token(i64);

impl Token {
    /// The position before every row, at which a stream's history begins.
    pub const START: Self = Self(0);

    /// Creates the token with this number.
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// Returns the number as it stands on the wire.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Returns the token just below, or the lowest one if there is none.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Returns the token `count` above, or the highest one if there is none.
    #[must_use]
    pub const fn advanced_by(self, count: u32) -> Self {
        Self(self.0.saturating_add(count as i64))
    }

    /// Returns the number of tokens in `(from, self]`; 0 if `from` is not below.
    pub const fn distance_from(self, from: Self) -> u64 {
        if self.0 > from.0 { self.0.abs_diff(from.0) } else { 0 }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Token {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl From<i64> for Token {
    fn from(number: i64) -> Self {
        Self(number)
    }
}
