//! The `synrepl` command. Flags, files and stdin enter; lines on stdout, diagnostics on stderr and
//! an exit code leave. Following and publishing are done by the library.
#![forbid(unsafe_code)]

mod acknowledged;
mod address;
mod clock;
mod demo;
mod diagnostics;
mod exit;
mod flags;
mod follow;
mod json;
mod library_log;
mod limiter;
mod outlet;
mod positions_file;
mod printer;
mod progress;
mod record;
mod replay;
mod saver;
mod secrets;
mod serve;
mod stderr;
mod stdout_file;
mod stop;
mod text;
mod unheard;
mod warning;

use std::{io::Write as _, process::ExitCode};

use clap::Parser as _;

use crate::{
    exit::Failure,
    flags::{Cli, Command},
    stderr::Stderr,
};

/// Runs the subcommand that the flags name. The exit codes are those of the help text.
fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(flags) => on_runtime(demo::run(flags)),
        Command::Follow(flags) => on_runtime(follow::run(*flags)),
        Command::Serve(flags) => on_runtime(serve::run(*flags)),
        Command::Replay(flags) => Ok(replay::run(&flags)),
    };
    let code = result.unwrap_or_else(|failure| {
        // If stderr cannot be written to, the exit code alone reports the failure.
        let _ = Stderr.write_all(format!("error: {failure}\n").as_bytes());
        failure.code()
    });
    stderr::finish();
    code
}

fn on_runtime(
    program: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("no threads or sockets to run on: {error}")))?;
    let result = runtime.block_on(program);
    // A write to a stdout that nobody reads, or a read of stdin, may still block a thread; the
    // process must not wait for it.
    runtime.shutdown_background();
    result
}
