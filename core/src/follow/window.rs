//! How many tokens are asked for at once.

use crate::{
    config::Config,
    stream::{StreamTraits, Token},
};

/// Tokens to ask for at once, if fewer than all: halved while answers cannot be used, doubled as
/// they can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Window(Option<u32>);

impl Window {
    /// All tokens at once, as far as the stream's pages allow.
    pub(super) const WHOLE: Self = Self(None);

    /// Where the next question ends that goes on from `from` and is to reach `target`.
    pub(super) fn end(
        self,
        from: Token,
        target: Token,
        traits: StreamTraits,
        config: &Config,
    ) -> Token {
        match self.0 {
            Some(window) => from.advanced_by(window),
            None if traits.windowed => from.advanced_by(config.burst_window_max),
            None => target,
        }
        .min(target)
    }

    /// An answer for so many tokens could not be used.
    pub(super) fn narrow(&mut self, span: u32) {
        self.0 = Some((span / 2).max(1));
    }

    /// An answer could be used.
    pub(super) fn widen(&mut self, traits: StreamTraits, config: &Config) {
        self.0 = self
            .0
            .and_then(|window| window.checked_mul(2))
            .filter(|window| !traits.windowed || *window < config.burst_window_max);
    }
}

/// How many tokens lie in `(from, upto]`.
pub(super) fn span(from: Token, upto: Token) -> u32 {
    u32::try_from(upto.distance_from(from)).unwrap_or(u32::MAX)
}
