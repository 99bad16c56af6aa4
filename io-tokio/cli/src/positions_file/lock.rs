//! The lock of a positions file: two processes with one file would each put the other's positions
//! back. It is on a file beside, because each save replaces the positions file itself.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    process,
};

use synrepl_core::Printable;

use crate::exit::Failure;

/// The most bytes that are read of what the holder wrote.
const HOLDER_BYTES_MAX: u64 = 256;

/// A lock that is held until it is dropped, or the process ends in any way.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the positions file of this path. `None` where the file system has no
    /// locks.
    ///
    /// # Errors
    /// Fails if another process holds it, which is named, or the file beside cannot be written.
    pub(super) fn take(path: &Path) -> Result<Option<Self>, Failure> {
        let shown = path.display();
        let beside = beside(path);
        let failed = |error: io::Error| {
            Failure::usage(format!(
                "--positions {shown}: {} cannot be locked ({error}): the directory must exist and \
                 be writable, as nothing else keeps a second process off the file",
                beside.display()
            ))
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&beside)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                sign(&mut file).map_err(failed)?;
                Ok(Some(Self { _file: file }))
            }
            Err(TryLockError::WouldBlock) => Err(Failure::usage(format!(
                "--positions {shown}: {} uses it; two would put each other's positions back, so \
                 give each a file of its own",
                holder(&mut file)
            ))),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(None)
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Returns the path of the file that is locked.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    path.with_file_name(name)
}

/// Writes who holds the lock.
fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "process {}", process::id())
}

/// Returns who holds the lock, as far as it has said so.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(HOLDER_BYTES_MAX).read_to_string(&mut text);
    match text.trim() {
        name if read.is_ok() && !name.is_empty() => Printable::foreign(name).to_string(),
        _ => "another process".to_owned(),
    }
}
