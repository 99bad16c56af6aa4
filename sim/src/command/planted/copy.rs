//! A copy of the workspace with every planted bug in it, each behind its switch.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::{SWITCH, catalogue::Catalogue};

/// Where the copy is, from the root of the workspace.
const FOLDER: &str = "target/bugs";

/// Where things are built in it.
const TARGET: &str = "target";

/// Recorded traffic and corpora: most of the bytes, and no engine reads them.
const LEFT_OUT: [&str; 3] = ["tests/captures/", "fuzz/corpus/", "fuzz/findings/"];

/// What the switch is: a module that a crate gains in the copy, and in no other place.
const SWITCH_MODULE: &str = r#"//! The planted bug of this process.

use std::{env, sync::OnceLock};

/// Whether this bug is planted.
pub(crate) fn is(name: &str) -> bool {
    static PLANTED: OnceLock<Option<String>> = OnceLock::new();
    PLANTED.get_or_init(|| env::var("SYNREPL_PLANTED").ok()).as_deref() == Some(name)
}
"#;

/// This file says whether it is in a copy.
const MARKED: (&str, &str, &str) = (
    "sim/src/command/planted/mod.rs",
    "const IS_COPY: bool = false;",
    "const IS_COPY: bool = true;",
);

/// The copy, as it was written.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    /// Its root.
    pub(super) root: PathBuf,
}

impl Copy {
    /// Writes what differs from the copy that is there, so that Cargo builds little again.
    ///
    /// # Errors
    /// An edit that no longer fits, no git, or what the file system refuses.
    pub(super) fn write(catalogue: &Catalogue) -> Result<Self, String> {
        let from = catalogue.root();
        let root = from.join(FOLDER);
        let read = |file: &str| {
            fs::read_to_string(from.join(file))
                .map_err(|error| format!("{file} cannot be read: {error}"))
        };
        let mut edited = catalogue.edited(read)?;
        let crates: BTreeSet<_> =
            edited.keys().filter_map(|file| Some(file.split_once("/src/")?.0.to_owned())).collect();
        for krate in &crates {
            let lib = format!("{krate}/src/lib.rs");
            let text = edited.get(&lib).map_or_else(|| read(&lib), |text| Ok(text.clone()))?;
            edited.insert(lib, format!("{text}\nmod planted;\n"));
            edited.insert(format!("{krate}/src/planted.rs"), SWITCH_MODULE.to_owned());
        }
        let (file, clean, marked) = MARKED;
        edited.insert(file.to_owned(), read(file)?.replacen(clean, marked, 1));
        let mut files = sources(from)?;
        files.extend(edited.keys().cloned());
        for file in &files {
            let put = match edited.get(file) {
                Some(text) => text.clone().into_bytes(),
                None => fs::read(from.join(file))
                    .map_err(|error| format!("{file} cannot be read: {error}"))?,
            };
            write_if_new(&root.join(file), &put)?;
        }
        let failed = |error| format!("{} cannot be brought up to date: {error}", root.display());
        let mut there = BTreeSet::new();
        copied(&root, &root, &mut there).map_err(failed)?;
        for file in there.difference(&files) {
            fs::remove_file(root.join(file)).map_err(failed)?;
        }
        Ok(Self { root })
    }

    /// A command in the copy, with this bug switched on, or none. Cargo builds into a folder of its
    /// own, whatever the caller's environment says.
    pub(super) fn command(&self, program: impl AsRef<OsStr>, bug: Option<&str>) -> Command {
        let mut command = Command::new(program);
        command.env("CARGO_TARGET_DIR", self.root.join(TARGET)).env_remove(SWITCH);
        if let Some(bug) = bug {
            command.env(SWITCH, bug);
        }
        command
    }
}

/// What git tracks in the workspace, or would, but for [`LEFT_OUT`].
fn sources(root: &Path) -> Result<BTreeSet<String>, String> {
    let listed = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .map_err(|error| format!("git cannot be run: {error}"))?;
    if !listed.status.success() {
        let said = String::from_utf8_lossy(&listed.stderr);
        return Err(format!("git does not list {}: {}", root.display(), said.trim()));
    }
    let listed = String::from_utf8_lossy(&listed.stdout);
    let is_wanted = |file: &&str| {
        // What is deleted and not yet committed is listed, too.
        !LEFT_OUT.iter().any(|folder| file.starts_with(folder)) && root.join(file).is_file()
    };
    Ok(listed.split('\0').filter(is_wanted).map(str::to_owned).collect())
}

/// The files of a copy, but for what was built there.
fn copied(root: &Path, folder: &Path, files: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Ok(name) = path.strip_prefix(root) else { continue };
        if path.is_dir() {
            if name != Path::new(TARGET) {
                copied(root, &path, files)?;
            }
        } else if let Some(name) = name.to_str() {
            files.insert(name.to_owned());
        }
    }
    Ok(())
}

fn write_if_new(path: &Path, put: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|there| there == put) {
        return Ok(());
    }
    let failed = |error| format!("{} cannot be written: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, put).map_err(failed)
}
