//! Spans: the tokens between two positions of one source.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Token;

/// The tokens in `(from, upto]`: above `from`, up to and with `upto`. The span is empty if `from`
/// is not below `upto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The token above which the span begins; it is not in the span.
    pub from: Token,
    /// The last token of the span.
    pub upto: Token,
}

impl Span {
    /// Creates the span of the tokens in `(from, upto]`.
    pub const fn new(from: Token, upto: Token) -> Self {
        Self { from, upto }
    }

    /// Returns the number of tokens in the span.
    pub const fn len(self) -> u64 {
        self.upto.distance_from(self.from)
    }

    /// Returns whether the span has no token.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Returns whether `token` lies in the span.
    pub fn contains(self, token: Token) -> bool {
        self.from < token && token <= self.upto
    }
}

impl fmt::Display for Span {
    /// Writes the span of 8 and 9 as `7..9`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.upto)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_lies_above_its_first_token_and_has_its_last() {
        let span = Span::new(Token::new(7), Token::new(9));
        let inside: Vec<_> = (6..=10).filter(|number| span.contains(Token::new(*number))).collect();
        assert_eq!((inside, span.len(), span.is_empty()), (vec![8, 9], 2, false));
    }

    #[test]
    fn a_span_that_ends_below_its_beginning_is_empty() {
        for upto in [6, 7] {
            let span = Span::new(Token::new(7), Token::new(upto));
            assert!(span.is_empty() && !span.contains(Token::new(7)), "{span}");
        }
        assert_eq!(Span::new(Token::new(i64::MIN), Token::new(i64::MAX)).len(), u64::MAX);
    }
}
