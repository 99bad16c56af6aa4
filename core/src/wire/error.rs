//! What a peer got wrong in a line.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::stream::Token;

/// Longest piece of a bad line that is kept in an error, in bytes.
pub const EXCERPT_BYTES_MAX: usize = 120;

/// A line or message that is not a command of any dialect.
///
/// Says what was expected and where. Boxed, so that the good case stays small.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Error)]
#[serde(transparent)]
pub struct DecodeError(Box<Details>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// Nothing, or white space alone.
    Blank,
    /// Not UTF-8.
    NotUtf8,
    /// The name is not a command of any version.
    UnknownCommand,
    /// A field is missing, or has the wrong form.
    BadField,
    /// The JSON part is not JSON.
    BadJson,
}

/// What could still be read of an RDATA whose rest is bad: enough to fetch the row instead.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BadRow {
    /// Stream name.
    pub stream: String,
    /// Writer.
    pub instance: String,
    /// The token, where it could be read and was a number.
    pub token: Option<Token>,
}

impl DecodeError {
    /// An error at byte `offset` of `line`, where `expected` should have stood.
    pub fn new(
        kind: DecodeErrorKind,
        offset: usize,
        expected: impl Into<Cow<'static, str>>,
        line: &[u8],
    ) -> Self {
        let name_end = line.iter().position(|b| *b == b' ').unwrap_or(line.len()).min(32);
        let command = String::from_utf8_lossy(&line[..name_end]).into_owned();
        // The rest of these lines may hold an access token.
        let shown = if command == "USER_IP" { name_end } else { line.len() };
        let excerpt = &line[..shown.min(EXCERPT_BYTES_MAX)];
        Self(Box::new(Details {
            kind,
            offset,
            expected: expected.into(),
            command,
            excerpt: String::from_utf8_lossy(excerpt).into_owned(),
            row: None,
        }))
    }

    /// The same error, with what could be read of the RDATA it was found in.
    #[must_use]
    pub fn with_row(mut self, row: BadRow) -> Self {
        self.0.row = Some(row);
        self
    }

    /// What kind of error it is.
    pub fn kind(&self) -> DecodeErrorKind {
        self.0.kind
    }

    /// Byte offset in the line at which reading stopped.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// What should have stood there, in words.
    pub fn expected(&self) -> &str {
        &self.0.expected
    }

    /// First word of the line, at most 32 bytes.
    pub fn command(&self) -> &str {
        &self.0.command
    }

    /// For an RDATA: which source it belongs to, if that could be read.
    pub fn row(&self) -> Option<&BadRow> {
        self.0.row.as_ref()
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { kind, offset, expected, excerpt, .. } = &*self.0;
        let what = match kind {
            DecodeErrorKind::Blank => "blank line",
            DecodeErrorKind::NotUtf8 => "not UTF-8",
            DecodeErrorKind::UnknownCommand => "unknown command",
            DecodeErrorKind::BadField => "bad field",
            DecodeErrorKind::BadJson => "bad JSON",
        };
        write!(f, "{what} at byte {offset}: expected {expected} in {excerpt:?}")
    }
}
