//! The form in which a row is known again.

use crate::stream::Row;

/// Returns the text by which a row is known again. Old releases write the same row with spaces on a
/// connection and without them in a page (`seen.md`), so the value is written anew in one form.
pub(crate) fn identity(row: &Row) -> Row {
    match row.parse::<serde_json::Value>() {
        Ok(value) => Row::from(value.to_string().as_str()),
        // The value is nested too deeply to be read: the row's own text has to do.
        Err(_) => row.detached(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Row {
        Row::from(text)
    }

    #[test]
    fn a_row_is_known_again_by_its_value_or_if_that_is_too_deep_by_its_text() {
        assert_eq!(identity(&row("[1, {}]")), row("[1,{}]"));
        let deep = |inner: &str| row(&format!("{}{inner}{}", "[".repeat(200), "]".repeat(200)));
        assert_eq!(identity(&deep("1, 2")), deep("1, 2"));
        assert_ne!(identity(&deep("1, 2")), identity(&deep("1,2")));
    }
}
