//! The output for people on stderr: problems, notes, and a progress line at a terminal. Problems
//! that repeat are limited per kind, and the rest is counted.

use std::io;

use tokio::time::Instant;

use crate::{clock::TimeOfDay, limiter::Limiter, secrets::SecretSource, warning::Kind};

/// The control sequence that returns to the start of the line and clears it.
const CLEAR: &str = "\r\x1b[K";
/// The longest progress line, in characters: one that wraps could not be cleared.
const PROGRESS_CHARS_MAX: usize = 79;

/// Prints messages to stderr, each in one line. If stderr cannot be written to, they are dropped:
/// there is no other place for them.
#[derive(Debug)]
pub(super) struct Diagnostics<W> {
    stderr: W,
    terminal: bool,
    quiet: bool,
    limiter: Limiter<Kind>,
    progress: String,
}

impl<W: io::Write> Diagnostics<W> {
    /// Prints to `stderr`, which may be a terminal.
    pub(super) const fn new(stderr: W, terminal: bool, quiet: bool) -> Self {
        Self { stderr, terminal, quiet, limiter: Limiter::new(), progress: String::new() }
    }

    /// Whether stderr is a terminal, where progress is one line that changes.
    pub(super) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Prints which of the secrets every user of the machine can read.
    pub(super) fn exposed(&mut self, secrets: &[SecretSource<'_>]) {
        for told in secrets.iter().filter_map(SecretSource::exposure) {
            self.problem(Kind::Exposed, Instant::now(), &told);
        }
    }

    /// Prints a problem. Of each kind only so many are printed per minute, then their number.
    pub(super) fn problem(&mut self, kind: Kind, now: Instant, told: &str) {
        self.tell_ended(now);
        if self.limiter.admits(kind, now) {
            self.line(&format!("warning: {told}"));
        }
    }

    /// Prints a note that may come often, unless quiet. Of each kind only so many are printed per
    /// minute, then their number.
    pub(super) fn news(&mut self, kind: Kind, now: Instant, told: &str) {
        if self.quiet {
            return;
        }
        self.tell_ended(now);
        if self.limiter.admits(kind, now) {
            self.line(told);
        }
    }

    /// Prints a failure that is final; it is never left out.
    pub(super) fn error(&mut self, told: &str) {
        self.line(&format!("error: {told}"));
    }

    /// Prints a note, unless quiet.
    pub(super) fn note(&mut self, told: &str) {
        if !self.quiet {
            self.line(told);
        }
    }

    /// Replaces the progress line; `None` clears it. If stderr is no terminal, the progress is
    /// printed in a line of its own.
    pub(super) fn progress(&mut self, told: Option<&str>) {
        if self.quiet {
            return;
        }
        let told = told.unwrap_or_default();
        if !self.terminal {
            if !told.is_empty() {
                self.line(told);
            }
            return;
        }
        let told: String = told.chars().take(PROGRESS_CHARS_MAX).collect();
        if told != self.progress {
            self.write(&format!("{CLEAR}{told}"));
            self.progress = told;
        }
    }

    /// Clears the progress line, so that others can write to the same terminal. It comes back with
    /// the next [`Diagnostics::progress`].
    pub(super) fn make_room(&mut self) {
        if !self.progress.is_empty() {
            self.write(CLEAR);
            self.progress.clear();
        }
    }

    /// Prints the number of messages held back in each minute that is over.
    pub(super) fn tell_ended(&mut self, now: Instant) {
        for (kind, count) in self.limiter.ended(now) {
            self.line(&format!("... {count} more {kind} in the last minute"));
        }
    }

    /// Clears the progress line and prints the remaining numbers, at the end of the program.
    pub(super) fn finish(&mut self) {
        self.make_room();
        for (kind, count) in self.limiter.finish() {
            self.line(&format!("... {count} more {kind} in the last minute"));
        }
    }

    fn line(&mut self, told: &str) {
        let shown = std::mem::take(&mut self.progress);
        let clear = if shown.is_empty() { "" } else { CLEAR };
        self.write(&format!("{clear}{} {told}\n{shown}", TimeOfDay::now()));
        self.progress = shown;
    }

    fn write(&mut self, text: &str) {
        let _ = self.stderr.write_all(text.as_bytes()).and_then(|()| self.stderr.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limiter::WINDOW;

    fn said(
        terminal: bool,
        quiet: bool,
        say: impl FnOnce(&mut Diagnostics<&mut Vec<u8>>),
    ) -> String {
        let mut stderr = Vec::new();
        say(&mut Diagnostics::new(&mut stderr, terminal, quiet));
        String::from_utf8(stderr).unwrap()
    }

    #[tokio::test]
    async fn a_flood_of_malformed_messages_is_cut_and_counted() {
        let start = Instant::now();
        let text = said(false, false, |diagnostics| {
            for _ in 0..10_000 {
                diagnostics.problem(Kind::Malformed, start, "bad");
            }
            diagnostics.problem(Kind::Other, start + WINDOW, "other");
        });
        assert_eq!(text.lines().count(), 22, "{text}");
        assert_eq!(text.matches("warning: bad").count(), 20, "{text}");
        assert!(text.contains("... 9980 more malformed messages in the last minute"), "{text}");
    }

    #[tokio::test]
    async fn counts_are_not_lost_at_the_end() {
        let now = Instant::now();
        let text = said(false, false, |diagnostics| {
            for _ in 0..21 {
                diagnostics.problem(Kind::FetchFailed, now, "bad");
            }
            diagnostics.finish();
        });
        assert!(text.contains("... 1 more failed fetches"), "{text}");
    }

    #[test]
    fn progress_at_a_terminal_is_overwritten_and_comes_back_after_a_line() {
        let text = said(true, false, |diagnostics| {
            diagnostics.progress(Some("half"));
            diagnostics.progress(Some("half"));
            diagnostics.note("hello");
            diagnostics.progress(None);
        });
        let (before, after) = text.split_once("hello\n").unwrap();
        assert_eq!(before.matches("half").count(), 1, "{text:?}");
        assert_eq!(after, format!("half{CLEAR}"));
    }

    #[test]
    fn elsewhere_progress_is_a_line_without_control_characters() {
        let text = said(false, false, |diagnostics| {
            diagnostics.progress(Some("half"));
            diagnostics.progress(None);
            diagnostics.make_room();
        });
        assert!(text.ends_with("half\n") && !text.contains(['\r', '\x1b']), "{text:?}");
        assert_eq!(text.lines().count(), 1);
    }

    #[tokio::test]
    async fn quiet_leaves_problems_alone() {
        let text = said(true, true, |diagnostics| {
            diagnostics.note("note");
            diagnostics.progress(Some("half"));
            diagnostics.problem(Kind::Other, Instant::now(), "problem");
            diagnostics.error("error");
        });
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
