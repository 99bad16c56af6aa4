//! Synapse's own receiver and sender, as the protocol description states their rules.
//!
//! [`Receiver`] takes the inputs that a [`Node`](synrepl_core::Node) takes and gives the actions
//! that one gives, so it stands in for it in a run; [`Sender`] is the loop by which an instance
//! tells the others of its streams. What they lose, repeat or mix is nowhere written down in them:
//! it follows from the [`Rules`] of their era. [`Tally`] counts it.
//!
//! Written from `protocol.md` sections 3.6, 3.7, 4, 5 and 8.1. What stands there as read but not
//! run is as good here as it is there.

mod cast;
mod known;
mod receiver;
mod rules;
mod sender;
mod tally;

pub use self::{
    cast::Company,
    receiver::Receiver,
    rules::{Announcing, Era, Missing, Rules, Silence},
    sender::Sender,
    tally::{Losses, Tally, Written},
};
