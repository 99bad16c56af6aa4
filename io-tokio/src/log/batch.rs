//! Checks that a batch can be carried by the wire, and the form in which a checked one is kept.
//! Rows enter verbatim and come back verbatim; nothing of a refused batch is kept.

use std::fmt;

use synrepl_core::{
    ByteString,
    stream::{Row, Token},
};

use super::AppendError;

/// The longest name of a stream, in bytes. The longest of Synapse's has 23.
pub const STREAM_NAME_BYTES_MAX: usize = 64;

/// The limits of what a log takes. Whatever is beyond them is refused with an [`AppendError`]
/// before anything of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLimits {
    /// Longest row, in bytes. Default 15,872: with names and a token it fits a line of direct TCP.
    pub row_bytes_max: usize,
    /// Most rows of one batch. Default 10,000: what a follower takes together.
    pub batch_rows_max: usize,
    /// Most bytes of the rows of one batch. Default 8 MiB: what a follower takes together.
    pub batch_bytes_max: usize,
    /// Most streams. Default 1,000: what the core publishes.
    pub streams_max: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            row_bytes_max: 15_872,
            batch_rows_max: 10_000,
            batch_bytes_max: 8 << 20,
            streams_max: 1_000,
        }
    }
}

/// A batch that was checked. Its rows are one text, a line each: so they are kept and read
/// together, and keep no buffer alive that they came in.
pub(super) struct Batch {
    pub(super) stream: ByteString,
    pub(super) rows: u32,
    pub(super) text: String,
}

/// Shows no rows, as they may carry access tokens.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Batch {
    /// Checks a batch: the name of its stream, and each of its rows.
    ///
    /// # Errors
    /// [`AppendError`], for the first fault.
    pub(super) fn check(
        stream: &str,
        rows: &[Row],
        limits: &LogLimits,
    ) -> Result<Self, AppendError> {
        check_name(stream)?;
        let LogLimits { row_bytes_max, batch_rows_max, batch_bytes_max, .. } = *limits;
        if rows.is_empty() {
            return Err(AppendError::Empty);
        }
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        if rows.len() > batch_rows_max || count == u32::MAX {
            return Err(AppendError::TooManyRows { rows: rows.len(), rows_max: batch_rows_max });
        }
        let bytes = rows.iter().map(Row::len).sum();
        if bytes > batch_bytes_max {
            return Err(AppendError::TooManyBytes { bytes, bytes_max: batch_bytes_max });
        }
        let mut text = String::with_capacity(bytes + rows.len() - 1);
        for (index, row) in rows.iter().enumerate() {
            if row.len() > row_bytes_max {
                let (bytes, bytes_max) = (row.len(), row_bytes_max);
                return Err(AppendError::RowTooLong { index, bytes, bytes_max });
            }
            check_row(row.as_str()).map_err(|problem| AppendError::Row { index, problem })?;
            if index > 0 {
                text.push('\n');
            }
            text.push_str(row.as_str());
        }
        Ok(Self { stream: ByteString::from(stream), rows: count, text })
    }
}

/// Returns the rows of a batch from its text. They are slices of it.
pub(super) fn rows_of(text: &ByteString) -> impl Iterator<Item = Row> {
    text.split('\n').map(|line| Row::from_text(text.slice_ref(line)))
}

/// Checks a stream name. The wire separates names by spaces and line ends, so it cannot carry these
/// in a name; `ALL` requests every stream in a REPLICATE (`docs/protocol.md` 2.3).
fn check_name(name: &str) -> Result<(), AppendError> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > STREAM_NAME_BYTES_MAX {
        "is longer than 64 bytes"
    } else if name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        "has a space or control character"
    } else if name == "ALL" {
        "means all streams on the wire"
    } else {
        return Ok(());
    };
    Err(AppendError::StreamName { name: name.chars().take(32).collect(), problem })
}

/// Checks that a row is a JSON array on one line. JSON has no raw NUL.
fn check_row(row: &str) -> Result<(), String> {
    if row.contains(['\n', '\r']) {
        return Err("has a line break; a row is one line of JSON".to_owned());
    }
    if !row.starts_with('[') || !row.ends_with(']') {
        return Err("is not a JSON array; it must begin with `[` and end with `]`".to_owned());
    }
    serde_json::from_str::<Vec<serde::de::IgnoredAny>>(row)
        .map(drop)
        .map_err(|error| format!("is not a JSON array: {error}"))
}

