//! The file of `--positions`. Positions are read from it at the start and saved to it; at any time,
//! also after a power cut, it holds one whole saved value.

mod check;
mod lock;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process,
    sync::Arc,
};

use synrepl_core::stream::Positions;

use self::lock::Lock;
use crate::exit::Failure;

/// Longest positions file that is read, in bytes: some 100 bytes for each of 100,000 sources.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The most symbolic links on the way to the file, as in Linux.
const LINKS_MAX: usize = 40;

/// A positions file, of which no other process has one while this one lives. The file always holds
/// one whole saved value: each save writes a file beside it, flushes that to the disk and renames
/// it.
#[derive(Clone, Debug)]
pub(super) struct PositionsFile {
    path: PathBuf,
    beside: PathBuf,
    lock: Option<Arc<Lock>>,
    /// Oddities of what was read, for people.
    notes: Vec<String>,
}

impl PositionsFile {
    /// Opens the file, and returns it with the positions that it holds, none if it does not exist
    /// yet. Saves the same value once, so that a directory that cannot be written to is found out
    /// now.
    ///
    /// # Errors
    /// Fails if the file does not hold positions, is used by another process, or cannot be read or
    /// written.
    pub(super) fn open(path: &Path) -> Result<(Self, Positions), Failure> {
        let path = target(path)?;
        let shown = path.display();
        let Some(name) = path.file_name() else {
            return Err(Failure::usage(format!("--positions {shown}: is not the name of a file")));
        };
        let mut beside = name.to_owned();
        beside.push(format!(".{}.tmp", process::id()));
        let beside = path.with_file_name(beside);
        let lock = Lock::take(&path)?.map(Arc::new);
        let mut file = Self { path, beside, lock, notes: Vec::new() };
        let positions = file.read()?;
        file.save(&positions).map_err(|error| {
            let hint = why_not_saved(&error);
            Failure::usage(format!(
                "--positions {}: cannot be saved ({error}): {hint}",
                file.path.display()
            ))
        })?;
        Ok((file, positions))
    }

    fn read(&mut self) -> Result<Positions, Failure> {
        let shown = self.path.display();
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Positions::new()),
            Err(error) => {
                return Err(Failure::usage(format!(
                    "--positions {shown}: cannot be read: {error}"
                )));
            }
        };
        if !metadata.is_file() {
            return Err(Failure::usage(format!(
                "--positions {shown}: is not a regular file; name a file that may be replaced"
            )));
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(Failure::usage(format!(
                "--positions {shown}: has {} bytes, at most {FILE_BYTES_MAX} are read; it is \
                 hardly a positions file",
                metadata.len()
            )));
        }
        let text = fs::read(&self.path).map_err(|error| {
            Failure::usage(format!("--positions {shown}: cannot be read: {error}"))
        })?;
        self.notes = check::check(&text).map_err(|problem| {
            Failure::usage(format!(
                "--positions {shown}: {problem}, so that it is not clear which counts; leave one \
                 there"
            ))
        })?;
        serde_json::from_slice(&text).map_err(|error| {
            Failure::usage(format!(
                "--positions {shown}: is not a positions file: {error}. Expected JSON like \
                 {{\"events\":{{\"p1\":123}}}}. Mend it, or move it away to start anew as --start \
                 says"
            ))
        })
    }

    /// Saves atomically: whoever reads the file, also after a power cut, finds the value of this
    /// call or of one before, never a part.
    ///
    /// # Errors
    /// Returns the system's error. The file is then as before, unless only the flush of its
    /// directory has failed.
    pub(super) fn save(&self, positions: &Positions) -> io::Result<()> {
        let mut text = serde_json::to_vec(positions)?;
        text.push(b'\n');
        let written = self.write_beside(&text);
        let saved = written.and_then(|()| fs::rename(&self.beside, &self.path));
        if let Err(error) = saved {
            // The first error is the one to report.
            let _ = fs::remove_file(&self.beside);
            return Err(error);
        }
        self.sync_directory()
    }

    /// Writes the file beside, with the rights of the positions file. Nothing that stands there is
    /// written to: it may be a link to somewhere else.
    fn write_beside(&self, text: &[u8]) -> io::Result<()> {
        match fs::remove_file(&self.beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(&self.beside)?;
        if let Ok(metadata) = fs::metadata(&self.path) {
            file.set_permissions(metadata.permissions())?;
        }
        file.write_all(text)?;
        file.sync_all()
    }

    /// Whether nothing keeps a second process off the file, as its file system has no locks.
    pub(super) const fn is_unlocked(&self) -> bool {
        self.lock.is_none()
    }

    /// Flushes the directory, so that the rename itself outlives a power cut.
    fn sync_directory(&self) -> io::Result<()> {
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
    }

    /// Returns what is odd about the positions that were read, one sentence each.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The file's name, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// What a save needs that failed with this error.
fn why_not_saved(error: &io::Error) -> &'static str {
    // A mount stands at its name.
    if error.kind() == io::ErrorKind::ResourceBusy {
        "the file is mounted by itself, as containers do it, and cannot be replaced; mount its \
         directory instead"
    } else {
        "its directory must exist and be writable, for a new file is written beside the old one \
         and then renamed"
    }
}

