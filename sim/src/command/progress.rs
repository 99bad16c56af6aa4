//! The progress of a long run, on stderr.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// A progress display: on a terminal one line that is overwritten, otherwise a line now and then.
#[derive(Debug)]
pub(super) struct Progress {
    began: Instant,
    told: Duration,
    every: Duration,
    terminal: bool,
    shown: bool,
}

/// The interval between updates on a terminal.
const OFTEN: Duration = Duration::from_millis(500);
/// The interval between lines elsewhere, such as in a log.
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

    /// Prints a line if the interval since the last one has passed.
    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        let elapsed = self.elapsed();
        if elapsed < self.told + self.every {
            return;
        }
        self.told = elapsed;
        self.shown = true;
        let mut stderr = io::stderr().lock();
        // Progress is of no use once stderr is closed, so errors are ignored.
        let _ = if self.terminal {
            write!(stderr, "\r\x1b[K{}", line())
        } else {
            writeln!(stderr, "{}", line())
        };
        let _ = stderr.flush();
    }

    /// Clears the line, so that other output can be written.
    pub(super) fn clear(&mut self) {
        if self.terminal && self.shown {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
            self.shown = false;
        }
    }
}

/// Returns a number with a comma between thousands, such as `12,345,678`.
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
