//! F9: every queue has a limit in rows and bytes. Known invariant I16.

use synrepl_core::{Config, Stats};

pub(super) fn check(
    config: &Config,
    stats: &Stats,
    fetches_in_flight: usize,
) -> Result<(), String> {
    let held = stats.held_bytes_now;
    if held > config.limits.held_bytes_total_max {
        return Err(format!(
            "{held} bytes held, allowed are {}",
            config.limits.held_bytes_total_max
        ));
    }
    if fetches_in_flight > config.catch_up.fetches_in_flight_max as usize {
        return Err(format!(
            "{fetches_in_flight} fetches in flight, allowed are {}",
            config.catch_up.fetches_in_flight_max
        ));
    }
    Ok(())
}
