//! How the program ends.

use std::{fmt, process::ExitCode};

/// No promise was broken; every planted bug was caught; every pair of runs was equal.
pub(crate) const FINE: u8 = 0;
/// A promise was broken, a planted bug was not caught, or two runs differed.
pub(crate) const BROKEN: u8 = 1;
/// Wrong flags or files; nothing was played.
pub(crate) const USAGE: u8 = 2;
/// Interrupted before that was known: the shell's code for SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// What came of a command that could be carried out.
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

/// Why a command cannot be carried out, in a sentence that says what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(String);

impl Refusal {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// The same once more.
    pub(super) fn copied(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
