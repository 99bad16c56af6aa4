//! The engines that look for a planted bug: programs that are built in the copy and run with the
//! bug on. A bug enters, the number of tests or scenarios that catch it leaves.

use std::{
    collections::BTreeMap,
    fmt, fs,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{exit::Refusal, seeds::Seeds},
    catalogue::Catalogue,
    copy::Copy,
};

/// The longest time that an engine runs. A bug may make a test run for ever: it is then killed, and
/// the bug counts as caught.
const RUN_MAX: Duration = Duration::from_secs(600);
/// The interval at which the end of a run is checked.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is reported of a run that was killed, or that a bug ended, in place of a seed or a test.
const NO_END: &str = "does not end";

/// The files for what a process prints, in the copy.
const STDOUT: &str = "target/stdout";
const STDERR: &str = "target/stderr";

/// The Cargo profile of the copy, a compromise between a quick build and a quick run.
const PROFILE: &str = "bugs";

/// The prefix of tests that read all files of the workspace, of which the copy lacks some.
const NEEDS_ALL_FILES: &str = "documents::";

/// A name that no bug has: with it on, no engine may find anything.
pub(crate) const NOTHING: &str = "nothing";

/// A program, or a part of one, that looks for a planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Engine {
    /// The scenario that is kept for it in tests/scenarios
    Kept,
    /// The core's own quick tests
    Tests,
    /// The model checker
    Model,
    /// Seeds of the logical level
    Logical,
    /// Orders and seeds of the turmoil level
    Turmoil,
    /// Random inputs of the fuzz target `core_inputs`
    Inputs,
    /// The fuzz target `reference_follower`, which compares with a plain follower
    Reference,
}

/// A test binary: package, target, and the names of the tests to run.
struct TestBinary {
    package: &'static str,
    target: &'static str,
    filter: &'static str,
}

const fn binary(package: &'static str, target: &'static str, filter: &'static str) -> TestBinary {
    TestBinary { package, target, filter }
}

impl Engine {
    /// Returns the test binaries of the engine; none if it is a subcommand of `synrepl-sim`.
    const fn tests(self) -> &'static [TestBinary] {
        const QUICK: [TestBinary; 2] =
            [binary("synrepl-core", "lib", ""), binary("synrepl-core", "quick", "")];
        const MODEL: [TestBinary; 1] = [binary("synrepl-sim", "lib", "steps::")];
        const INPUTS: [TestBinary; 1] = [binary("synrepl-fuzz", "inputs", "core_inputs::")];
        const REFERENCE: [TestBinary; 1] =
            [binary("synrepl-fuzz", "inputs", "reference_follower::")];
        match self {
            Self::Kept | Self::Logical | Self::Turmoil => &[],
            Self::Tests => &QUICK,
            Self::Model => &MODEL,
            Self::Inputs => &INPUTS,
            Self::Reference => &REFERENCE,
        }
    }

    /// Returns all engines.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    /// Returns the name on the command line and in the files of bugs.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

/// The result of an engine that looked for a bug.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The number of scenarios or tests that caught the bug.
    pub(crate) caught_in: u64,
    /// The number of scenarios or tests that were run.
    pub(crate) played: u64,
    /// The first that caught it: a seed, or the name of a test.
    pub(crate) first: Option<String>,
}

/// The engines, built in a copy of the present workspace.
#[derive(Debug)]
pub(crate) struct Bench {
    copy: Copy,
    binaries: BTreeMap<(&'static str, &'static str), PathBuf>,
}

impl Bench {
    /// Writes the copy and builds the programs of these engines. Cargo prints its progress on
    /// stderr.
    ///
    /// # Errors
    /// [`Refusal`] if the copy cannot be written, or does not compile.
    pub(crate) fn build(catalogue: &Catalogue, engines: &[Engine]) -> Result<Self, Refusal> {
        let copy = Copy::write(catalogue).map_err(Refusal::new)?;
        let mut bench = Self { copy, binaries: BTreeMap::new() };
        let is_command = |engine: &&Engine| engine.tests().is_empty();
        if engines.iter().any(|engine| is_command(&engine)) {
            bench.cargo(&["build", "-p", "synrepl-sim", "--bin", "synrepl-sim"])?;
        }
        let tests: Vec<_> = engines.iter().flat_map(|engine| engine.tests()).collect();
        for test in &tests {
            let mut args = vec!["test", "--no-run", "-p", test.package];
            let target = if test.target == "lib" { ["--lib", ""] } else { ["--test", test.target] };
            args.extend(target.into_iter().filter(|arg| !arg.is_empty()));
            let built = bench.cargo(&args)?;
            bench.binaries.insert((test.package, test.target), built);
        }
        Ok(bench)
    }

