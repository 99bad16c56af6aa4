//! The replay of input files by a target, without a fuzzer.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Calls `target` with each file named on the command line, or each file of a folder named there.
/// A panic of the target ends the program.
pub fn replay(target: fn(&[u8])) -> ExitCode {
    let mut out = io::stderr();
    let result = std::env::args_os().skip(1).map(PathBuf::from).try_fold(0_u32, |count, path| {
        let paths = if path.is_dir() { files_in(&path)? } else { vec![path] };
        paths.iter().try_fold(count, |count, path| {
            writeln!(out, "{}", path.display())?;
            target(&fs::read(path)?);
            Ok::<_, io::Error>(count + 1)
        })
    });
    let (line, code) = match result {
        Ok(0) => ("name the files or folders to replay".to_owned(), ExitCode::from(2)),
        Ok(count) => (format!("{count} replayed, no promise broken"), ExitCode::SUCCESS),
        Err(error) => (format!("cannot read it: {error}"), ExitCode::from(2)),
    };
    match writeln!(out, "{line}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Returns the files of a folder by name; none if there is no such folder.
///
/// # Errors
/// The error of the system if the folder cannot be read.
pub fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut files = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
