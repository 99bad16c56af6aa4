//! The copy of the workspace that has every planted bug, each behind its switch. Shipped code has
//! none.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::{SWITCH, catalogue::Catalogue};

/// The folder of the copy, relative to the root of the workspace.
const FOLDER: &str = "target/bugs";

/// The target directory of Cargo in the copy.
const TARGET: &str = "target";

/// The folders of recorded traffic and corpora, which have most of the bytes and which no engine
/// reads.
const LEFT_OUT: [&str; 3] = ["tests/captures/", "fuzz/corpus/", "fuzz/findings/"];

/// The source of the switch, a module that a crate has in the copy only.
const SWITCH_MODULE: &str = r#"//! The planted bug of this process.

use std::{env, sync::OnceLock};

/// Whether this bug is planted.
pub(crate) fn is(name: &str) -> bool {
    static PLANTED: OnceLock<Option<String>> = OnceLock::new();
    PLANTED.get_or_init(|| env::var("SYNREPL_PLANTED").ok()).as_deref() == Some(name)
}
"#;

/// The file with [`super::IS_COPY`], its text there, and the text in the copy.
const MARKED: (&str, &str, &str) = (
    "sim/src/command/planted/mod.rs",
    "const IS_COPY: bool = false;",
    "const IS_COPY: bool = true;",
);

/// A copy of the workspace, as it was written.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    /// The root of the copy.
    pub(super) root: PathBuf,
}

impl Copy {
    /// Writes the copy. Files that are already as they should be are not touched, so that Cargo
    /// builds little again.
    ///
    /// # Errors
    /// The reason: an edit no longer fits, git is missing, or a file cannot be written.
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
        let text = read(file)?;
        if !text.contains(clean) {
            return Err(format!("{file} does not say {clean:?}, by which the copy is told apart"));
        }
        edited.insert(file.to_owned(), text.replacen(clean, marked, 1));
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

    /// Returns a command that runs in the copy, with this bug on, or none. Cargo builds into the
    /// target directory of the copy, whatever the environment sets.
    pub(super) fn command(&self, program: impl AsRef<OsStr>, bug: Option<&str>) -> Command {
        let mut command = Command::new(program);
        command.env("CARGO_TARGET_DIR", self.root.join(TARGET)).env_remove(SWITCH);
        if let Some(bug) = bug {
            command.env(SWITCH, bug);
        }
        command
    }
}

/// Returns the files that git tracks or would add in the workspace, without [`LEFT_OUT`].
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
        // git also lists files that are deleted and not yet committed.
        !LEFT_OUT.iter().any(|folder| file.starts_with(folder)) && root.join(file).is_file()
    };
    Ok(listed.split('\0').filter(is_wanted).map(str::to_owned).collect())
}

/// Collects the files of a copy, without its target directory.
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
