//! The flags of the command and their help texts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use synrepl_sim::{Level, reference::Era};

use super::{
    engine::Drawn,
    planted::{Bug, Engine},
    seeds::Seeds,
};

const ABOUT: &str = "Play simulated schedules for followers and writers of Synapse's replication";

const LONG_ABOUT: &str = "\
Play simulated schedules for followers and writers of Synapse's replication.

A seed decides a scenario: who writes and follows which streams, what is written, and what goes \
wrong, each at its time. The shipped core plays every instance in virtual time while an oracle, \
which knows what each writer logged, judges every step. First faults happen (safety), then they \
end, and everything must arrive within a stated time (liveness). The same scenario is the same run \
on every machine.";

const EXIT_CODES: &str = "\
Exit codes:
  0    no promise was broken; bugs: every planted bug was caught; check-determinism: all equal
  1    a promise was broken, a planted bug was not caught, or two runs differed
  2    wrong flags or files: nothing was played, or what replay and shrink make cannot be written
  130  interrupted (Ctrl-C, SIGTERM): what was known until then is said; a second one ends at once,
       and so does the first one in replay and shrink";

const EXAMPLES: &str = "\
Examples:
  Ten thousand scenarios, on all cores:
    synrepl-sim run --seeds 0..10000

  One of them, with what Synapse itself would have lost under the same schedule:
    synrepl-sim run --seed 7 --mode storm --reference e3

  A failure: play it again, then make it small and look at its page:
    synrepl-sim replay target/synrepl-sim/swarm-17.json
    synrepl-sim shrink target/synrepl-sim/swarm-17.json

  Does the simulator see what it should? Bugs put in on purpose must be caught:
    synrepl-sim bugs
";

const JSON_LINES: &str = "\
JSON lines (--json), on stdout, each an object with \"type\":
  run         seed, mode, steps, rows_written, rows_delivered, fingerprint, broken (true, false)
  violation   seed, mode, promise, id, at_us, instance, source, what, scenario (path), page (path),
              command (to replay); the last three are null if the files cannot be written
  reference   seed, mode, rules, lost, repeated, mixed, torn, and the same of ours (ours_lost, ...)
  shrunk      events_before, events_after
  begin       bugs: before the first bug
  bug         bug, engine, origin, description, caught_in, played, first (seed or test), must
              (whether this engine has to catch it)
  difference  seed, what
  summary     seeds, steps, seconds, steps_per_second, broken, complete (false if it ended early:
              interrupted, or after --failures); of bugs: bugs, survived, complete
Fields are only ever added.";

const RUN_ABOUT: &str = "\
Play seeds and judge every step. A violation is printed with its seed, its scenario, the time line \
around it and the command that plays it again; the scenario (JSON) and a page with a space-time \
diagram (HTML, opens from disk) are written to --out.

Modes: calm (nothing goes wrong), swarm (each kind of fault on or off for the whole run), storm \
(everything goes wrong), the name of a pattern (an order of events that is known to be hard), or \
mixed (from seed to seed another).";

const BUGS_ABOUT: &str = "\
Have bugs that are put in on purpose looked for. A bug that survives whoever must catch it is a hole \
in what tests synrepl.

Bugs of shipped code are files in sim/bugs: edits, which are made in a copy of the workspace, each \
behind a switch. The copy is written to target/bugs and built there with Cargo, so this works inside \
a checkout of synrepl. Each bug is looked for by a process of its own. Bugs of the simulated driver \
are switches of the simulator itself and need no copy.

Without --engine or --matrix each bug is given to the first engine that must catch it, which takes a \
few minutes, most of them for Cargo.";

const DETERMINISM_ABOUT: &str = "\
Play every seed twice in this process and once in another, and compare the fingerprints of all \
inputs and actions.";

#[derive(Debug, Parser)]
#[command(
    name = "synrepl-sim",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = EXIT_CODES,
    after_long_help = long_help()
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    /// One JSON object per line on stdout instead of text
    #[arg(long, global = true)]
    pub(super) json: bool,
}

fn run_about() -> String {
    format!("{RUN_ABOUT}\n\nAll modes: {}", Drawn::names())
}

fn long_help() -> String {
    format!("{EXAMPLES}\n{JSON_LINES}\n\n{EXIT_CODES}")
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Play seeds and judge every step
    #[command(long_about = run_about())]
    Run(RunFlags),
    /// Play a saved scenario again, with its time line and page
    Replay(FileFlags),
    /// Make a failing scenario smaller while it breaks the same promise
    Shrink(FileFlags),
    /// Count in how many scenarios each planted bug is caught
    #[command(long_about = BUGS_ABOUT)]
    Bugs(BugsFlags),
    /// Compare runs of the same seed, in this process and in another
    #[command(long_about = DETERMINISM_ABOUT)]
    CheckDeterminism(DeterminismFlags),
    /// Print the fingerprint of every seed: the other process of check-determinism
    #[command(hide = true)]
    Fingerprints(DrawFlags),
}