/// Returns the token after `last`: the tokens of one stream follow each other without a hole.
pub(super) fn next_token(last: Token) -> Result<Token, AppendError> {
    last.get()
        .checked_add(1)
        .map(Token::new)
        .ok_or_else(|| AppendError::Store { message: "the stream has no tokens left".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stream: &str, rows: &[&str]) -> Result<Batch, AppendError> {
        let rows: Vec<_> = rows.iter().map(|row| Row::from(*row)).collect();
        Batch::check(stream, &rows, &LogLimits::default())
    }

    #[test]
    fn a_batch_is_a_row_a_line_and_its_rows_come_back_verbatim() {
        let rows = [r#"["!r:a",[1, 2]]"#, r#"["\n\u0000é",null]"#, "[]"];
        let batch = check("typing", &rows).unwrap();
        assert_eq!(batch.rows, 3);
        assert_eq!(batch.text.lines().collect::<Vec<_>>(), rows);
        let back: Vec<_> = rows_of(&ByteString::from(batch.text)).collect();
        assert_eq!(back, rows.map(Row::from));
    }

    #[test]
    fn names_that_the_wire_cannot_carry_are_refused() {
        let long = "x".repeat(STREAM_NAME_BYTES_MAX + 1);
        for (name, expected) in [
            ("", "is empty"),
            ("a b", "has a space"),
            ("a\u{a0}b", "has a space"),
            ("a\nb", "has a space"),
            ("a\0b", "has a space or control"),
            ("ALL", "means all streams"),
            (long.as_str(), "is longer than 64"),
        ] {
            let error = check(name, &["[1]"]).unwrap_err();
            assert!(matches!(error, AppendError::StreamName { .. }), "{name:?}: {error}");
            assert!(error.to_string().contains(expected), "{name:?}: {error}");
        }
        assert!(check(&"x".repeat(STREAM_NAME_BYTES_MAX), &["[1]"]).is_ok());
        assert!(check("all", &["[1]"]).is_ok());
    }

    #[test]
    fn rows_that_are_not_one_line_of_a_json_array_are_refused_by_their_index() {
        for bad in [
            "",
            "{}",
            "17",
            "null",
            "\"[]\"",
            "[",
            "[1,]",
            "[1]]",
            "[1] [2]",
            " [1]",
            "[1] ",
            "[\n1]",
            "[1,\r2]",
            "[\"a\nb\"]",
            "[\"a\0b\"]",
            "[\"a\tb\"]",
            "[NaN]",
            "[1",
            "[tru]",
            "[1}, {]",
        ] {
            let error = check("s", &["[1]", bad, "["]).unwrap_err();
            assert!(matches!(error, AppendError::Row { index: 1, .. }), "{bad:?}: {error}");
        }
    }

    #[test]
    fn both_sides_of_each_limit() {
        let limits = LogLimits {
            row_bytes_max: 5,
            batch_rows_max: 3,
            batch_bytes_max: 11,
            ..LogLimits::default()
        };
        let check = |rows: &[&str]| {
            let rows: Vec<_> = rows.iter().map(|row| Row::from(*row)).collect();
            Batch::check("s", &rows, &limits).map(|batch| batch.rows)
        };
        assert_eq!(check(&[]), Err(AppendError::Empty));
        assert_eq!(check(&["[123]"]), Ok(1));
        assert_eq!(
            check(&["[]", "[1234]"]),
            Err(AppendError::RowTooLong { index: 1, bytes: 6, bytes_max: 5 })
        );
        assert_eq!(check(&["[]", "[]", "[]"]), Ok(3));
        assert_eq!(
            check(&["[]", "[]", "[]", "[]"]),
            Err(AppendError::TooManyRows { rows: 4, rows_max: 3 })
        );
        assert_eq!(check(&["[123]", "[12]", "[]"]), Ok(3));
        assert_eq!(
            check(&["[123]", "[12]", "[1]"]),
            Err(AppendError::TooManyBytes { bytes: 12, bytes_max: 11 })
        );
    }

    #[test]
    fn an_error_quotes_no_row() {
        let secret = "syt_secret";
        for row in [format!("[\"{secret}\""), format!("\"{secret}\""), format!("[{secret}]")] {
            let error = check("s", &[&row]).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(secret), "{error}");
        }
    }
}
