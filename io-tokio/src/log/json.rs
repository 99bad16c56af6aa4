//! Batches as JSON objects. A text from outside enters; the rows of one append leave, verbatim, or
//! an error about the form.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use synrepl_core::{ByteString, stream::Row};
use thiserror::Error;

/// The longest message of the JSON reader that is kept, in characters: it may quote the text.
const MESSAGE_CHARS_MAX: usize = 200;

/// The rows of one append, read from `{"stream":"s","rows":[[...],[...]]}`.
///
/// Whether the name and the rows can be kept is checked by the log, not here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonBatch {
    /// The name of the stream, as given.
    pub stream: ByteString,
    /// The rows in order, each the JSON text that was given, on one line.
    pub rows: Vec<Row>,
}

/// The reason why a text is not a batch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JsonBatchError {
    /// The text is not UTF-8.
    #[error("not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// The offset of the first byte that is not, counted from 0.
        offset: usize,
    },
    /// The text is not one JSON object with these two keys.
    #[error("not of the form {{\"stream\":\"NAME\",\"rows\":[[...],...]}}: {message}")]
    Form {
        /// The error of the JSON reader, with the place; at most 200 characters. It may quote the
        /// text.
        message: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form<'a> {
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    rows: Vec<&'a RawValue>,
}

impl JsonBatch {
    /// Reads one batch. Its rows are slices of `text` and keep it alive; only a row that spans
    /// lines is copied, its line breaks made spaces.
    ///
    /// # Errors
    /// [`JsonBatchError`] for a text that is not such an object, or has other keys as well.
    ///
    /// # Examples
    /// ```
    /// use synrepl::log::JsonBatch;
    ///
    /// let text = br#"{"stream":"typing","rows":[["!r:x",["@u:x"]]]}"#;
    /// let batch = JsonBatch::from_json(&text.to_vec().into())?;
    /// assert_eq!(batch.stream, "typing");
    /// assert_eq!(batch.rows[0].as_str(), r#"["!r:x",["@u:x"]]"#);
    /// # Ok::<(), synrepl::log::JsonBatchError>(())
    /// ```
    pub fn from_json(text: &Bytes) -> Result<Self, JsonBatchError> {
        let text = ByteString::try_from(text.clone())
            .map_err(|error| JsonBatchError::NotUtf8 { offset: error.valid_up_to() })?;
        let form: Form<'_> = serde_json::from_str(&text).map_err(|error| JsonBatchError::Form {
            message: error.to_string().chars().take(MESSAGE_CHARS_MAX).collect(),
        })?;
        let rows = form.rows.into_iter().map(|row| on_one_line(&text, row.get())).collect();
        Ok(Self { stream: ByteString::from(&*form.stream), rows })
    }
}

/// Puts a row on one line. In JSON a line break can only be white space between tokens.
fn on_one_line(text: &ByteString, row: &str) -> Row {
    if row.contains(['\n', '\r']) {
        Row::from_text(ByteString::from(row.replace(['\n', '\r'], " ")))
    } else {
        Row::from_text(text.slice_ref(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<JsonBatch, JsonBatchError> {
        JsonBatch::from_json(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn rows_are_verbatim_and_the_order_of_keys_is_free() {
        let batch = read(r#" {"rows" : [["a", 1.0] , {"b":"\ud800"},2], "stream":"t\u0079ping"} "#);
        let rows = [r#"["a", 1.0]"#, r#"{"b":"\ud800"}"#, "2"].map(Row::from).to_vec();
        assert_eq!(batch, Ok(JsonBatch { stream: "typing".into(), rows }));
    }

    #[test]
    fn a_row_that_spans_lines_is_put_on_one() {
        let batch = read("{\"stream\":\"s\",\"rows\":[[1,\r\n\"a\\nb\"\n]]}").unwrap();
        assert_eq!(batch.rows, [Row::from(r#"[1,  "a\nb" ]"#)]);
    }

    #[test]
    fn what_is_no_batch_is_refused_with_what_it_should_be() {
        for text in [
            "",
            "x",
            "[]",
            "null",
            "{}",
            r#"{"stream":"s"}"#,
            r#"{"rows":[]}"#,
            r#"{"stream":5,"rows":[]}"#,
            r#"{"stream":"s","rows":{}}"#,
            r#"{"stream":"s","rows":[1,]}"#,
            r#"{"stream":"s","rows":[],"token":1}"#,
            r#"{"stream":"s","stream":"t","rows":[]}"#,
            r#"{"stream":"s","rows":[]}{}"#,
            r#"{"stream":"s","rows":[]"#,
            &format!("{:?}", "x".repeat(1 << 20)),
        ] {
            let error = read(text).unwrap_err();
            assert!(matches!(error, JsonBatchError::Form { .. }), "{text:.99}: {error:?}");
            let told = error.to_string();
            assert!(told.contains(r#"{"stream":"NAME","rows":[[...],...]}"#), "{told}");
            assert!(told.len() < 300, "{told}");
        }
        let bytes = Bytes::from_static(b"{\"stream\":\"\xff\"");
        assert_eq!(JsonBatch::from_json(&bytes), Err(JsonBatchError::NotUtf8 { offset: 11 }));
    }

    #[test]
    fn deep_nesting_is_read_without_a_deep_stack() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let batch = read(&format!(r#"{{"stream":"s","rows":[{deep}]}}"#)).unwrap();
        assert_eq!(batch.rows[0].len(), 200_000);
    }
}
