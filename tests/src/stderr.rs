//! The standard error of a child process, kept in a file.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{Failure, clock::Deadline};

/// What a child process writes to its standard error.
#[derive(Clone, Debug)]
pub struct Stderr(PathBuf);

impl Stderr {
    pub(crate) const fn new(file: PathBuf) -> Self {
        Self(file)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Creates the file, for the child to write to.
    pub(crate) fn create(&self) -> io::Result<File> {
        File::create(&self.0)
    }

    /// All of it so far.
    pub fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap_or_else(|error| error.to_string())
    }

    /// Waits until it has, behind its first `skipped` bytes, a line with all these words, and
    /// returns the line.
    ///
    /// # Errors
    /// Fails if there is none within the time; shows all of it.
    pub fn wait_for_line(
        &self,
        words: &[&str],
        skipped: usize,
        time: Duration,
    ) -> Result<String, Failure> {
        let deadline = Deadline::after(time);
        loop {
            let said = self.text();
            let mut lines = said.get(skipped..).unwrap_or_default().lines();
            if let Some(line) = lines.find(|line| words.iter().all(|word| line.contains(word))) {
                return Ok(line.to_owned());
            }
            if !deadline.pause() {
                return Err(format!("no line with {words:?} on standard error:\n{said}").into());
            }
        }
    }
}
