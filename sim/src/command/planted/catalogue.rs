//! The catalogue of the planted bugs of shipped code, each of which is a file in `sim/bugs`.

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

/// The folder of the bugs, relative to the root of the workspace.
const FOLDER: &str = "sim/bugs";

/// A planted bug of shipped code, as edits of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditBug {
    /// One line that says what the bug does wrong.
    pub(crate) does: String,
    /// The known bug, the hazard of `protocol.md` or the promise that it is an example of.
    pub(crate) origin: String,
    /// The engines that must catch it. The first one looks for it in every run of CI.
    pub(crate) caught_by: Vec<Engine>,
    #[serde(rename = "edit")]
    edits: Vec<Edit>,
}

/// All planted bugs of a workspace.
#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    root: PathBuf,
    bugs: BTreeMap<String, EditBug>,
}

impl Catalogue {
    /// Reads the bugs of the workspace around the current directory.
    ///
    /// # Errors
    /// [`Refusal`] if there is no workspace, or a file cannot be read.
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

    /// Reads the bugs of the workspace at `root`.
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

    /// Returns the root of the workspace.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the path at which the scenario of a bug is kept, if it has one.
    pub(crate) fn kept(&self, bug: &str) -> PathBuf {
        self.root.join(format!("tests/scenarios/{bug}.json"))
    }

    /// Returns all bugs with their names, in order of name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &EditBug)> {
        self.bugs.iter().map(|(name, bug)| (&**name, bug))
    }

    /// Returns the bug of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&EditBug> {
        self.bugs.get(name)
    }

    /// Returns the files that bugs edit, with every bug behind its switch. `read` gives the clean
    /// files.
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
