//! The entry point of the `synrepl` command: parses the flags and runs the subcommand.
#![forbid(unsafe_code)]

mod command;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    command::run(command::Cli::parse())
}
