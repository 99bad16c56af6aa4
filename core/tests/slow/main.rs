//! The tests of the core that take a second or more: recordings, properties with many cases, and
//! counts of allocations. `.ci/mutants` runs them on the mutants that the quick ones let pass.

#[path = "../bench/mod.rs"]
mod bench;
#[path = "../writer/mod.rs"]
mod writer;

mod allocations;
mod captures;
mod cases;
mod framing_model;
mod legacy_captures;
mod lossy;
mod lost_tokens;
mod material;
mod memory;
mod metamorphic;
mod one_stream;
mod publish_allocations;
mod publish_faults;
mod publisher_model;
mod recordings;
mod tcp_models;
mod tcp_server;
mod typed_rows;
mod waits_model;
mod writing_follower;
