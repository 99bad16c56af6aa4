//! How far a long run has come, on stderr.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// At a terminal a line that is written over; otherwise a line now and then, for logs.
#[derive(Debug)]
pub(super) struct Progress {
    began: Instant,
    told: Duration,
    every: Duration,
    terminal: bool,
    shown: bool,
}

/// At a terminal.
const OFTEN: Duration = Duration::from_millis(500);
/// In a log.
const SELDOM: Duration = Duration::from_secs(10);

impl Progress {
    pub(super) fn new() -> Self {
        let terminal = io::stderr().is_terminal();
        let every = if terminal { OFTEN } else { SELDOM };
        Self { began: now(), told: Duration::ZERO, every, terminal, shown: false }
    }

    pub(super) fn elapsed(&self) -> Duration {
        now().saturating_duration_since(self.began)
    }

    /// Says it if it was not said for a while.
    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        let elapsed = self.elapsed();
        if elapsed < self.told + self.every {
            return;
        }
        self.told = elapsed;
        self.shown = true;
        let mut stderr = io::stderr().lock();
        // Whoever does not read it does not miss it.
        let _ = if self.terminal {
            write!(stderr, "\r\x1b[K{}", line())
        } else {
            writeln!(stderr, "{}", line())
        };
        let _ = stderr.flush();
    }

    /// Takes the line away, so that something else can be written.
    pub(super) fn clear(&mut self) {
        if self.terminal && self.shown {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
            self.shown = false;
        }
    }
}

/// `12,345,678`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[expect(clippy::disallowed_methods, reason = "shown to people; nothing is decided by it")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped() {
        let grouped = [0, 999, 1_000, 12_345_678].map(thousands);
        assert_eq!(grouped, ["0", "999", "1,000", "12,345,678"]);
    }
}
