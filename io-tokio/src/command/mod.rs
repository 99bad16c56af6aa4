//! The `synrepl` command: flags in, lines out. What it does with a deployment is the library's.

mod address;
mod clock;
mod diagnostics;
mod exit;
mod flags;
mod follow;
mod json;
mod limiter;
mod positions_file;
mod printer;
mod progress;
mod record;
mod replay;
mod saver;
mod secrets;
mod serve;
mod shorten;
mod stop;
mod text;
mod warning;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use self::{exit::Failure, flags::Command};

pub(crate) use self::flags::Cli;

/// Does what the flags say. The exit codes are those of the help text.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Follow(flags) => follow_on_runtime(*flags),
        Command::Replay(flags) => Ok(replay::run(&flags)),
    };
    result.unwrap_or_else(|failure| {
        // If stderr is gone, the exit code has to do.
        let _ = writeln!(io::stderr(), "error: {failure}");
        failure.code()
    })
}

fn follow_on_runtime(flags: flags::FollowFlags) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("no threads or sockets to run on: {error}")))?;
    let result = runtime.block_on(follow::run(flags));
    // A write to a stdout that nobody reads may still hang on a thread; it must not hang us.
    runtime.shutdown_background();
    result
}
