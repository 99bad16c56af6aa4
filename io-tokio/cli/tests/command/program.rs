//! Runs the built command as a process, and reads its output.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::JoinHandle,
    time::Duration,
};

/// The longest time that anything may take here; only a failing test waits that long.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The command, without those variables of the test's environment that could change its behaviour.
pub(crate) fn synrepl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synrepl"));
    command
        .args(arguments)
        .env_remove("SYNREPL_REPLICATION_SECRET")
        .env_remove("SYNREPL_REDIS_PASSWORD")
        .stdin(Stdio::null());
    command
}

/// The result of a run that ended by itself.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the command to its end.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    ran(synrepl(arguments))
}

/// Runs a prepared command to its end.
pub(crate) fn ran(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running command whose output is read line by line. It is killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(command: Command) -> Self {
        let (mut running, out) = Self::start_unread(command);
        let (stdout, reader) = lines(out);
        running.stdout = stdout;
        running.readers.push(reader);
        running
    }

    /// Starts the command, and leaves the reading of its stdout to the caller.
    pub(crate) fn start_unread(mut command: Command) -> (Self, ChildStdout) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (stderr, reader) = lines(child.stderr.take().unwrap());
        let (_, stdout) = channel();
        (Self { child, stdout, stderr, readers: vec![reader] }, out)
    }

    /// Starts the command with a stdin that the caller writes to.
    pub(crate) fn start_fed(mut command: Command) -> (Self, ChildStdin) {
        command.stdin(Stdio::piped());
        let mut running = Self::start(command);
        let feed = running.take_stdin();
        (running, feed)
    }

    /// The stdin of a command that was given a pipe.
    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// The most memory that the program has used so far, as the system counts it.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The next line of stdout; `None` once there are no more.
    pub(crate) fn next_line(&self) -> Option<String> {
        match self.stdout.recv_timeout(LIMIT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line on stdout in time"),
        }
    }

    /// Reads stdout until a line holds `text`, and returns all lines up to and with it.
    pub(crate) fn stdout_until(&self, text: &str) -> Vec<String> {
        until(&self.stdout, text, &self.stderr)
    }

    /// Reads stderr until a line holds `text`, and returns all lines up to and with it.
    pub(crate) fn stderr_until(&self, text: &str) -> Vec<String> {
        until(&self.stderr, text, &self.stdout)
    }

    /// Sends a signal by name, as `kill` knows it.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().unwrap();
        assert!(status.success(), "kill -s {name} {id}");
    }

    /// The exit code, if the program ends within this time.
    pub(crate) fn ended_within(&mut self, time: Duration) -> Option<i32> {
        loop {
            match self.stderr.recv_timeout(time) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return None,
                // The stderr of the program is closed only by its end.
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap().code(),
            }
        }
    }

    /// Waits for the end, and returns the status and the unread lines of stdout and stderr.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>, Vec<String>) {
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let status = self.child.wait().unwrap();
        (status, self.stdout.try_iter().collect(), self.stderr.try_iter().collect())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The command has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(pipe: impl Read + Send + 'static) -> (Receiver<String>, JoinHandle<()>) {
    let (sender, receiver) = channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    (receiver, reader)
}

fn until(lines: &Receiver<String>, text: &str, other: &Receiver<String>) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        match lines.recv_timeout(LIMIT) {
            Ok(line) => {
                let found = line.contains(text);
                seen.push(line);
                if found {
                    return seen;
                }
            }
            Err(error) => {
                let other: Vec<String> = other.try_iter().collect();
                panic!("no line with {text:?} ({error}); seen: {seen:#?}; elsewhere: {other:#?}");
            }
        }
    }
}
