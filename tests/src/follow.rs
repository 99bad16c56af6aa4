//! `synrepl follow` as a child process, and the JSON lines that it prints.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    Failure, Source,
    clock::Deadline,
    cluster::{Cluster, INSTANCES, REDIS, SERVER_NAME},
    memory::peak_memory,
    shared::Shared,
    stderr::Stderr,
};

/// One line of standard output. Fields that are not used here are left out.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the command's documented output")]
#[non_exhaustive]
pub enum Line {
    Rows {
        stream: String,
        instance: String,
        token: i64,
        rows: Vec<Value>,
        origin: String,
        position: i64,
    },
    Position {
        stream: String,
        instance: String,
        token: i64,
    },
    Live {
        stream: String,
        instance: String,
        token: i64,
    },
    CatchingUp {
        stream: String,
        instance: String,
        from: i64,
        upto: i64,
    },
    Gap {
        stream: String,
        instance: String,
        from: i64,
        upto: i64,
        reason: Value,
    },
    Reset {
        stream: String,
        instance: String,
        token: i64,
    },
    Connected,
    Disconnected,
    Command {
        command: String,
    },
    #[serde(other)]
    Other,
}

impl Line {
    /// The source that the line is about.
    pub fn source(&self) -> Option<Source> {
        match self {
            Self::Rows { stream, instance, .. }
            | Self::Position { stream, instance, .. }
            | Self::Live { stream, instance, .. }
            | Self::CatchingUp { stream, instance, .. }
            | Self::Gap { stream, instance, .. }
            | Self::Reset { stream, instance, .. } => Some(Source::new(stream, instance)),
            Self::Connected | Self::Disconnected | Self::Command { .. } | Self::Other => None,
        }
    }

    /// The position that the source has after this line.
    pub fn position(&self) -> Option<i64> {
        match self {
            Self::Rows { position, .. } => Some(*position),
            Self::Position { token, .. } | Self::Live { token, .. } | Self::Reset { token, .. } => {
                Some(*token)
            }
            Self::CatchingUp { from, .. } => Some(*from),
            Self::Gap { upto, .. } => Some(*upto),
            Self::Connected | Self::Disconnected | Self::Command { .. } | Self::Other => None,
        }
    }
}

/// The content of a positions file: stream -> writer -> token.
pub type SavedPositions = BTreeMap<String, BTreeMap<String, i64>>;

/// The lines that one run of the follower printed, and the positions that it started from.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The positions file at the start of the run; empty if there was none.
    pub saved: SavedPositions,
    /// The lines of the run, in order.
    pub lines: Vec<Line>,
}

/// The settings of a follower.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The name of this run's files.
    pub name: &'a str,
    /// The positions file, in the cluster's `follow` folder.
    pub positions: &'a str,
    /// The file of the secret, in the cluster's `follow` folder.
    pub secret: &'a str,
}

/// A running `synrepl follow`. Dropping it kills it.
#[derive(Debug)]
pub struct Follower {
    child: Child,
    output: Arc<Shared<Heard>>,
    reader: Option<JoinHandle<()>>,
    saved: SavedPositions,
    files: Files,
}

#[derive(Debug)]
struct Files {
    positions: PathBuf,
    trace: PathBuf,
    stdout: PathBuf,
    stderr: Stderr,
}

#[derive(Debug, Default)]
struct Heard {
    lines: Vec<Line>,
    unreadable: Option<String>,
    ended: bool,
}

impl Shared<Heard> {
    fn read(&self, stdout: impl std::io::Read, mut copy: File) {
        for text in BufReader::new(stdout).lines() {
            let parsed = text.map_err(|error| error.to_string()).and_then(|text| {
                // The copy is only for people to look at.
                let _ = writeln!(copy, "{text}");
                serde_json::from_str::<Line>(&text).map_err(|error| format!("{error}: {text}"))
            });
            self.change(|heard| match parsed {
                Ok(line) => heard.lines.push(line),
                Err(error) => {
                    heard.unreadable.get_or_insert(error);
                }
            });
        }
        self.change(|heard| heard.ended = true);
    }
}

