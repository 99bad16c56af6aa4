//! Models of Synapse's receiver and sender, by the rules that the protocol description states.
//!
//! [`Receiver`] takes the inputs of a [`Node`](synrepl_core::Node) and emits its actions, so it can
//! take the place of one in a run; [`Sender`] is the loop by which an instance announces and sends
//! its streams. The rows that they lose, repeat or mix follow from the [`Rules`] of their era
//! alone; a [`Tally`] counts them.
//!
//! Written from `protocol.md` sections 3.6, 3.7, 4, 5 and 8.1. A rule that is marked there as read
//! but not run is no more certain here.

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
