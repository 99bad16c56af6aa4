//! The oldest dialect, up to 1.12, which has no HTTP catch-up: missed rows come over the connection
//! itself (`protocol.md` 4.2).
//!
//! What enters: the rows between our `REPLICATE stream from` and the server's POSITION, and its
//! ERROR lines. What leaves: an [`Answer`] that is complete up to a token (F2, F9), and the request
//! that a refusal is about. A server of this dialect sends nothing without a request, answers each
//! request once, and repeats nothing. The facts of the wire are methods of
//! [`Dialect`](crate::wire::Dialect).
//!
//! The serving side is part of the publisher (`publish/in_band.rs`): it reads the same logs, from
//! the same queue as every other outlet, and would need all of that here.

mod answer;
mod refusal;

pub(crate) use self::{
    answer::{Answer, Finished},
    refusal::{Blame, Lost, named_in, names_unknown_stream, subscriptions},
};

/// The name of a server in errors: it has no address that the core knows.
pub(crate) const SERVER: &str = "the direct TCP server";
