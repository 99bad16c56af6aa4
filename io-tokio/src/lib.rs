//! Driver.
pub use synrepl_core as core;
