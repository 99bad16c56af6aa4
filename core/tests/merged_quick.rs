//! The tests of this folder that take no time, as one binary, for `.ci/mutants`: what a mutant costs
//! is mostly what it takes to build and link the tests. `cargo test` runs each file by itself.

#[path = "audit.rs"]
mod audit;
#[path = "congestion.rs"]
mod congestion;
#[path = "contract.rs"]
mod contract;
#[path = "counters.rs"]
mod counters;
#[path = "deadlines.rs"]
mod deadlines;
#[path = "documents.rs"]
mod documents;
#[path = "fields.rs"]
mod fields;
#[path = "kept_bytes.rs"]
mod kept_bytes;
#[path = "nothing_new.rs"]
mod nothing_new;
#[path = "outlets.rs"]
mod outlets;
#[path = "position_table.rs"]
mod position_table;
#[path = "publishing.rs"]
mod publishing;
#[path = "scenarios.rs"]
mod scenarios;
#[path = "serving.rs"]
mod serving;
#[path = "serving_failures.rs"]
mod serving_failures;
#[path = "settings.rs"]
mod settings;
#[path = "stopping.rs"]
mod stopping;
#[path = "subscribing.rs"]
mod subscribing;
#[path = "syncing.rs"]
mod syncing;
#[path = "traces.rs"]
mod traces;
#[path = "values.rs"]
mod values;
#[path = "veiled_traces.rs"]
mod veiled_traces;
