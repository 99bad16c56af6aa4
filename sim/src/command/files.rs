//! The reading and writing of scenario files, and the writing of pages.

use std::{
    fs,
    path::{Path, PathBuf},
};

use synrepl_sim::{Kept, Level, Scenario, reference::Losses, report::Page, trace::Trace};

use super::{engine::Compared, exit::Refusal};

/// The largest scenario file that is read, in bytes. Drawn scenarios have about 20 kB.
const SCENARIO_BYTES_MAX: u64 = 16 << 20;

/// Returns the folder for output if no flag names one: below the Cargo target directory if there is
/// one here, else the current directory.
pub(super) fn default_out() -> PathBuf {
    if Path::new("target").is_dir() {
        PathBuf::from("target/synrepl-sim")
    } else {
        PathBuf::from(".")
    }
}

/// Reads a file that holds a scenario, or a kept scenario, which names the level for which it is
/// kept.
pub(super) fn read(path: &Path) -> Result<(Scenario, Level), Refusal> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Refusal::new(format!("{} cannot be read: {error}", path.display()))
    };
    let length = fs::metadata(path).map_err(|error| unreadable(&error))?.len();
    if length > SCENARIO_BYTES_MAX {
        return Err(unreadable(&format!("{length} bytes are too many for a scenario")));
    }
    let text = fs::read(path).map_err(|error| unreadable(&error))?;
    let kept = serde_json::from_slice::<Kept>(&text).map(|kept| (kept.scenario, kept.level));
    let bare = |_| serde_json::from_slice(&text).map(|scenario| (scenario, Level::default()));
    let (scenario, level) = kept.or_else(bare).map_err(|error: serde_json::Error| {
        let what = format!(
            "{} is not a scenario of this version: {error}; scenarios are written by \
             `synrepl-sim run` when a promise is broken",
            path.display()
        );
        Refusal::new(what)
    })?;
    let Scenario { streams, .. } = &scenario;
    let is_name = |name: &str| {
        !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if let Some(stream) = streams.iter().find(|stream| !is_name(&stream.name)) {
        return Err(unreadable(&format!("{:?} cannot be the name of a stream", stream.name)));
    }
    if scenario.streams.is_empty() || scenario.writers.is_empty() || scenario.followers.is_empty() {
        return Err(unreadable(&"a scenario needs a stream, a writer and a follower"));
    }
    Ok((scenario, level))
}

/// The paths of the files that were written about a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) scenario: PathBuf,
    pub(super) page: PathBuf,
}

/// Writes the scenario as `NAME.json` and its page as `NAME.html`. Existing files are overwritten.
pub(super) fn write(
    dir: &Path,
    name: &str,
    trace: &Trace,
    command: &str,
    compared: Option<&Compared>,
) -> Result<Written, Refusal> {
    let written = Written {
        scenario: dir.join(format!("{name}.json")),
        page: dir.join(format!("{name}.html")),
    };
    let failed = |path: &Path, error: &dyn std::fmt::Display| {
        let path = path.display();
        Refusal::new(format!("{path} cannot be written: {error}; name another place with --out"))
    };
    fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
    let mut json = serde_json::to_string_pretty(&trace.scenario)
        .map_err(|error| failed(&written.scenario, &error))?;
    json.push('\n');
    fs::write(&written.scenario, json).map_err(|error| failed(&written.scenario, &error))?;
    let mut page = Page::new(trace).fact("Play it again", command);
    if let Some(compared) = compared {
        page = page.comparison(table(compared));
    }
    fs::write(&written.page, page.to_string()).map_err(|error| failed(&written.page, &error))?;
    Ok(written)
}

/// Returns the comparison as a table for the page.
fn table(compared: &Compared) -> Vec<Vec<String>> {
    let row = |name: &str, losses: &Losses| {
        let counts =
            [losses.lost.len(), losses.repeated.len(), losses.mixed.len(), losses.torn.len()];
        let mut row = vec![name.to_owned()];
        row.extend(counts.map(|count| count.to_string()));
        row
    };
    let head = ["", "rows lost", "repeated", "under another writer or token", "batches torn"];
    vec![
        head.map(str::to_owned).to_vec(),
        row("synrepl", &compared.ours),
        row(&format!("Synapse, {}", compared.era), &compared.reference),
    ]
}
