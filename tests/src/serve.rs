//! `synrepl serve` as a child process: rows go to its stdin, tokens come from its stdout.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Failure, follow::synrepl, memory::peak_memory, stderr::Stderr};

/// A running `synrepl serve`. Dropping it kills it.
#[derive(Debug)]
pub struct Writer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: Stderr,
}

/// One line of standard output.
#[derive(Debug, Deserialize)]
struct Acknowledged {
    stream: String,
    token: i64,
}

impl Writer {
    /// Starts the command with these flags. Its standard error goes to `name.err` in `dir`.
    ///
    /// # Errors
    /// Fails if the command cannot be built or started.
    pub fn launch(dir: &Path, name: &str, flags: &[&str]) -> Result<Self, Failure> {
        let stderr = Stderr::new(dir.join(format!("{name}.err")));
        let mut child = Command::new(synrepl()?)
            .arg("serve")
            .args(flags)
            .env_remove("SYNREPL_REPLICATION_SECRET")
            .env_remove("SYNREPL_REDIS_PASSWORD")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr.create()?)
            .spawn()?;
        let stdin = child.stdin.take().ok_or("the writer's input is not piped")?;
        let stdout = child.stdout.take().ok_or("the writer's output is not piped")?;
        Ok(Self { child, stdin, stdout: BufReader::new(stdout), stderr })
    }

    /// Appends these rows as one batch, and returns its token once it is acknowledged.
    ///
    /// # Errors
    /// Fails if the batch is refused, or the writer has ended.
    pub fn append(&mut self, stream: &str, rows: &[Value]) -> Result<i64, Failure> {
        writeln!(self.stdin, "{}", json!({"stream": stream, "rows": rows}))?;
        self.stdin.flush()?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let acknowledged: Acknowledged = serde_json::from_str(&line)
            .map_err(|error| format!("{error}: {line:?}\n{}", self.stderr.text()))?;
        if acknowledged.stream != stream {
            return Err(format!("not an answer to rows of {stream}: {line}").into());
        }
        Ok(acknowledged.token)
    }

    /// The writer's standard error.
    pub const fn stderr(&self) -> &Stderr {
        &self.stderr
    }

    /// The most memory that the writer has had at once so far, in bytes (`VmHWM` of Linux).
    ///
    /// # Errors
    /// Fails if it has ended, or the system does not report it.
    pub fn peak_memory(&self) -> Result<u64, Failure> {
        peak_memory(&self.child)
    }

    /// The number of files and sockets that the writer has open now (`/proc` of Linux).
    ///
    /// # Errors
    /// Fails if it has ended, or the system does not report it.
    pub fn open_files(&self) -> Result<usize, Failure> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Ends the writer by SIGKILL.
    ///
    /// # Errors
    /// Fails if the system does not kill it.
    pub fn kill(mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // After `kill` there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
