//! The record of what one follower was given of one source.

use std::collections::BTreeMap;

use synrepl_core::stream::{Row, Token};

/// Rows by token.
pub(super) type Tokens = BTreeMap<Token, Vec<Row>>;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ledger {
    /// Rows up to here are not expected: they were written before the start.
    pub(super) start: Option<Token>,
    pub(super) position: Token,
    /// The position was told, and is not only where a ledger begins.
    pub(super) told: bool,
    /// Everything up to here was looked for and found.
    pub(super) checked: Token,
    pub(super) last_token: Option<Token>,
    pub(super) tokens: Tokens,
    /// Rows that may come again: they came before the follower died.
    pub(super) again: Tokens,
    pub(super) gaps: Vec<(Token, Token)>,
    /// Only the first rows of this token came: a gap must say so before anything else happens.
    pub(super) split: Option<Token>,
    /// The last token under which an audit found something.
    pub(super) last_found: Option<Token>,
    /// Spans that no audit has compared or will compare.
    pub(super) unaudited: Vec<(Token, Token)>,
    pub(super) live: bool,
    /// Where the source first went live in this life of the follower: nothing below is looked for.
    pub(super) live_from: Option<Token>,
    /// How often the source was reset while it was live, over all lives of the follower.
    pub(super) live_resets: u32,
    /// How often the source's log was said to have gone back.
    pub(super) rewinds: usize,
    /// The log was said to be another one, and no gap has followed yet.
    pub(super) is_other_log: bool,
    /// A fetch was answered with that there is nowhere to fetch from, and no gap has said so yet.
    pub(super) no_endpoint: bool,
}

impl Ledger {
    pub(super) fn has(&self, token: Token, row: &Row) -> bool {
        self.tokens.get(&token).is_some_and(|rows| rows.contains(row))
    }

    pub(super) fn may_come_again(&self, token: Token, row: &Row) -> bool {
        self.again.get(&token).is_some_and(|rows| rows.contains(row))
    }

    pub(super) fn in_gap(&self, token: Token) -> bool {
        self.gaps.iter().any(|(from, upto)| *from < token && token <= *upto)
    }

    pub(super) fn is_unaudited(&self, token: Token) -> bool {
        self.unaudited.iter().any(|(from, upto)| *from < token && token <= *upto)
    }

    /// The tokens start over.
    pub(super) fn reset(&mut self, token: Token) {
        *self = Self {
            start: Some(token),
            position: token,
            told: true,
            checked: token,
            live: self.live,
            live_from: self.live_from,
            rewinds: self.rewinds,
            live_resets: self.live_resets + u32::from(self.live),
            ..Self::default()
        };
    }

    /// The log goes back to `token`: what it has above is no longer what was delivered there.
    pub(super) fn rewind(&mut self, token: Token) {
        self.rewinds += 1;
        (self.position, self.told) = (token, true);
        self.checked = self.checked.min(token);
        self.start = self.start.map(|start| start.min(token));
        self.last_token = Some(token);
        for tokens in [&mut self.tokens, &mut self.again] {
            tokens.retain(|of, _| *of <= token);
        }
        for (_, upto) in self.gaps.iter_mut().chain(&mut self.unaudited) {
            *upto = (*upto).min(token);
        }
        self.split = None;
    }

    /// The follower died and resumes from `saved`, or as if it had never heard of the source.
    pub(super) fn resume(&mut self, saved: Option<Token>, shared: bool) {
        let position = saved.unwrap_or(Token::START);
        if saved.is_none() {
            self.start = None;
        }
        self.live = false;
        self.live_from = None;
        self.split = None;
        self.position = position;
        self.told = saved.is_some();
        self.checked = self.checked.min(position);
        self.last_token = saved;
        self.last_found = None;
        // What was found and not handled is not looked for again.
        self.unaudited.push((Token::new(i64::MIN), position));
        self.again = self.tokens.clone();
        if !shared {
            self.again.retain(|token, _| *token > position);
        }
    }
}
