//! The `check-determinism` command: the runs of a seed in this process and in another have the same
//! fingerprint (promise C1).

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::json;

use super::{
    exit::{Ending, Refusal},
    flags::{DeterminismFlags, DrawFlags},
    interrupt::Interrupt,
    output::Output,
    pool,
    progress::{Progress, thousands},
    seeds::Seeds,
};

/// The seeds that are compared by default.
const SEEDS: Seeds = Seeds::new(0, 100);

pub(super) fn run(
    flags: &DeterminismFlags,
    output: &mut Output,
    interrupt: &Interrupt,
) -> Result<Ending, Refusal> {
    let seeds = flags.draw.seeds_or(SEEDS);
    let (mode, level) = (flags.draw.mode, flags.draw.level);
    let mut other = Other::start(seeds, &mode.to_string(), level.name())
        .map_err(|error| Refusal::new(format!("no second process can be started: {error}")))?;
    let mut progress = Progress::new();
    let (mut differences, mut fingerprints) = (0, BTreeMap::new());
    let done = std::cell::Cell::new(0);
    let work = |seed| {
        let scenario = mode.scenario(level, seed);
        [(); 2].map(|()| level.play(&scenario, None, false).report.fingerprint)
    };
    let complete = pool::over(
        seeds,
        interrupt,
        work,
        |seed, [first, second]: [u64; 2]| {
            done.set(done.get() + 1);
            if first != second {
                differences += 1;
                let what = format!("{first:016x} and {second:016x} in one process");
                say_difference(seed, &what, output);
            }
            fingerprints.insert(seed, first);
            !output.is_gone()
        },
        || {
            let (done, all) = (thousands(done.get()), thousands(seeds.count()));
            progress.tell(|| format!("{done} of {all} seeds"));
        },
    );
    progress.clear();
    if !complete {
        other.kill();
        return Ok(if differences > 0 { Ending::Broken } else { Ending::Interrupted });
    }
    let theirs = other.wait().map_err(Refusal::new)?;
    for (seed, ours) in &fingerprints {
        let what = match theirs.get(seed) {
            Some(theirs) if theirs == ours => continue,
            Some(theirs) => format!("{ours:016x} here, {theirs:016x} in another process"),
            None => "not played by the other process".to_owned(),
        };
        differences += 1;
        say_difference(*seed, &what, output);
    }
    output.say(
        || match differences {
            0 => format!(
                "{} seeds ({seeds}): equal twice in this process and in another",
                thousands(seeds.count())
            ),
            _ => format!("{differences} differences in {} seeds", thousands(seeds.count())),
        },
        "summary",
        json!({"seeds": seeds.count(), "broken": differences, "complete": true}),
    );
    Ok(if differences > 0 { Ending::Broken } else { Ending::Fine })
}

fn say_difference(seed: u64, what: &str, output: &mut Output) {
    output.say(
        || format!("seed {seed} is not the same run each time: {what}"),
        "difference",
        json!({"seed": seed, "what": what}),
    );
}

/// Prints `SEED FINGERPRINT` for every seed.
pub(super) fn fingerprints(flags: DrawFlags, output: &mut Output, interrupt: &Interrupt) -> Ending {
    let work = |seed| {
        flags.level.play(&flags.mode.scenario(flags.level, seed), None, false).report.fingerprint
    };
    let each = |seed: u64, fingerprint: u64| {
        let line = || format!("{seed} {fingerprint:016x}");
        output.say(line, "run", json!({"seed": seed, "fingerprint": fingerprint}));
        !output.is_gone()
    };
    let complete = pool::over(flags.seeds_or(SEEDS), interrupt, work, each, || {});
    if complete { Ending::Fine } else { Ending::Interrupted }
}

/// Another process of this program, which plays the same seeds.
#[derive(Debug)]
struct Other {
    child: Child,
    reader: Option<thread::JoinHandle<BTreeMap<u64, u64>>>,
}

impl Other {
    fn start(seeds: Seeds, mode: &str, level: &str) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["fingerprints", "--mode", mode, "--level", level, "--seeds"])
            .arg(seeds.as_range())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let reader = child.stdout.take().map(|stdout| {
            thread::spawn(move || {
                let lines = BufReader::new(stdout).lines().map_while(Result::ok);
                lines.filter_map(|line| fingerprint(&line)).collect()
            })
        });
        Ok(Self { child, reader })
    }

    /// Waits for its end and returns the fingerprints that it printed, by seed.
    fn wait(mut self) -> Result<BTreeMap<u64, u64>, String> {
        let fingerprints = self.reader.take().and_then(|reader| reader.join().ok());
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("the second process ended with {status}"));
        }
        Ok(fingerprints.unwrap_or_default())
    }

    fn kill(&mut self) {
        // The same Ctrl-C may have ended it already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn fingerprint(line: &str) -> Option<(u64, u64)> {
    let (seed, fingerprint) = line.split_once(' ')?;
    Some((seed.parse().ok()?, u64::from_str_radix(fingerprint, 16).ok()?))
}
