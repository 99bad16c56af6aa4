//! What looks for a planted bug: programs that are built in the copy and run with the bug on.

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

/// A bug may make a test go on for ever: it is then ended, and the bug counts as caught.
const RUN_MAX: Duration = Duration::from_secs(600);
/// How often it is looked whether a run has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The profile of the copy: between quick to build and quick to run.
const PROFILE: &str = "bugs";

/// The tests that look at all files of the project: the copy does not have all.
const NEEDS_ALL_FILES: &str = "documents::";

/// The name of no bug: with it on, nothing may be found.
const NOTHING: &str = "nothing";

/// What looks for a bug.
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

/// A test binary: package, target, and the test names that it is to run.
struct TestBinary {
    package: &'static str,
    target: &'static str,
    filter: &'static str,
}

const fn binary(package: &'static str, target: &'static str, filter: &'static str) -> TestBinary {
    TestBinary { package, target, filter }
}

impl Engine {
    /// The tests that it consists of; none if it is a subcommand of `synrepl-sim`.
    const fn tests(self) -> &'static [TestBinary] {
        const QUICK: [TestBinary; 2] =
            [binary("synrepl-core", "lib", ""), binary("synrepl-core", "quick", "")];
        const MODEL: [TestBinary; 1] = [binary("synrepl-sim", "lib", "steps::")];
        const INPUTS: [TestBinary; 1] = [binary("synrepl-fuzz", "core_inputs", "")];
        const REFERENCE: [TestBinary; 1] = [binary("synrepl-fuzz", "reference_follower", "")];
        match self {
            Self::Kept | Self::Logical | Self::Turmoil => &[],
            Self::Tests => &QUICK,
            Self::Model => &MODEL,
            Self::Inputs => &INPUTS,
            Self::Reference => &REFERENCE,
        }
    }

    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    /// Its name on the command line and in the files of bugs.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

/// How often an engine caught a bug.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Scenarios or tests in which it showed.
    pub(crate) caught_in: u64,
    /// Scenarios or tests that were played.
    pub(crate) played: u64,
    /// The first of them: a seed, or the name of a test.
    pub(crate) first: Option<String>,
}

/// The engines, built in a copy of the workspace as it is now.
#[derive(Debug)]
pub(crate) struct Bench {
    copy: Copy,
    binaries: BTreeMap<(&'static str, &'static str), PathBuf>,
}

impl Bench {
    /// Writes the copy and builds what these engines need; Cargo tells of it on stderr.
    ///
    /// # Errors
    /// The copy cannot be written, or does not compile.
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

    /// Has Cargo build one binary, and says where it is.
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
            Some(PathBuf::from(line.get("executable")?.as_str()?))
        });
        match executable {
            Some(path) if built.status.success() => Ok(path),
            _ => Err(Refusal::new(format!(
                "the copy with the bugs in it, {}, does not compile: see above",
                self.copy.root.display()
            ))),
        }
    }

    /// The copy's own `synrepl-sim`, with the bug on.
    pub(crate) fn command(&self, bug: &str) -> Command {
        let path = self.copy.root.join("target").join(PROFILE).join("synrepl-sim");
        self.copy.command(path, Some(bug))
    }

    /// Has an engine look for a bug, or with none show that it finds nothing where nothing is.
    ///
    /// # Errors
    /// A run that says nothing of use.
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
        let said = self.said(command)?.0;
        let line = said.lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["type"] == "bug").then_some(line)
        });
        let line = line.ok_or_else(|| Refusal::new(format!("{engine} says nothing: {said}")))?;
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
        let (said, status) = self.said(command)?;
        let named = |line: &str| {
            let (name, _) = line.strip_prefix("test ")?.split_once(" ... FAILED")?;
            Some(name.to_owned())
        };
        let mut failed: Vec<_> = said.lines().filter_map(named).collect();
        failed.sort();
        let played = said.lines().filter(|line| line.starts_with("test ")).count();
        // One that was ended, or that ended the process, has no line of its own.
        let ended = status.is_none_or(|status| !status.success()) && failed.is_empty();
        if ended && bug.is_none() {
            return Err(Refusal::new(format!("{} fails without a bug:\n{said}", test.target)));
        }
        let first = if ended { Some("does not end".to_owned()) } else { failed.first().cloned() };
        let caught_in = failed.len().max(usize::from(ended)) as u64;
        Ok(Verdict { caught_in, played: played as u64, first })
    }

    /// Runs it for at most [`RUN_MAX`]: what it wrote to stdout, and how it ended, if it did.
    fn said(&self, mut command: Command) -> Result<(String, Option<ExitStatus>), Refusal> {
        let out = self.copy.root.join("target/stdout");
        let program = Path::new(command.get_program()).display().to_string();
        let failed = |error| Refusal::new(format!("{program} cannot be run: {error}"));
        let child =
            File::create(&out).and_then(|file| command.stdout(file).stderr(Stdio::null()).spawn());
        let status = child.and_then(ended).map_err(failed)?;
        let said = fs::read(&out).map_err(failed)?;
        Ok((String::from_utf8_lossy(&said).into_owned(), status))
    }
}

/// How the process ended, or none if it had to be.
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
