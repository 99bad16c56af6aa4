//! The target for simulated runs.

use synrepl_sim::{Scenario, run};

/// Checks that no schedule of writes, deliveries, faults and restarts breaks a promise.
pub fn scenario(data: &[u8]) {
    if let Err(failure) = run(&Scenario::from_bytes(data)) {
        panic!("{failure}");
    }
}
