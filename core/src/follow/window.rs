//! The number of tokens that are requested at once.

use crate::{
    config::Config,
    stream::{Span, StreamTraits, Token},
};

/// The number of tokens to request at once, if fewer than all: halved while answers cannot be used,
/// doubled when they can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Window(Option<u32>);

impl Window {
    /// All tokens at once, as far as the stream's pages allow.
    pub(super) const WHOLE: Self = Self(None);

    /// Returns the token up to which the next request goes, from `from` on towards `target`.
    pub(super) fn end(
        self,
        from: Token,
        target: Token,
        traits: StreamTraits,
        config: &Config,
    ) -> Token {
        let most = traits.windowed.then_some(config.catch_up.burst_window_max);
        let window = self.0.into_iter().chain(most).min();
        window.map_or(target, |window| from.advanced_by(window).min(target))
    }

    /// Halves the window: an answer for the tokens of `span` could not be used.
    pub(super) fn narrow(&mut self, span: Span) {
        let tokens = u32::try_from(span.len()).unwrap_or(u32::MAX);
        self.0 = Some((tokens / 2).max(1));
    }

    /// Doubles the window: an answer could be used.
    pub(super) fn widen(&mut self) {
        self.0 = self.0.and_then(|window| window.checked_mul(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CatchUpConfig;
    use crate::stream::traits;

    fn asked(window: Window, stream: &str, upto: i64) -> i64 {
        let config = Config {
            catch_up: CatchUpConfig { burst_window_max: 99, ..CatchUpConfig::default() },
            ..Config::default()
        };
        window.end(Token::START, Token::new(upto), traits(stream), &config).get()
    }

    /// The span of the first `tokens` tokens.
    fn first(tokens: i64) -> Span {
        Span::new(Token::START, Token::new(tokens))
    }

    #[test]
    fn a_window_is_halved_down_to_one_token_and_doubled_again() {
        let mut window = Window::WHOLE;
        assert_eq!(asked(window, "events", 9), 9);
        for half in [4, 2, 1, 1] {
            window.narrow(first(asked(window, "events", 9)));
            assert_eq!(asked(window, "events", 9), half);
        }
        for double in [2, 4, 8, 9] {
            window.widen();
            assert_eq!(asked(window, "events", 9), double);
        }
    }

    #[test]
    fn a_window_never_grows_above_what_pages_of_the_stream_can_hold() {
        let mut window = Window::WHOLE;
        assert_eq!(asked(window, "backfill", 1_000), 99);
        window.narrow(first(99));
        for wide in [49, 98, 99, 99] {
            assert_eq!(asked(window, "backfill", 1_000), wide);
            window.widen();
        }
    }

    #[test]
    fn a_window_of_all_tokens_stays_one() {
        let mut window = Window::WHOLE;
        window.widen();
        assert_eq!(window, Window::WHOLE);
        window.narrow(first(i64::MAX));
        window.widen();
        window.widen();
        assert_eq!(window, Window::WHOLE, "wider than can be counted");
    }
}
