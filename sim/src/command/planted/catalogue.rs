//! The planted bugs of shipped code: a file each in `sim/bugs`.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    super::exit::Refusal,
    edit::{self, Edit},
    engines::Engine,
};

/// Where the bugs are, from the root of the workspace.
const FOLDER: &str = "sim/bugs";

/// A known-bad variant of shipped code, as edits of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditBug {
    /// What it does wrong, in one line.
    pub(crate) does: String,
    /// Where it is known from: a known bug, a hazard of `protocol.md`, or the promise it breaks.
    pub(crate) origin: String,
    /// The engines that must catch it. The first one is asked in every run of CI.
    pub(crate) caught_by: Vec<Engine>,
    #[serde(rename = "edit")]
    edits: Vec<Edit>,
}

/// All of them, and the workspace that they are bugs of.
#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    root: PathBuf,
    bugs: BTreeMap<String, EditBug>,
}

impl Catalogue {
    /// The bugs of the workspace around the current directory.
    ///
    /// # Errors
    /// There is none, or a file that cannot be read.
    pub(crate) fn here() -> Result<Self, Refusal> {
        let here = env::current_dir()
            .map_err(|error| Refusal::new(format!("the current directory is gone: {error}")))?;
        let root = here.ancestors().find(|folder| folder.join(FOLDER).is_dir());
        let root = root.ok_or_else(|| {
            Refusal::new(format!(
                "planted bugs are edits of synrepl's sources, and {} is in no checkout of them; \
                 change into one",
                here.display()
            ))
        })?;
        Self::read(root).map_err(Refusal::new)
    }

    /// The bugs of the workspace at `root`.
    pub(super) fn read(root: &Path) -> Result<Self, String> {
        let folder = root.join(FOLDER);
        let failed = |path: &Path, error: &dyn std::fmt::Display| {
            format!("{} cannot be read: {error}", path.display())
        };
        let mut bugs = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(|error| failed(&folder, &error))? {
            let path = entry.map_err(|error| failed(&folder, &error))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let Some(name) = name.strip_suffix(".toml") else { continue };
            let text = fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
            let bug: EditBug = toml::from_str(&text).map_err(|error| failed(&path, &error))?;
            if bug.caught_by.is_empty() || !bug.edits.iter().any(Edit::reads_switch) {
                return Err(failed(&path, &"it needs an engine, and an edit that says bug!()"));
            }
            bugs.insert(name.to_owned(), bug);
        }
        Ok(Self { root: root.to_owned(), bugs })
    }

    /// The workspace.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the scenario of a bug is kept, if it has one.
    pub(crate) fn kept(&self, bug: &str) -> PathBuf {
        self.root.join(format!("tests/scenarios/{bug}.json"))
    }

    /// All names and bugs, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &EditBug)> {
        self.bugs.iter().map(|(name, bug)| (&**name, bug))
    }

    /// The bug of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&EditBug> {
        self.bugs.get(name)
    }

    /// The files with all bugs in them, each behind its switch; `read` gives the clean ones.
    pub(super) fn edited(
        &self,
        read: impl Fn(&str) -> Result<String, String>,
    ) -> Result<BTreeMap<String, String>, String> {
        let all = || self.iter().flat_map(|(name, bug)| bug.edits.iter().map(move |e| (name, e)));
        let files: BTreeSet<_> = all().map(|(_, edit)| edit.file.clone()).collect();
        let edit = |file: String| {
            let edits = all().filter(|(_, edit)| edit.file == file);
            Ok((file.clone(), edit::apply(&read(&file)?, edits)?))
        };
        files.into_iter().map(edit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        Catalogue::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap()
    }

    #[test]
    fn every_edit_of_every_bug_fits_the_sources() {
        let catalogue = catalogue();
        let read = |file: &str| {
            fs::read_to_string(catalogue.root.join(file))
                .map_err(|error| format!("{file}: {error}"))
        };
        let edited = catalogue.edited(read).unwrap();
        assert!(edited.keys().all(|file| file.contains("/src/")), "{:?}", edited.keys());
        assert!(catalogue.iter().count() > 60);
    }

    #[test]
    fn every_bug_that_a_kept_scenario_catches_has_one() {
        let catalogue = catalogue();
        for (name, bug) in catalogue.iter() {
            let kept = catalogue.kept(name);
            assert_eq!(bug.caught_by.contains(&Engine::Kept), kept.exists(), "{name}");
        }
    }
}
