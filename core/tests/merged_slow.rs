//! The tests of this folder that take a second or more, as one binary, for `.ci/mutants`: they are
//! run on what the quick ones let pass. `cargo test` runs each file by itself.

#[path = "allocations.rs"]
mod allocations;
#[path = "captures.rs"]
mod captures;
#[path = "legacy_captures.rs"]
mod legacy_captures;
#[path = "publish_allocations.rs"]
mod publish_allocations;
#[path = "publish_faults.rs"]
mod publish_faults;
#[path = "tcp_models.rs"]
mod tcp_models;
#[path = "typed_rows.rs"]
mod typed_rows;
