//! The SQLite log, written by a process that is killed or runs out of disk: acknowledged batches
//! stay, and a batch is there whole or not at all.
//!
//! The process is this test program itself, started again with other arguments; so the target has
//! no harness.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests say what they expect, and the process its answers"
)]

mod full_disk;
mod killed;
mod program;

use std::{
    env,
    panic::catch_unwind,
    process::{ExitCode, Stdio},
};

const TESTS: [(&str, fn()); 2] = [
    (
        "killed::acknowledged_batches_outlive_the_process_and_tokens_are_never_reused",
        killed::acknowledged_batches_outlive_the_process_and_tokens_are_never_reused,
    ),
    (
        "full_disk::a_full_disk_fails_whole_batches_until_there_is_room_again",
        full_disk::a_full_disk_fails_whole_batches_until_there_is_room_again,
    ),
];

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [mode, path, ..] = &arguments[..] {
        let number = arguments.get(2).map_or(0, |number| number.parse().unwrap());
        match mode.as_str() {
            "append-for-ever" => return program::append_for_ever(path, number),
            "append-on-command" => return program::append_on_command(path),
            _ => {}
        }
    }
    // Words select tests, as in any test program; flags are ignored.
    let words: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let mut failed = false;
    for (name, test) in TESTS {
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            let passed = catch_unwind(test).is_ok();
            println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
            failed |= !passed;
        }
    }
    ExitCode::from(u8::from(failed))
}

/// The command that starts this program in another mode.
fn program(arguments: &[&str]) -> std::process::Command {
    let mut program = std::process::Command::new("sh");
    // Without the signal a file that becomes too long is an error, as a full disk is.
    program.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    program.arg(env::current_exe().unwrap()).args(arguments);
    program.stdin(Stdio::piped()).stdout(Stdio::piped());
    program
}
