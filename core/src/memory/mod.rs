//! Memories of delivered rows, by which these are known again (F3), each within a limit (F9), and
//! what the rows of any queue cost.

mod cost;
mod delivered;
mod identity;
mod shared_tokens;

pub(crate) use self::{
    cost::Cost, delivered::Delivered, identity::identity, shared_tokens::SharedTokens,
};
