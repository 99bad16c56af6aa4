//! The state that the sources of one stream share.

use crate::{
    config::Start,
    holes::Holes,
    memory::{Delivered, SharedTokens},
    stream::{StreamTraits, Token},
};

/// The state of a stream that its sources share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamState {
    pub(crate) traits: StreamTraits,
    /// The token that the stream had when it was first followed: a writer that appears later starts
    /// there.
    baseline: Option<Token>,
    /// Whether the baseline no longer moves.
    settled: bool,
    /// The tokens that were delivered under any writer, where a fetch shows the rows of several.
    pub(crate) shared_tokens: SharedTokens,
    /// The rows that were delivered of all its sources, for the audit, where a fetch shows them
    /// together.
    pub(crate) delivered: Delivered,
    /// Whether this node writes the stream too.
    pub(crate) written_here: bool,
    /// The tokens that were passed and have no row, to be looked into; `None` if none are.
    pub(crate) holes: Option<Box<Holes>>,
    /// How often the log that its writers share has gone back, as far as any of them showed it.
    pub(crate) rewinds: u32,
}

impl StreamState {
    /// Creates the state of a stream that is followed from `baseline` on, or for the first time.
    pub(crate) fn new(traits: StreamTraits, baseline: Option<Token>) -> Self {
        Self {
            traits,
            baseline,
            settled: baseline.is_some(),
            shared_tokens: SharedTokens::default(),
            // Rows up to there were delivered before this process was started.
            delivered: Delivered::above(baseline.unwrap_or(Token::START)),
            written_here: false,
            holes: None,
            rewinds: 0,
        }
    }

    /// Notes that one of the sources goes back to `to`; `known` is the number of rewinds of the log
    /// that the source has taken part in. Returns the number of all.
    ///
    /// All writers of a log go back as it does, one after the other. The first of them voids what is
    /// known of the tokens above. For the others it is void already, and rows have come since.
    pub(crate) fn go_back(&mut self, to: Token, known: u32) -> u32 {
        if known == self.rewinds {
            self.rewinds = self.rewinds.wrapping_add(1);
            if self.traits.shared_fetch {
                self.shared_tokens.forget_above(to);
            }
        }
        self.rewinds
    }

    /// Returns the position at which a source starts that has none, given that its writer stands at
    /// `current`.
    ///
    /// Writers answer a REPLICATE one by one: if the application wants to start from now, the first
    /// writer of a stream, and until `settling` is over each further one, starts where it stands. A
    /// writer that appears later has written all its rows since, so it starts at the baseline; in a
    /// resettable stream, whose tokens are its own, at their start. So does every writer of a
    /// stream with saved positions.
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