/// Follows symbolic links to the file to replace, which need not exist: a link stays a link.
fn target(path: &Path) -> Result<PathBuf, Failure> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(next) => path = path.with_file_name("").join(next),
            Err(_) => return Ok(path),
        }
    }
    let shown = path.display();
    Err(Failure::usage(format!("--positions {shown}: is a link that leads back to itself")))
}

#[cfg(test)]
mod tests {
    use synrepl_core::stream::{Source, Token};

    use super::*;

    fn open(path: &Path) -> Result<Positions, String> {
        PositionsFile::open(path).map(|(_, positions)| positions).map_err(|error| error.to_string())
    }

    #[test]
    fn what_was_saved_is_resumed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("positions.json");
        let (file, mut positions) = PositionsFile::open(&path).unwrap();
        assert!(positions.is_empty());
        positions.set(&Source::new("events", "p1"), Token::new(123));
        file.save(&positions).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"events\":{\"p1\":123}}\n");
        drop(file);
        assert_eq!(open(&path).unwrap(), positions);
        let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, ["positions.json", "positions.json.lock"]);
    }

    #[test]
    fn a_bad_file_is_named_with_line_and_column_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("positions.json");
        let text = "{\"events\":\n{\"p1\":\"x\"}}";
        fs::write(&path, text).unwrap();
        let message = open(&path).unwrap_err();
        assert!(message.contains("line 2 column"), "{message}");
        assert!(message.contains("{\"events\":{\"p1\":123}}"), "{message}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_missing_directory_is_found_out_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let message = open(&directory.path().join("missing/positions.json")).unwrap_err();
        assert!(message.contains("directory must exist and be writable"), "{message}");
    }

    #[test]
    fn a_file_that_is_a_mount_is_told_from_a_directory_that_cannot_be_written_to() {
        let busy = why_not_saved(&io::ErrorKind::ResourceBusy.into());
        assert!(busy.contains("mount its directory instead"), "{busy}");
        let denied = why_not_saved(&io::ErrorKind::PermissionDenied.into());
        assert!(denied.contains("be writable"), "{denied}");
    }

    #[test]
    fn only_regular_files_are_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let message = open(directory.path()).unwrap_err();
        assert!(message.contains("not a regular file"), "{message}");
        let message = open(Path::new("/dev/null")).unwrap_err();
        assert!(message.contains("not a regular file"), "{message}");
    }

    #[test]
    fn a_second_process_is_kept_off_and_told_who_has_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("positions.json");
        let (file, _) = PositionsFile::open(&path).unwrap();
        assert!(!file.is_unlocked());
        let message = open(&path).unwrap_err();
        assert!(message.contains(&format!("process {}", process::id())), "{message}");
        drop(file);
        open(&path).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn the_rights_of_the_file_stay_and_nothing_beside_it_is_written_to() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let (path, other) =
            (directory.path().join("positions.json"), directory.path().join("other"));
        fs::write(&path, "{}").unwrap();
        fs::write(&other, "mine").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let beside = directory.path().join(format!("positions.json.{}.tmp", process::id()));
        std::os::unix::fs::symlink(&other, beside).unwrap();
        open(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&other).unwrap(), "mine");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_file_that_does_not_exist_yet_stays_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        std::os::unix::fs::symlink("target", &link).unwrap();
        open(&link).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&target).unwrap(), "{}\n");
        let round = directory.path().join("round");
        std::os::unix::fs::symlink("round", &round).unwrap();
        let message = open(&round).unwrap_err();
        assert!(message.contains("leads back to itself"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        fs::write(&target, "{}").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let (file, mut positions) = PositionsFile::open(&link).unwrap();
        positions.set(&Source::new("events", "p1"), Token::new(1));
        file.save(&positions).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read_to_string(&target).unwrap().contains("events"));
    }

    #[test]
    fn a_failed_save_leaves_the_file_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let path = inner.join("positions.json");
        let (file, positions) = PositionsFile::open(&path).unwrap();
        let moved = directory.path().join("moved");
        fs::rename(&inner, &moved).unwrap();
        assert!(file.save(&positions).is_err());
        assert_eq!(fs::read_to_string(moved.join("positions.json")).unwrap(), "{}\n");
    }
}