impl Command {
    /// Returns the planted bug that the whole process is to have.
    pub(super) fn bug(&self) -> Option<&Bug> {
        match self {
            Self::Run(flags) => flags.play.bug.as_ref(),
            Self::Replay(flags) | Self::Shrink(flags) => flags.play.bug.as_ref(),
            // `bugs` looks for each bug in a process of its own.
            Self::Bugs(_) => None,
            Self::CheckDeterminism(_) | Self::Fingerprints(_) => None,
        }
    }
}

/// The flags that choose the scenarios to play.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct DrawFlags {
    /// One seed
    #[arg(long, value_name = "N", conflicts_with = "seeds",
          value_parser = clap::value_parser!(u64).range(..u64::MAX))]
    pub(super) seed: Option<u64>,
    /// Seeds from A up to, not with, B. Default 0..1000, of check-determinism 0..100
    #[arg(long, value_name = "A..B")]
    pub(super) seeds: Option<Seeds>,
    /// What goes wrong: mixed, calm, swarm, storm, or a pattern
    #[arg(long, value_name = "MODE", default_value = "mixed")]
    pub(super) mode: Drawn,
    /// How deep the simulation goes
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = Level::Logical)]
    pub(super) level: Level,
}

impl DrawFlags {
    /// Returns the seeds of the flags, or `default`.
    pub(super) fn seeds_or(self, default: Seeds) -> Seeds {
        self.seed.map(Seeds::one).or(self.seeds).unwrap_or(default)
    }
}

#[derive(Debug, Args)]
pub(super) struct RunFlags {
    #[command(flatten)]
    pub(super) draw: DrawFlags,
    #[command(flatten)]
    pub(super) play: PlayFlags,
    /// Where scenarios and pages of failures are written. Default target/synrepl-sim where there
    /// is a target directory, else here
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Stop after so many failures
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) failures: u32,
}

/// The flags that say who plays beside the scenario, and with which bug.
#[derive(Debug, Args)]
pub(super) struct PlayFlags {
    /// Also play a model of Synapse's own rules under the same schedule: what it loses stands
    /// beside what ours does
    #[arg(long, value_name = "ERA", value_parser = ["e1", "e2", "e3"])]
    reference: Option<String>,
    /// Put in a bug on purpose: the name of a file in sim/bugs, or of a bug of the simulated driver
    #[arg(long, value_name = "NAME")]
    pub(super) bug: Option<Bug>,
}

impl PlayFlags {
    pub(super) fn reference(&self) -> Option<Era> {
        self.reference.as_deref().and_then(|name| name.parse().ok())
    }
}

#[derive(Debug, Args)]
pub(super) struct FileFlags {
    /// A scenario, as JSON: one that `run` wrote, or one that is kept in tests/scenarios
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// How deep the simulation goes. Default: as the file says, if it is a kept one, else logical
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub(super) level: Option<Level>,
    #[command(flatten)]
    pub(super) play: PlayFlags,
    /// Where what is made is written. Default as for `run`
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct BugsFlags {
    /// Only the bugs of these names
    #[arg(long, value_name = "NAME")]
    pub(super) bug: Vec<Bug>,
    /// The engines that look for them
    #[arg(long, value_name = "ENGINE", value_enum)]
    pub(super) engine: Vec<Engine>,
    /// Use every engine that must catch a bug, not only the first; with --engine, those of them
    #[arg(long)]
    pub(super) must: bool,
    /// Use every engine, also those that need not catch a bug: takes hours
    #[arg(long, conflicts_with_all = ["engine", "must"])]
    pub(super) matrix: bool,
    /// Write the results into the table of this Markdown file, between its marks. Cells that were
    /// not played stay as they are
    #[arg(long, value_name = "FILE")]
    pub(super) table: Option<PathBuf>,
    /// Seeds from A up to, not with, B, for the engines that play seeds. Default 0..3000, and on
    /// the level turmoil 0..40
    #[arg(long, value_name = "A..B")]
    pub(super) seeds: Option<Seeds>,
}

#[derive(Debug, Args)]
pub(super) struct DeterminismFlags {
    #[command(flatten)]
    pub(super) draw: DrawFlags,
}
