//! What is remembered of rows that were delivered, to know them again.

mod delivered;
mod identity;
mod shared_tokens;

pub(crate) use self::{delivered::Delivered, identity::identity, shared_tokens::SharedTokens};
