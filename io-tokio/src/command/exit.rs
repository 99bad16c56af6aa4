//! How the program ends.

use std::{fmt, process::ExitCode};

/// All is well: asked to stop, `--for` is over, nobody reads stdout any more, a trace agrees.
pub(crate) const OK: u8 = 0;
/// Something failed on the way, or a trace differs.
pub(crate) const FAILED: u8 = 1;
/// Wrong flags or files; nothing was started.
pub(crate) const USAGE: u8 = 2;
/// A Ctrl-C while stopping: the shell's code for SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why the program cannot go on, in a sentence that says what to do, and its exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Wrong flags or files.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    /// What failed on the way.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: message.into() }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
