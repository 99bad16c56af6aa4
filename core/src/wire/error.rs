//! Errors about lines and messages that are not commands.
//!
//! A line and the place of its fault enter; an error leaves that keeps a bounded piece of the line,
//! and nothing that stands where an access token may ([`crate::secret`]).

use std::{borrow::Cow, fmt};

use memchr::memchr;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    secret::{excerpt, veiled_text},
    stream::Token,
};

/// The longest piece of a bad line that an error keeps, in bytes.
pub const EXCERPT_BYTES_MAX: usize = 120;

/// The line or message is not a command of any dialect.
///
/// `Display` states what was expected and where, with an excerpt of at most
/// [`EXCERPT_BYTES_MAX`] bytes that ends where an access token may begin. The details are boxed, so
/// that a `Result` of the decoder stays small.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Error)]
#[serde(transparent)]
pub struct DecodeError(Box<Details>);

#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Details {
    kind: DecodeErrorKind,
    offset: usize,
    expected: Cow<'static, str>,
    command: String,
    excerpt: String,
    row: Option<BadRow>,
}

/// The kinds of bad lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The line is empty or holds white space alone.
    Blank,
    /// The line is not UTF-8.
    NotUtf8,
    /// The first word is not the name of a command of any version.
    UnknownCommand,
    /// A field is missing, or has the wrong form.
    BadField,
    /// The JSON part is not JSON.
    BadJson,
}

/// The part of a bad RDATA that could still be read: enough to fetch the row instead.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BadRow {
    /// The stream name.
    pub stream: String,
    /// The writer; `master` in the oldest dialect.
    pub instance: String,
    /// The token, if it could be read and was a number.
    pub token: Option<Token>,
}

/// The longest first word that an error keeps, in bytes.
const COMMAND_BYTES_MAX: usize = 32;

impl DecodeError {
    /// Creates an error at byte `offset` of `line`, where `expected` should have stood.
    pub fn new(
        kind: DecodeErrorKind,
        offset: usize,
        expected: impl Into<Cow<'static, str>>,
        line: &[u8],
    ) -> Self {
        let head = &line[..line.len().min(EXCERPT_BYTES_MAX)];
        let name_end = memchr(b' ', head).unwrap_or(head.len()).min(COMMAND_BYTES_MAX);
        Self(Box::new(Details {
            kind,
            offset,
            expected: expected.into(),
            command: String::from_utf8_lossy(&line[..name_end]).into_owned(),
            excerpt: String::from_utf8_lossy(excerpt(head)).into_owned(),
            row: None,
        }))
    }

    /// Returns the same error with the part of the bad RDATA that could still be read.
    #[must_use]
    pub fn with_row(mut self, row: BadRow) -> Self {
        self.0.row = Some(row);
        self
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> DecodeErrorKind {
        self.0.kind
    }

    /// Returns the byte offset in the line at which reading stopped.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// Returns the element that was expected there, in words.
    pub fn expected(&self) -> &str {
        &self.0.expected
    }

    /// Returns the first word of the line, of which at most 32 bytes are kept.
    pub fn command(&self) -> &str {
        &self.0.command
    }

    /// Returns the part of a bad RDATA that could still be read; `None` if its source could not, or
    /// if the line is no RDATA.
    pub fn row(&self) -> Option<&BadRow> {
        self.0.row.as_ref()
    }
}

impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, offset, expected, command, excerpt, row } = self;
        f.debug_struct("Details")
            .field("kind", kind)
            .field("offset", offset)
            .field("expected", expected)
            .field("command", &veiled_text(command))
            .field("excerpt", &veiled_text(excerpt))
            .field("row", row)
            .finish()
    }
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blank => "blank line",
            Self::NotUtf8 => "not UTF-8",
            Self::UnknownCommand => "unknown command",
            Self::BadField => "bad field",
            Self::BadJson => "bad JSON",
        })
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { kind, offset, expected, excerpt, .. } = &*self.0;
        write!(f, "{kind} at byte {offset}: expected {expected} in {excerpt:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_access_token_gets_into_an_error() {
        for line in [
            r#"USER_IP @u:a.example ["syt_secret","1.2.3.4","#,
            r#" USER_IP @u:a.example ["syt_secret","1.2.3.4","#,
            "xUSER_IP\t@u:a.example syt_secret",
            r#"RDATA caches m 1 ["get_user_by_access_token",["syt_secret"]"#,
            r#"INVALIDATE_CACHE get_user_by_access_token ["syt_secret""#,
        ] {
            let kind = DecodeErrorKind::BadJson;
            let error = DecodeError::new(kind, 0, "something", line.as_bytes());
            for shown in [format!("{error}"), format!("{error:?}")] {
                assert!(!shown.contains("syt"), "{shown}");
            }
            assert!(line.contains(&error.0.excerpt) && !error.0.excerpt.is_empty());
        }
    }

    #[test]
    fn debug_output_shows_no_token_of_a_line_without_spaces_or_of_another_function() {
        for line in [
            "USER_IP\t[\"syt_secret\"",
            r#"RDATA caches m 1 ["token_of",["syt_secret"]"#,
            r#"INVALIDATE_CACHE token_of ["syt_secret""#,
        ] {
            let error = DecodeError::new(DecodeErrorKind::BadJson, 0, "something", line.as_bytes());
            assert!(!format!("{error:?}").contains("syt"), "{error:?}");
        }
    }

    #[test]
    fn an_error_keeps_a_bounded_piece_of_the_line() {
        let line = vec![b'x'; 1 << 20];
        let error = DecodeError::new(DecodeErrorKind::UnknownCommand, 0, "a command", &line);
        assert_eq!(error.command().len(), COMMAND_BYTES_MAX);
        assert_eq!(error.0.excerpt.len(), EXCERPT_BYTES_MAX);
    }
}
