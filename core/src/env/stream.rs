//! What the sources of one stream share.

use crate::{
    config::Start,
    memory::{Delivered, SharedTokens},
    stream::{StreamTraits, Token},
};

/// State of a stream that its sources share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamState {
    pub(crate) traits: StreamTraits,
    /// The token that the stream had when it was first followed: where a writer starts that
    /// appears later.
    baseline: Option<Token>,
    /// The baseline no longer moves.
    settled: bool,
    pub(crate) shared_tokens: SharedTokens,
    /// What was delivered of all its sources, for the audit, where a fetch shows them together.
    pub(crate) delivered: Delivered,
    /// This node writes it too.
    pub(crate) written_here: bool,
}

impl StreamState {
    /// A stream that is followed from `baseline` on, or for the first time.
    pub(crate) fn new(traits: StreamTraits, baseline: Option<Token>) -> Self {
        Self {
            traits,
            baseline,
            settled: baseline.is_some(),
            shared_tokens: SharedTokens::default(),
            // Up to there rows were delivered before this process was.
            delivered: Delivered::above(baseline.unwrap_or(Token::START)),
            written_here: false,
        }
    }

    /// Where a source starts that has no position, given that its writer stands at `current`.
    ///
    /// Writers answer a REPLICATE one by one: until `settling` is over, each is taken at its word
    /// if the application wants to start from now. One that appears later has written all its
    /// rows since, so it starts at the baseline; in a stream of its own tokens, at their start.
    pub(crate) fn start(&mut self, start: Start, current: Token, settling: bool) -> Token {
        if start == Start::Beginning {
            return Token::START;
        }
        match self.baseline {
            Some(baseline) if self.settled || !settling => {
                self.settled = true;
                if self.traits.resettable { Token::START } else { baseline.min(current) }
            }
            baseline => {
                self.baseline = Some(baseline.map_or(current, |known| known.max(current)));
                current
            }
        }
    }
}
