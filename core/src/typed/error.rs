//! Errors about rows that do not have the shape of their stream: the element, what was expected
//! and what was found.

use std::fmt;

use thiserror::Error;

use crate::{printable::Printable, secret::rows_may_hold_tokens};

/// The longest piece of a row that an error keeps, in bytes.
const EXCERPT_BYTES_MAX: usize = 60;

/// The row does not have the shape of its stream in any release.
///
/// `Display` names the stream, the place of the first wrong element, what was expected there and
/// what was found. The row itself is unchanged: it can be handed on verbatim, or reported.
///
/// Excerpts are at most 60 bytes. Rows of `caches` may hold access tokens, so for them only the
/// JSON type is named, never the content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
#[error(
    "{stream} row: expected {expected} {}, found {}", Place(.path), Printable::foreign(.found)
)]
pub struct RowError {
    stream: &'static str,
    path: Vec<Step>,
    expected: &'static str,
    found: Box<str>,
}

/// One step from a row down to an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Index(usize),
    Key(&'static str),
}

impl RowError {
    pub(super) fn new(stream: &'static str, mismatch: Mismatch<'_>) -> Self {
        let Mismatch { mut path, expected, found } = mismatch;
        path.reverse();
        let found = match found {
            None => "nothing".into(),
            Some(text) if rows_may_hold_tokens(stream) => json_type(text).into(),
            Some(text) => format!("{} {}", json_type(text), excerpt(text)).into_boxed_str(),
        };
        Self { stream, path, expected, found }
    }

    /// Returns the name of the stream whose shape the row should have had.
    pub fn stream(&self) -> &'static str {
        self.stream
    }

    /// Returns the index of the row's element that is wrong, or in which the wrong one lies; 0 is
    /// the first. `None` if the row as a whole is not a JSON array.
    pub fn index(&self) -> Option<usize> {
        match self.path.first() {
            Some(Step::Index(index)) => Some(*index),
            Some(Step::Key(_)) | None => None,
        }
    }

    /// Returns the shape that was expected there, in words.
    pub fn expected(&self) -> &'static str {
        self.expected
    }

    /// Returns the JSON type and the beginning of the text that was found, or `nothing`. The text
    /// is verbatim.
    pub fn found(&self) -> &str {
        &self.found
    }
}

/// The path in the notation of people: `at [1].state.user_id`.
struct Place<'a>(&'a [Step]);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("as the row");
        }
        f.write_str("at ")?;
        self.0.iter().try_for_each(|step| match step {
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, ".{key}"),
        })
    }
}

/// A [`RowError`] in the making: neither the stream nor the outer steps are known yet.
#[derive(Debug)]
#[expect(unnameable_types, reason = "seals the trait of the row types")]
pub struct Mismatch<'a> {
    /// The steps, innermost first.
    path: Vec<Step>,
    expected: &'static str,
    /// The text that was found, JSON or not; `None` if there is no element.
    found: Option<&'a str>,
}

impl<'a> Mismatch<'a> {
    pub(super) fn new(expected: &'static str, found: Option<&'a str>) -> Self {
        Self { path: Vec::new(), expected, found }
    }

    /// Returns the same mismatch as seen from one level further out.
    pub(super) fn within(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }
}

fn json_type(text: &str) -> &'static str {
    match text.bytes().next() {
        Some(b'"') => "string",
        Some(b'-' | b'0'..=b'9') => "number",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        Some(b'[') => "array",
        Some(b'{') => "object",
        Some(_) | None => "text",
    }
}

fn excerpt(text: &str) -> &str {
    &text[..text.floor_char_boundary(EXCERPT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_where_what_and_what_instead() {
        let mismatch = Mismatch::new("a string", Some("17"))
            .within(Step::Key("user_id"))
            .within(Step::Key("state"))
            .within(Step::Index(1));
        let error = RowError::new("federation", mismatch);
        assert_eq!(
            error.to_string(),
            "federation row: expected a string at [1].state.user_id, found number 17"
        );
        assert_eq!(error.index(), Some(1));
        assert_eq!(error.stream(), "federation");
        assert_eq!(error.expected(), "a string");
        assert_eq!(error.found(), "number 17");
    }

    #[test]
    fn excerpts_are_cut_between_characters() {
        let long = format!("\"{}", "\u{2603}".repeat(100));
        let error = RowError::new("typing", Mismatch::new("an array", Some(&long)));
        assert_eq!(error.found(), format!("string \"{}", "\u{2603}".repeat(19)));
        assert_eq!(error.index(), None);
    }

    #[test]
    fn the_content_of_caches_rows_is_never_shown() {
        let mismatch = Mismatch::new("an array or null", Some("\"syt_token\""));
        let error = RowError::new("caches", mismatch.within(Step::Index(1)));
        assert_eq!(error.to_string(), "caches row: expected an array or null at [1], found string");
        assert!(!format!("{error:?}").contains("syt_"));
    }
}
