//! The report on one run: plays a scenario, prints its violation and time line, and writes it as a
//! scenario file and a page.

use std::path::{Path, PathBuf};

use serde_json::json;
use synrepl_sim::{Level, Scenario, Violation, reference::Era, report::timeline};

use super::{
    decoded::decoded,
    engine::{self, Compared},
    exit::Refusal,
    files,
    output::Output,
    planted::Bug,
};

/// The moments of the time line before the violation.
const MOMENTS_BEFORE: usize = 40;
const MOMENTS_AFTER: usize = 8;

/// The options of a report.
#[derive(Clone, Debug)]
pub(super) struct Reporter<'a> {
    /// The name of the files, without ending.
    pub(super) name: String,
    pub(super) out: Option<&'a Path>,
    pub(super) level: Level,
    pub(super) bug: Option<&'a Bug>,
    pub(super) reference: Option<Era>,
}

/// The result of a report.
#[derive(Debug)]
pub(super) struct Reported {
    pub(super) violation: Option<Violation>,
    /// The reason why no files were written, if that failed.
    pub(super) unwritten: Option<Refusal>,
}

impl Reporter<'_> {
    /// Plays the scenario with a trace, writes its files, and prints the result and their paths.
    /// If the files cannot be written, the result is printed all the same.
    pub(super) fn report(&self, scenario: &Scenario, output: &mut Output) -> Reported {
        let driver_bug = self.bug.and_then(Bug::in_driver);
        let trace = engine::trace(self.level, scenario, driver_bug);
        let violation = trace.violations.first().cloned();
        let compared = self.reference.map(|era| engine::compare(scenario, era, driver_bug));
        let dir = self.out.map_or_else(files::default_out, Path::to_path_buf);
        let json = dir.join(format!("{}.json", self.name));
        let replay = self.command("replay", &json);
        let written = files::write(&dir, &self.name, &trace, &replay, compared.as_ref());
        let (seed, mode) = (scenario.seed, engine::mode_name(scenario.mode));
        let shown = || {
            let mut text = format!("seed {seed}, {mode}");
            match &violation {
                Some(violation) => text.push_str(&format!(": {violation}\n")),
                None => text.push_str(": no promise was broken\n"),
            }
            text.push_str(&decoded(scenario));
            text.push_str("\n\n");
            text.push_str(&timeline(&trace, MOMENTS_BEFORE, MOMENTS_AFTER));
            match &written {
                Ok(written) => {
                    text.push_str(&format!("\nreplay:  {replay}\n"));
                    if violation.is_some() {
                        text.push_str(&format!("shrink:  {}\n", self.command("shrink", &json)));
                    }
                    text.push_str(&format!("page:    {}", written.page.display()));
                }
                Err(refusal) => text.push_str(&format!("\nnot kept: {refusal}")),
            }
            text
        };
        let (page, file) = match &written {
            Ok(written) => (Some(&written.page), Some(&written.scenario)),
            Err(_) => (None, None),
        };
        match &violation {
            Some(violation) => output.say(
                shown,
                "violation",
                json!({
                    "seed": seed,
                    "mode": mode,
                    "promise": violation.promise,
                    "id": violation.promise.id(),
                    "at_us": violation.at,
                    "instance": violation.instance,
                    "source": violation.source,
                    "what": violation.what,
                    "scenario": file,
                    "page": page,
                    "command": file.map(|_| &replay),
                }),
            ),
            None => output.say(
                shown,
                "run",
                json!({"seed": seed, "mode": mode, "broken": false, "page": page}),
            ),
        }
        if let Some(compared) = &compared {
            say_compared(seed, &mode, compared, output);
        }
        Reported { violation, unwritten: written.err() }
    }

    fn command(&self, name: &str, file: &Path) -> String {
        let mut command = format!("synrepl-sim {name} {}", quoted(file));
        if self.level != Level::Logical {
            command.push_str(&format!(" --level {}", self.level.name()));
        }
        if let Some(bug) = self.bug {
            command.push_str(&format!(" --bug {}", bug));
        }
        if let Some(era) = self.reference {
            command.push_str(&format!(" --reference {era}"));
        }
        command
    }
}

/// Prints the rows that our core and the reference lost under one schedule.
pub(super) fn say_compared(seed: u64, mode: &str, compared: &Compared, output: &mut Output) {
    let Compared { era, ours, reference } = compared;
    output.say(
        || format!("seed {seed}, {mode}\n  synrepl:    {ours}\n  Synapse {era}: {reference}"),
        "reference",
        json!({
            "seed": seed,
            "mode": mode,
            "rules": era,
            "lost": reference.lost.len(),
            "repeated": reference.repeated.len(),
            "mixed": reference.mixed.len(),
            "torn": reference.torn.len(),
            "ours_lost": ours.lost.len(),
            "ours_repeated": ours.repeated.len(),
            "ours_mixed": ours.mixed.len(),
            "ours_torn": ours.torn.len(),
        }),
    );
}

/// Returns a path, quoted for a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Returns the name of a file without its ending, for the files made from it.
pub(super) fn stem(path: &Path) -> String {
    let stem = path.file_stem().map(PathBuf::from);
    stem.map_or_else(|| "scenario".to_owned(), |stem| stem.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_odd_characters_is_quoted_for_the_shell() {
        assert_eq!(quoted(Path::new("target/synrepl-sim/a-1.json")), "target/synrepl-sim/a-1.json");
        assert_eq!(quoted(Path::new("my dir/it's.json")), r"'my dir/it'\''s.json'");
    }

    #[test]
    fn what_is_made_of_a_file_has_its_name() {
        assert_eq!(stem(Path::new("a/b/swarm-17.json")), "swarm-17");
        assert_eq!(stem(Path::new("..")), "scenario");
    }
}
