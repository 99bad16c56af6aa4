//! Makes a failing scenario smaller while it breaks the same promise.

use crate::{Failure, Scenario, run};

/// The smallest scenario found that breaks the same promise as `failure`, with how it fails.
///
/// Removes steps, in halves first and then one by one, then whole streams. Deterministic.
pub fn shrink(failure: &Failure) -> Box<Failure> {
    let mut best = Box::new(failure.clone());
    let mut chunk = best.scenario.steps.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        let mut removed = false;
        while at < best.scenario.steps.len() {
            let mut steps = best.scenario.steps.clone();
            steps.drain(at..(at + chunk).min(steps.len()));
            if try_better(&mut best, |scenario| scenario.steps = steps) {
                removed = true;
            } else {
                at += chunk;
            }
        }
        if !removed || chunk > 1 {
            chunk /= 2;
        }
    }
    for index in (0..best.scenario.streams.len()).rev() {
        if best.scenario.streams.len() > 1 {
            try_better(&mut best, |scenario| {
                scenario.streams.remove(index);
            });
        }
    }
    best
}

fn try_better(best: &mut Box<Failure>, change: impl FnOnce(&mut Scenario)) -> bool {
    let mut scenario = best.scenario.clone();
    change(&mut scenario);
    match run(&scenario) {
        Err(failure) if failure.violation.promise == best.violation.promise => {
            *best = failure;
            true
        }
        Ok(_) | Err(_) => false,
    }
}
