//! Tokens that a stream has passed and that no row explains (F12; `protocol.md` 12.4).
//!
//! What enters: the tokens of rows, the tokens that a writer has passed without a word, and answers
//! to looks. What leaves: whom to ask for which tokens, and when. All of it is data: the follower
//! and the environment act on it.
//!
//! * [`Unexplained`]: the tokens without a row, as intervals, each with the writers that have
//!   passed it.
//! * [`Holes`]: what is kept of one stream: its tokens, its writers, and its pace.

mod pace;
mod stream;
mod unexplained;
mod writers;

pub(crate) use self::{
    stream::{Holes, Question},
    writers::Writer,
};
