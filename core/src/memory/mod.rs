//! Memories of delivered rows, by which these are known again (F3), each within a limit (F9).

mod delivered;
mod identity;
mod shared_tokens;

pub(crate) use self::{delivered::Delivered, identity::identity, shared_tokens::SharedTokens};
