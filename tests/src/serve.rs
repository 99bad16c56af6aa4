//! `synrepl serve` as a child process: rows go to its stdin, tokens come from its stdout.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Failure, clock::Deadline, follow::synrepl, memory::peak_memory};

/// A running `synrepl serve`. Dropping it kills it.
#[derive(Debug)]
pub struct Writer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: PathBuf,
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
        let stderr = dir.join(format!("{name}.err"));
        let mut child = Command::new(synrepl()?)
            .arg("serve")
            .args(flags)
            .env_remove("SYNREPL_REPLICATION_SECRET")
            .env_remove("SYNREPL_REDIS_PASSWORD")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr)?)
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
            .map_err(|error| format!("{error}: {line:?}\n{}", self.stderr()))?;
        if acknowledged.stream != stream {
            return Err(format!("not an answer to rows of {stream}: {line}").into());
        }
        Ok(acknowledged.token)
    }

    /// The writer's standard error so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_else(|error| error.to_string())
    }

    /// Waits until standard error, behind its first `skipped` bytes, has a line with all these
    /// words, and returns it.
    ///
    /// # Errors
    /// Fails if there is none within the time; shows all of standard error.
    pub fn wait_for_stderr_line(
        &self,
        words: &[&str],
        skipped: usize,
        time: Duration,
    ) -> Result<String, Failure> {
        let deadline = Deadline::after(time);
        loop {
            let said = self.stderr();
            let mut lines = said.get(skipped..).unwrap_or_default().lines();
            if let Some(line) = lines.find(|line| words.iter().all(|word| line.contains(word))) {
                return Ok(line.to_owned());
            }
            if !deadline.pause() {
                return Err(format!("no line with {words:?} on standard error:\n{said}").into());
            }
        }
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
