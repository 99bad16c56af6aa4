//! The tests of this folder that take a second or more, as one binary, for `.ci/mutants`: they are
//! run on what the quick ones let pass. `cargo test` runs each file by itself.

#[path = "allocations.rs"]
mod allocations;
#[path = "captures.rs"]
mod captures;
#[path = "framing_model.rs"]
mod framing_model;
#[path = "legacy_captures.rs"]
mod legacy_captures;
#[path = "metamorphic.rs"]
mod metamorphic;
#[path = "publish_allocations.rs"]
mod publish_allocations;
#[path = "publish_faults.rs"]
mod publish_faults;
#[path = "publisher_model.rs"]
mod publisher_model;
#[path = "tcp_models.rs"]
mod tcp_models;
#[path = "typed_rows.rs"]
mod typed_rows;
#[path = "waits_model.rs"]
mod waits_model;
