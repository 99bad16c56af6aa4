//! The `synrepl-sim` command: flags enter, verdicts and an exit code leave. The library plays and
//! judges the scenarios.

mod bugs;
mod decoded;
mod determinism;
mod engine;
mod exit;
mod files;
mod flags;
mod interrupt;
mod output;
mod planted;
mod pool;
mod progress;
mod replay;
mod reporter;
mod run;
mod seeds;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

pub(crate) use self::flags::Cli;
use self::{
    exit::{Ending, Refusal},
    flags::Command,
    interrupt::Interrupt,
    output::Output,
};

/// Carries out a command and returns the exit code that the help text lists.
pub(crate) fn run(cli: Cli) -> ExitCode {
    carry_out(cli).map_or_else(
        |refusal| {
            // If stderr is closed, the exit code alone reports the refusal.
            let _ = writeln!(io::stderr(), "error: {refusal}");
            ExitCode::from(exit::USAGE)
        },
        Ending::code,
    )
}

fn carry_out(cli: Cli) -> Result<Ending, Refusal> {
    let mut output = Output::to_stdout(cli.json);
    if let Some(bug) = cli.command.bug()
        && !bug.is_here()
    {
        return Err(planted::leave_to_copy(bug));
    }
    match cli.command {
        Command::Run(flags) => run::run(&flags, &mut output, &listen()?),
        // Partial results of these commands are of no use, so a signal ends them at once.
        Command::Replay(flags) => replay::replay(&flags, &mut output),
        Command::Shrink(flags) => replay::shrink(&flags, &mut output),
        Command::Bugs(flags) => bugs::run(&flags, &mut output, &listen()?),
        Command::CheckDeterminism(flags) => determinism::run(&flags, &mut output, &listen()?),
        Command::Fingerprints(flags) => {
            Ok(determinism::fingerprints(flags, &mut output, &listen()?))
        }
    }
}

fn listen() -> Result<Interrupt, Refusal> {
    Interrupt::listen()
        .map_err(|error| Refusal::new(format!("signals cannot be listened to: {error}")))
}
