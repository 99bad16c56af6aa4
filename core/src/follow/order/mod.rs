//! The differences between the classes of streams: which delivered rows are remembered, and which
//! rows of a token are new (F1, F3). One file per class; what they share is here.

mod bursts;
mod loose;
mod rising;
mod unclosed;

use self::{bursts::Burst, loose::Repeats, unclosed::Unclosed};
use super::Follower;
use crate::{
    env::Env,
    stream::{Order, Rows, Span, Token},
};

/// The class of a stream, with what its source remembers. An empty memory is not allocated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Rising,
    Bursts(Option<Box<Burst>>),
    Unclosed(Option<Box<Unclosed>>),
    Loose(Option<Box<Repeats>>),
}

impl Class {
    pub(super) const fn new(order: Order) -> Self {
        match order {
            Order::Rising => Self::Rising,
            Order::Bursts => Self::Bursts(None),
            Order::UnclosedBursts => Self::Unclosed(None),
            Order::Loose => Self::Loose(None),
        }
    }

    /// Returns the bytes of the rows that are remembered.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Rising | Self::Bursts(None) | Self::Unclosed(None) | Self::Loose(None) => 0,
            Self::Bursts(Some(burst)) => burst.bytes(),
            Self::Unclosed(Some(unclosed)) => unclosed.burst.bytes(),
            Self::Loose(Some(repeats)) => repeats.bytes(),
        }
    }

    /// Returns the burst that is open.
    pub(super) fn burst(&self) -> Option<&Burst> {
        self.any_burst().filter(|burst| !burst.is_empty())
    }

    /// Returns the burst that is open, or the empty one that was open last.
    fn any_burst(&self) -> Option<&Burst> {
        match self {
            Self::Bursts(burst) => burst.as_deref(),
            Self::Unclosed(unclosed) => unclosed.as_ref().map(|unclosed| &unclosed.burst),
            Self::Rising | Self::Loose(_) => None,
        }
    }

    /// Returns the highest token of the open burst.
    pub(super) fn highest(&self) -> Option<Token> {
        self.burst().and_then(Burst::highest)
    }

    fn burst_mut(&mut self) -> Option<&mut Burst> {
        match self {
            Self::Bursts(burst) => burst.as_deref_mut(),
            Self::Unclosed(unclosed) => unclosed.as_mut().map(|unclosed| &mut unclosed.burst),
            Self::Rising | Self::Loose(_) => None,
        }
    }

    /// Forgets the rows that the position covers.
    pub(super) fn on_position(&mut self, position: Token) {
        if let Some(burst) = self.burst_mut() {
            burst.forget_upto(position);
        }
    }

    /// Notes that everything up to `position` was delivered, whatever is received of it yet.
    pub(super) fn on_complete(&mut self, position: Token) {
        if let Self::Unclosed(unclosed) = self {
            unclosed.get_or_insert_default().floor = position;
        }
    }

    /// Handles the end of the connection: rows of an open burst may have been missed.
    pub(super) fn on_disconnected(&mut self) {
        if let Some(burst) = self.burst_mut() {
            burst.continuous = false;
            burst.heard.on_disconnected();
        }
    }

    /// Notes an announcement, which may end a send. The source stood at `position` before it.
    pub(super) fn on_announced(&mut self, span: Span, position: Token) {
        if let Self::Bursts(burst) = self {
            let burst = burst.get_or_insert_default();
            let is_below_rows = burst.highest().is_some_and(|highest| highest > span.upto);
            burst.heard.on_announced(span, position, is_below_rows);
        }
    }

    /// Returns whether a send may be under way whose first rows were not received on this
    /// connection.
    pub(super) fn may_be_amid(&self) -> bool {
        match self {
            Self::Bursts(burst) => burst.as_ref().is_none_or(|burst| burst.heard.may_be_amid()),
            Self::Rising | Self::Unclosed(_) | Self::Loose(_) => false,
        }
    }

    /// Forgets the bursts, as the tokens start over.
    pub(super) fn start_over(&mut self) {
        match self {
            Self::Bursts(burst) => *burst = None,
            Self::Unclosed(unclosed) => *unclosed = None,
            Self::Rising | Self::Loose(_) => {}
        }
    }
}

impl Follower {
    /// Returns the rows of a page that were not delivered before, or `None` if there are none, and
    /// remembers them.
    pub(super) fn new_of_page(&mut self, env: &mut Env, token: Token, rows: Rows) -> Option<Rows> {
        match &mut self.class {
            Class::Rising => self.new_by_token(env, token, rows),
            Class::Bursts(burst) => burst.get_or_insert_default().take_new(env, token, rows),
            Class::Unclosed(unclosed) => {
                unclosed.get_or_insert_default().burst.take_new(env, token, rows)
            }
            Class::Loose(repeats) => repeats.get_or_insert_default().take_new(env, token, rows),
        }
    }
}
