//! The quick tests of the core. `.ci/mutants` runs them first, and they catch most mutants.

#[path = "../bench/mod.rs"]
mod bench;
#[path = "../writer/mod.rs"]
mod writer;

mod audit;
mod congestion;
mod continuity;
mod contract;
mod counters;
mod deadlines;
mod documents;
mod fields;
mod kept_bytes;
mod modules;
mod nothing_new;
mod outlets;
mod position_table;
mod publishing;
mod scenarios;
mod script;
mod serving;
mod serving_failures;
mod settings;
mod stopping;
mod subscribing;
mod syncing;
mod traces;
mod values;
mod veiled_traces;