impl Follower {
    /// Starts `synrepl follow` on the cluster, from now or from the saved positions.
    ///
    /// # Errors
    /// Fails if the command cannot be built or started.
    pub fn start(cluster: &Cluster, settings: Settings<'_>) -> Result<Self, Failure> {
        let dir = cluster.path("follow");
        let secret = dir.join(settings.secret);
        let mut flags = vec!["--redis".to_owned(), format!("redis://{REDIS}")];
        flags.extend(["--server-name", SERVER_NAME, "--start", "now"].map(str::to_owned));
        flags.extend(["--secret-file".to_owned(), secret.display().to_string()]);
        for (name, address) in INSTANCES {
            flags.extend(["--instance".to_owned(), format!("{name}=http://{address}")]);
        }
        Self::launch(&dir, settings.name, settings.positions, &flags)
    }

    /// Starts `synrepl follow` with these flags. Its outputs, trace and positions file are in
    /// `dir`: `name` with `.jsonl`, `.err` and `.trace`, and `positions`.
    ///
    /// # Errors
    /// Fails if the command cannot be built or started.
    pub fn launch(
        dir: &Path,
        name: &str,
        positions: &str,
        flags: &[String],
    ) -> Result<Self, Failure> {
        let files = Files {
            positions: dir.join(positions),
            trace: dir.join(format!("{name}.trace")),
            stdout: dir.join(format!("{name}.jsonl")),
            stderr: Stderr::new(dir.join(format!("{name}.err"))),
        };
        let saved = read_positions(&files.positions)?;
        let mut command = Command::new(synrepl()?);
        command
            .args(["follow", "--format", "json"])
            .args(flags)
            .arg("--positions")
            .arg(&files.positions)
            .arg("--record")
            .arg(&files.trace)
            .env_remove("SYNREPL_REPLICATION_SECRET")
            .env_remove("SYNREPL_REDIS_PASSWORD")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(files.stderr.create()?);
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or("the follower's output is not piped")?;
        let output = Arc::new(Shared::<Heard>::default());
        let copy = File::create(&files.stdout)?;
        let reader = thread::spawn({
            let output = Arc::clone(&output);
            move || output.read(stdout, copy)
        });
        Ok(Self { child, output, reader: Some(reader), saved, files })
    }

    /// Waits until `done` holds for all lines so far, checked after each new line.
    ///
    /// # Errors
    /// Fails if the time is over or the follower has ended; names `what`, with the end of its
    /// outputs.
    pub fn wait_until(
        &self,
        what: &str,
        time: Duration,
        mut done: impl FnMut(&[Line]) -> bool,
    ) -> Result<(), Failure> {
        let waited = self.output.wait(time, |heard| {
            if done(&heard.lines) { Some(true) } else { heard.ended.then_some(false) }
        });
        let problem = match waited {
            Some(true) => return Ok(()),
            Some(false) => "the follower has ended".to_owned(),
            None => format!("not within {time:?}"),
        };
        Err(format!("waited for {what}: {problem}\n{}", self.last_words()).into())
    }

    /// Waits until every one of these sources is at its token or above. A source without a line in
    /// this run is at its saved position.
    ///
    /// # Errors
    /// Fails if they are not within the time; names those that are behind.
    pub fn wait_for_positions(
        &self,
        wanted: &BTreeMap<Source, i64>,
        time: Duration,
    ) -> Result<(), Failure> {
        let mut positions: BTreeMap<Source, i64> = BTreeMap::new();
        let mut seen = 0;
        let mut behind = Vec::new();
        let waited = self.wait_until("the announced positions", time, |lines| {
            let new = &lines[seen..];
            seen = lines.len();
            positions
                .extend(new.iter().filter_map(|line| Some((line.source()?, line.position()?))));
            behind.clear();
            for (source, token) in wanted {
                let saved = || self.saved.get(&source.stream)?.get(&source.instance);
                let at = positions.get(source).or_else(saved);
                if at.is_none_or(|at| at < token) {
                    behind.push((source.clone(), at.copied(), *token));
                }
            }
            behind.is_empty()
        });
        waited.map_err(|error| {
            let behind: Vec<_> = behind
                .iter()
                .map(|(source, at, token)| format!("{source} is at {at:?}, not at {token}"))
                .collect();
            format!("{}\n{error}", behind.join("\n")).into()
        })
    }

