//! The bodies of the fuzz targets: each takes bytes, and panics if a promise is broken.
//!
//! They are plain functions on stable Rust. libFuzzer calls them from `fuzz_targets/`, the tests of
//! this package call them with every committed corpus file, and the program of each target, built
//! without cargo-fuzz, calls its own with the files it is given. `README.md` lists what each
//! asserts.
#![forbid(unsafe_code)]

mod carried;
mod choices;
mod command;
mod core_inputs;
mod line;
mod page;
mod pieces;
mod reference_follower;
mod replay;
mod resp;
mod scenario;
mod trace;
mod typed_row;

pub use crate::{
    command::command,
    core_inputs::core_inputs,
    line::line,
    page::page,
    reference_follower::reference_follower,
    replay::{files_in, replay},
    resp::resp,
    scenario::scenario,
    trace::trace,
    typed_row::typed_row,
};
