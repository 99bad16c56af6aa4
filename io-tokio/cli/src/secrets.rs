//! Secrets come from files and the environment, never from a flag, which every user of the machine
//! could read in the list of processes. No message about a secret shows it.

use std::{
    env,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use synrepl_core::wire::Secret;

use crate::exit::Failure;

/// Longest secret that is read, in bytes.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The places that a secret may come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct SecretSource<'a> {
    /// The flag that names a file, for messages.
    pub(super) flag: &'static str,
    /// The value of the flag, which wins over the environment.
    pub(super) file: Option<&'a PathBuf>,
    /// The environment variable.
    pub(super) variable: &'static str,
}

impl<'a> SecretSource<'a> {
    /// The places of the secret that Synapse's workers share.
    pub(super) const fn replication(file: Option<&'a PathBuf>) -> Self {
        Self { flag: "--secret-file", file, variable: "SYNREPL_REPLICATION_SECRET" }
    }

    /// The places of the password of Redis.
    pub(super) const fn redis(file: Option<&'a PathBuf>) -> Self {
        Self { flag: "--redis-password-file", file, variable: "SYNREPL_REDIS_PASSWORD" }
    }

    /// The secret, without the line end that editors leave behind it; `None` if neither file nor
    /// variable is given.
    ///
    /// # Errors
    /// Fails if the file cannot be read, and if the secret is empty, too long, not UTF-8 or holds a
    /// control character.
    pub(super) fn read(&self) -> Result<Option<Secret>, Failure> {
        let Some(path) = self.file else {
            return match env::var(self.variable) {
                Ok(text) => self.checked(self.variable, text).map(Some),
                Err(env::VarError::NotPresent) => Ok(None),
                Err(env::VarError::NotUnicode(_)) => {
                    Err(Failure::usage(format!("{}: is not UTF-8", self.variable)))
                }
            };
        };
        let place = format!("{} {}", self.flag, path.display());
        let text = read_short(path)
            .map_err(|message| Failure::usage(format!("{place}: cannot be read: {message}")))?;
        self.checked(&place, text).map(Some)
    }

    /// Returns what is wrong with the rights of the file, if any: a secret that every user of the
    /// machine can read is none.
    #[cfg(unix)]
    pub(super) fn exposure(&self) -> Option<String> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.file?;
        let mode = std::fs::metadata(path).ok()?.permissions().mode();
        (mode & 0o004 != 0).then(|| {
            format!(
                "{} {shown}: every user of this machine can read it; chmod o-rwx {shown}",
                self.flag,
                shown = path.display()
            )
        })
    }

    #[cfg(not(unix))]
    pub(super) const fn exposure(&self) -> Option<String> {
        None
    }

    fn checked(&self, place: &str, text: String) -> Result<Secret, Failure> {
        if text.starts_with('\u{feff}') {
            return Err(Failure::usage(format!(
                "{place}: begins with a byte order mark, which is not part of a secret; save it as \
                 UTF-8 without one"
            )));
        }
        let trimmed = text.trim_end_matches(['\n', '\r']);
        if trimmed.is_empty() {
            return Err(Failure::usage(format!(
                "{place}: is empty; put the secret there, or leave out {} and {}",
                self.flag, self.variable
            )));
        }
        if trimmed.chars().any(char::is_control) {
            return Err(Failure::usage(format!(
                "{place}: holds a line break or control character; the secret is one line"
            )));
        }
        Ok(Secret::new(trimmed.to_owned()))
    }
}

fn read_short(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = Vec::new();
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("it is longer than {SECRET_BYTES_MAX} bytes"));
    }
    String::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(content: &[u8]) -> Result<String, Failure> {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let path = directory.path().join("secret");
        fs::write(&path, content).unwrap_or_else(|error| panic!("{error}"));
        let source =
            SecretSource { flag: "--secret-file", file: Some(&path), variable: "SYNREPL_UNSET" };
        Ok(source.read()?.map_or_else(String::new, |secret| secret.expose().to_owned()))
    }

    #[test]
    fn the_line_end_of_a_file_is_not_part_of_the_secret() {
        assert_eq!(read(b"abc\n").unwrap(), "abc");
        assert_eq!(read(b"abc\r\n").unwrap(), "abc");
        assert_eq!(read(b" a c ").unwrap(), " a c ");
    }

    #[test]
    fn an_empty_or_odd_file_is_refused_without_showing_it() {
        for (content, expected) in [
            (&b""[..], "is empty"),
            (b"\n", "is empty"),
            (b"abc\ndef\n", "one line"),
            (b"abc\xff", "not UTF-8"),
            (b"\xef\xbb\xbfabc\n", "byte order mark"),
            (&[b'a'; 70_000], "longer than 65536 bytes"),
        ] {
            let message = read(content).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(message.starts_with("--secret-file "), "{message}");
            assert!(!message.contains("abc"), "{message}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_every_user_can_read_is_named() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, "abc").unwrap();
        let source =
            SecretSource { flag: "--secret-file", file: Some(&path), variable: "SYNREPL_UNSET" };
        for (mode, is_told) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let told = source.exposure();
            assert_eq!(told.is_some(), is_told, "{mode:o}: {told:?}");
            assert!(told.is_none_or(|told| told.contains("chmod o-rwx") && !told.contains("abc")));
        }
    }

    #[test]
    fn without_file_and_variable_there_is_no_secret() {
        let source = SecretSource { flag: "--x", file: None, variable: "SYNREPL_UNSET" };
        assert!(source.read().unwrap().is_none());
    }
}
