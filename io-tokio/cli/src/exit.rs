//! The exit codes, and the failure of a subcommand.

use std::{fmt, process::ExitCode};

/// All is well: a stop was requested, `--for` is over, or a trace agrees.
pub(crate) const OK: u8 = 0;
/// Something failed during the run, nobody reads stdout any more, or a trace differs.
pub(crate) const FAILED: u8 = 1;
/// Flags or files were wrong, and nothing was started; or a trace cannot be read.
pub(crate) const USAGE: u8 = 2;
/// A Ctrl-C ended the demonstration, or came while the program was stopping: the shell's code for
/// SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// The reason why the program cannot go on, in a sentence that states what to do, and its exit
/// code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// A failure because of wrong flags or files.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    /// A failure of the run, or of something that it needs of the system.
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
