//! What an application needs is at `synrepl::`: these tests name every type that they meet, and
//! none of another crate's. Each `match` here has an arm for every variant and a name for every
//! field, so a new one does not pass unseen: a field is an error of the compiler, a variant one of
//! clippy.

#![warn(clippy::wildcard_enum_match_arm)]

mod errors;
mod events;
mod stores;

/// States the types of what a pattern has bound.
fn are<T>(_: T) {}
