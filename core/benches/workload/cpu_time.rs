//! The CPU time of this thread: other load of the machine affects it less than the time on a wall
//! clock.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Runs `work`, and returns the CPU time that it takes on this thread and its result.
pub(crate) fn measure<R>(work: impl FnOnce() -> R) -> (Duration, R) {
    let start = now();
    let result = work();
    (now().saturating_sub(start), result)
}

fn now() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(tv_sec.unsigned_abs(), u32::try_from(tv_nsec).expect("below a second"))
}
