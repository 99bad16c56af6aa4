//! How many cases a property is tried on, unless `PROPTEST_CASES` says it, and whether those that
//! failed are kept.

use std::env;

use proptest::test_runner::{Config, FileFailurePersistence};

/// The cases that failed are kept beside the test, and tried first.
pub(crate) fn kept(cases: u32) -> Config {
    let file = FileFailurePersistence::WithSource("regressions");
    Config { failure_persistence: Some(Box::new(file)), ..not_kept(cases) }
}

pub(crate) fn not_kept(cases: u32) -> Config {
    let config = Config { failure_persistence: None, ..Config::default() };
    if env::var_os("PROPTEST_CASES").is_some() { config } else { Config { cases, ..config } }
}