    /// Builds one binary with Cargo and returns its path.
    fn cargo(&self, args: &[&str]) -> Result<PathBuf, Refusal> {
        let (head, tail) = args.split_first().unwrap_or((&"build", &[]));
        let built = self
            .copy
            .command("cargo", None)
            .current_dir(&self.copy.root)
            .args([
                head,
                "--locked",
                "--profile",
                PROFILE,
                "--message-format=json-render-diagnostics",
            ])
            .args(tail)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| Refusal::new(format!("cargo cannot be run: {error}")))?;
        let text = String::from_utf8_lossy(&built.stdout);
        let executable = text.lines().rev().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            // A test's package may have programs of the same name, which are built with it.
            let is_test = line.pointer("/profile/test")?.as_bool()?;
            let path = PathBuf::from(line.get("executable")?.as_str()?);
            (is_test == (*head == "test")).then_some(path)
        });
        match executable {
            Some(path) if built.status.success() => Ok(path),
            _ => Err(Refusal::new(format!(
                "the copy with the bugs in it, {}, does not compile: see above",
                self.copy.root.display()
            ))),
        }
    }

    /// Returns a command that runs the copy's `synrepl-sim` with the bug on.
    pub(crate) fn command(&self, bug: &str) -> Command {
        let path = self.copy.root.join("target").join(PROFILE).join("synrepl-sim");
        self.copy.command(path, Some(bug))
    }

    /// Runs an engine with a bug on, or with none, to see that it finds nothing then.
    ///
    /// # Errors
    /// [`Refusal`] if the output of the engine cannot be understood.
    pub(crate) fn run(
        &self,
        engine: Engine,
        bug: Option<&str>,
        seeds: Option<Seeds>,
    ) -> Result<Verdict, Refusal> {
        if let tests @ [_, ..] = engine.tests() {
            let mut sum = Verdict::default();
            for test in tests {
                let verdict = self.run_tests(test, bug)?;
                sum.caught_in += verdict.caught_in;
                sum.played += verdict.played;
                sum.first = sum.first.or(verdict.first);
            }
            return Ok(sum);
        }
        let bug = bug.unwrap_or(NOTHING);
        let mut command = self.command(bug);
        command.current_dir(&self.copy.root).args(["bugs", "--json", "--engine", &engine.name()]);
        command.args(["--bug", bug]);
        if let Some(seeds) = seeds {
            command.args(["--seeds", &seeds.as_range()]);
        }
        let (output, status) = self.output_of(command)?;
        let line = output.lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["type"] == "bug").then_some(line)
        });
        let Some(line) = line else {
            // The bug ended the process, or keeps it from ending.
            if bug != NOTHING && status.is_none_or(|status| status.code().is_none()) {
                let first = Some(NO_END.to_owned());
                return Ok(Verdict { caught_in: 1, played: 1, first });
            }
            let errors = fs::read(self.copy.root.join(STDERR)).unwrap_or_default();
            let errors = String::from_utf8_lossy(&errors);
            return Err(Refusal::new(format!("{engine} gives no result: {}", errors.trim())));
        };
        Ok(Verdict {
            caught_in: line["caught_in"].as_u64().unwrap_or_default(),
            played: line["played"].as_u64().unwrap_or_default(),
            first: line["first"].as_str().map(str::to_owned),
        })
    }

    fn run_tests(&self, test: &TestBinary, bug: Option<&str>) -> Result<Verdict, Refusal> {
        let Some(path) = self.binaries.get(&(test.package, test.target)) else {
            return Err(Refusal::new(format!("{} was not built", test.target)));
        };
        let package = self.copy.root.join(match test.package {
            "synrepl-core" => "core",
            "synrepl-fuzz" => "fuzz",
            _ => "sim",
        });
        let mut command = self.copy.command(path, bug);
        command.current_dir(package).env("PROPTEST_RNG_SEED", "1");
        command.args([test.filter, "--skip", NEEDS_ALL_FILES]);
        let (output, status) = self.output_of(command)?;
        let named = |line: &str| {
            let (name, _) = line.strip_prefix("test ")?.split_once(" ... FAILED")?;
            Some(name.to_owned())
        };
        let mut failed: Vec<_> = output.lines().filter_map(named).collect();
        failed.sort();
        let result = |line: &&str| line.starts_with("test ") && line.contains(" ... ");
        let played = output.lines().filter(result).count();
        // A test that was killed, or that aborted the process, prints no line of its own.
        let ended = status.is_none_or(|status| !status.success()) && failed.is_empty();
        if ended && bug.is_none() {
            return Err(Refusal::new(format!("{} fails without a bug:\n{output}", test.target)));
        }
        let first = if ended { Some(NO_END.to_owned()) } else { failed.first().cloned() };
        let caught_in = failed.len().max(usize::from(ended)) as u64;
        Ok(Verdict { caught_in, played: played as u64, first })
    }

    /// Runs a command for at most [`RUN_MAX`]. Returns its stdout, and its exit status if it ended
    /// in time.
    fn output_of(&self, mut command: Command) -> Result<(String, Option<ExitStatus>), Refusal> {
        let out = self.copy.root.join(STDOUT);
        let program = Path::new(command.get_program()).display().to_string();
        let failed = |error| Refusal::new(format!("{program} cannot be run: {error}"));
        let child = File::create(&out).and_then(|stdout| {
            let stderr = File::create(self.copy.root.join(STDERR))?;
            command.stdout(stdout).stderr(stderr).spawn()
        });
        let status = child.and_then(ended).map_err(failed)?;
        let output = fs::read(&out).map_err(failed)?;
        Ok((String::from_utf8_lossy(&output).into_owned(), status))
    }
}

/// Returns the exit status of the process, or none if it had to be killed.
#[expect(clippy::disallowed_methods, reason = "bounds a process; nothing that is played is timed")]
fn ended(mut child: Child) -> std::io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    while began.elapsed() < RUN_MAX {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(LOOK_EVERY);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}
