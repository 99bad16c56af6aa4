//! A stdout that is a regular file. Where its last whole chunk ends is known before each write, and
//! what a failed write left behind it is cut off: whoever appends later must not find half a line
//! before its own.

use std::{
    fs::File,
    io::{Seek as _, SeekFrom},
};

/// The file behind stdout, if it is one.
#[derive(Debug)]
pub(crate) struct StdoutFile(Option<File>);

impl StdoutFile {
    /// Looks at what stdout is.
    pub(crate) fn of_stdout() -> Self {
        #[cfg(unix)]
        {
            use std::os::fd::AsFd as _;
            let file = std::io::stdout().as_fd().try_clone_to_owned().map(File::from);
            Self::new(file.ok())
        }
        #[cfg(not(unix))]
        Self::none()
    }

    /// A stdout that is no file.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    #[cfg(unix)]
    fn new(file: Option<File>) -> Self {
        let is_file = |file: &File| file.metadata().is_ok_and(|metadata| metadata.is_file());
        Self(file.filter(is_file))
    }

    /// Returns where the next chunk begins; `None` if it can or need not be cut off.
    pub(crate) fn end(&self) -> Option<u64> {
        Some(self.0.as_ref()?.metadata().ok()?.len())
    }

    /// Cuts off what was written behind `end` of a chunk of this length. Returns whether anything had
    /// to be. More than that was written by somebody else, whose lines are left alone.
    pub(crate) fn cut(&self, end: Option<u64>, chunk: usize) -> bool {
        let (Some(mut file), Some(end)) = (self.0.as_ref(), end) else { return false };
        let is_part = |len: u64| len > end && len - end < chunk as u64;
        let has_more = file.metadata().is_ok_and(|metadata| is_part(metadata.len()));
        // The place to write at is shared with whoever writes to the file after this process.
        has_more && file.set_len(end).is_ok() && file.seek(SeekFrom::Start(end)).is_ok()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_was_written_behind_the_last_whole_chunk_is_cut_off() {
        let mut file = tempfile::tempfile().unwrap();
        let stdout = StdoutFile::new(file.try_clone().ok());
        file.write_all(b"whole\n").unwrap();
        let end = stdout.end();
        assert_eq!(end, Some(6));
        assert!(!stdout.cut(end, 5));
        file.write_all(b"hal").unwrap();
        assert!(!stdout.cut(end, 3), "the chunk is whole, or it is not ours");
        assert!(stdout.cut(end, 5));
        file.write_all(b"next\n").unwrap();
        assert_eq!(file.metadata().unwrap().len(), 11);
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let stdout = StdoutFile::new(File::options().write(true).open("/dev/null").ok());
        assert_eq!(stdout.end(), None);
        assert!(!stdout.cut(Some(0), 5));
    }
}