    /// Waits for a line that is `wanted` among those from `first` on; returns the number of lines
    /// up to and with it.
    ///
    /// # Errors
    /// Fails if there is none within the time; names `what`, with the end of its outputs.
    pub fn wait_for_line(
        &self,
        what: &str,
        first: usize,
        time: Duration,
        wanted: impl Fn(&Line) -> bool,
    ) -> Result<usize, Failure> {
        let mut seen = first;
        self.wait_until(what, time, |lines| {
            let found = lines[seen.min(lines.len())..].iter().position(&wanted);
            seen = found.map_or_else(|| lines.len().max(seen), |at| seen + at + 1);
            found.is_some()
        })?;
        Ok(seen)
    }

    /// Lets this much time pass, for faults that have to last. Ends early with the follower.
    pub fn let_pass(&self, time: Duration) {
        // The error that the time is over is the expected result.
        let _ = self.wait_until("the time to pass", time, |_| false);
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<Line> {
        self.output.state().lines.clone()
    }

    /// The number of lines so far.
    pub fn line_count(&self) -> usize {
        self.output.state().lines.len()
    }

    /// The number of lines so far for which `what` holds.
    pub fn count(&self, what: impl Fn(&Line) -> bool) -> usize {
        self.output.state().lines.iter().filter(|line| what(line)).count()
    }

    /// The follower's standard error.
    pub const fn stderr(&self) -> &Stderr {
        &self.files.stderr
    }

    /// The most memory that the follower has had at once so far, in bytes (`VmHWM` of Linux).
    ///
    /// # Errors
    /// Fails if it has ended, or the system does not report its memory.
    pub fn peak_memory(&self) -> Result<u64, Failure> {
        peak_memory(&self.child)
    }

    /// The end of both outputs, for a failed test's output.
    pub fn last_words(&self) -> String {
        let end = |file: &Path| {
            let text = fs::read_to_string(file).unwrap_or_else(|error| error.to_string());
            let lines: Vec<_> = text.lines().rev().take(15).collect();
            let lines: Vec<_> = lines.into_iter().rev().collect();
            format!("== {} (last 15 lines)\n{}\n", file.display(), lines.join("\n"))
        };
        end(&self.files.stdout) + &end(self.files.stderr.path())
    }

    /// Stops the follower by SIGTERM and waits for its end.
    ///
    /// # Errors
    /// Fails if it does not end within 15 s, ends with another status than 0, printed something
    /// that is not a line of the documented shape, or saved other positions than it had printed
    /// last.
    pub fn stop(mut self) -> Result<Stopped, Failure> {
        terminate(&self.child)?;
        let status = self.wait()?;
        if !status.success() {
            return Err(format!("SIGTERM ended it with {status}\n{}", self.last_words()).into());
        }
        let run = self.finish()?;
        if let Some(unreadable) = self.output.state().unreadable.take() {
            return Err(format!("a line that is not one: {unreadable}").into());
        }
        let saved = read_positions(&self.files.positions)?;
        for (source, position) in positions_of(&run.lines) {
            let saved = saved.get(&source.stream).and_then(|of| of.get(&source.instance));
            if saved != Some(&position) {
                return Err(format!("{source}: saved {saved:?}, printed {position}").into());
            }
        }
        Ok(Stopped { run, saved, trace: self.files.trace.clone() })
    }

    /// Ends the follower by SIGKILL. Its last line may be cut and its trace may end inside a step.
    ///
    /// # Errors
    /// Fails if the system does not kill it.
    pub fn kill(mut self) -> Result<Run, Failure> {
        self.child.kill()?;
        self.child.wait()?;
        self.finish()
    }

    fn finish(&mut self) -> Result<Run, Failure> {
        if let Some(reader) = self.reader.take() {
            reader.join().map_err(|_| "the reader of the follower's output panicked")?;
        }
        let lines = std::mem::take(&mut self.output.state().lines);
        Ok(Run { saved: self.saved.clone(), lines })
    }

    fn wait(&mut self) -> Result<ExitStatus, Failure> {
        let deadline = Deadline::after(Duration::from_secs(15));
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if !deadline.pause() {
                return Err(
                    format!("did not end within 15 s of SIGTERM\n{}", self.last_words()).into()
                );
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // After `stop` there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The result of a follower that was stopped.
#[derive(Clone, Debug)]
pub struct Stopped {
    /// The run that has ended.
    pub run: Run,
    /// The positions that the follower saved.
    pub saved: SavedPositions,
    /// The recorded trace.
    pub trace: PathBuf,
}

fn positions_of(lines: &[Line]) -> BTreeMap<Source, i64> {
    lines.iter().filter_map(|line| Some((line.source()?, line.position()?))).collect()
}

/// Replays a trace with `synrepl replay`, in a process of its own.
///
/// # Errors
/// Fails if the actions differ from the recorded ones; shows the output of the command.
pub fn replay(trace: &Path) -> Result<(), Failure> {
    let output = Command::new(synrepl()?).arg("replay").arg(trace).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!(
        "replay of {}: {}\n{}",
        trace.display(),
        output.status,
        String::from_utf8_lossy(&said)
    )
    .into())
}

/// The path of the `synrepl` command: that of `SYNREPL_BIN`, or of one built in this test's own
/// profile.
///
/// # Errors
/// Fails if it does not build.
pub fn synrepl() -> Result<PathBuf, Failure> {
    if let Some(path) = env::var_os("SYNREPL_BIN") {
        return Ok(path.into());
    }
    // target/<profile>/deps/<test>
    let test = env::current_exe()?;
    let folder = test.ancestors().nth(2).ok_or("this test runs outside of a target folder")?;
    let target = folder.parent().ok_or("this test runs outside of a target folder")?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => return Err(format!("no profile in {}", folder.display()).into()),
    };
    let mut build = Command::new(env!("CARGO"));
    // Cargo's variables about this test's own package would look like a change to the build scripts
    // of others, and rebuild them and all that depends on them every time.
    for (name, _) in env::vars_os() {
        let of_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"];
        if name.to_str().is_some_and(|name| of_package.iter().any(|start| name.starts_with(start)))
        {
            build.env_remove(name);
        }
    }
    let status = build
        .args(["build", "--quiet", "-p", "synrepl-cli", "--profile", profile])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .status()?;
    if !status.success() {
        return Err(format!("the synrepl command does not build: {status}").into());
    }
    Ok(folder.join("synrepl"))
}

fn read_positions(file: &Path) -> Result<SavedPositions, Failure> {
    if !file.exists() {
        return Ok(SavedPositions::new());
    }
    let text = fs::read_to_string(file)?;
    let bad = |error| format!("{} is not a positions file: {error}: {text}", file.display());
    let mut streams: BTreeMap<String, Value> = serde_json::from_str(&text).map_err(bad)?;
    // Beside the streams stands what is remembered of the rows that were delivered last.
    streams.remove("last rows");
    let writers = |(stream, writers)| Ok((stream, serde_json::from_value(writers)?));
    let saved: serde_json::Result<SavedPositions> = streams.into_iter().map(writers).collect();
    Ok(saved.map_err(bad)?)
}

/// Sends SIGTERM to a child.
pub(crate) fn terminate(child: &Child) -> Result<(), Failure> {
    let status =
        Command::new("sh").args(["-c", "kill -TERM \"$0\"", &child.id().to_string()]).status()?;
    if status.success() { Ok(()) } else { Err(format!("no SIGTERM to {}", child.id()).into()) }
}
