//! Real time, for tests that wait for other processes.

use std::{
    thread,
    time::{Duration, Instant},
};

/// A moment after which waiting is given up.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline that lies this long ahead.
    #[expect(clippy::disallowed_methods, reason = "other processes run on real time")]
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// The time that is left; `None` once the deadline has passed.
    #[expect(clippy::disallowed_methods, reason = "other processes run on real time")]
    pub fn left(self) -> Option<Duration> {
        self.0.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// Pauses for a twentieth of a second before the next check of something that gives no event (a
    /// child's end, a port that is not open yet). False once the deadline has passed.
    pub fn pause(self) -> bool {
        self.left().is_some_and(|left| {
            thread::park_timeout(left.min(Duration::from_millis(50)));
            true
        })
    }
}

/// A measure of the time that something takes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    #[expect(clippy::disallowed_methods, reason = "other processes run on real time")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
