//! The exit codes of the program, and the errors that keep a command from being carried out.

use std::{fmt, process::ExitCode};

/// Exit code: no promise was broken, every planted bug was caught, every pair of runs was equal.
pub(crate) const FINE: u8 = 0;
/// Exit code: a promise was broken, a planted bug was not caught, or two runs differed.
pub(crate) const BROKEN: u8 = 1;
/// Exit code: a flag or file was wrong, and nothing was played.
pub(crate) const USAGE: u8 = 2;
/// Exit code: interrupted before the result was known. It is the shell's code for SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// The result of a command that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Fine,
    Broken,
    Interrupted,
}

impl Ending {
    pub(super) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Fine => FINE,
            Self::Broken => BROKEN,
            Self::Interrupted => INTERRUPTED,
        })
    }
}

/// The reason why a command cannot be carried out, in a sentence that says what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(String);

impl Refusal {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// Returns a copy.
    pub(super) fn copied(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
