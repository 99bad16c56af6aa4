//! By what a row is known again.

use crate::stream::Row;

/// The text by which a row is known again. Old releases write the same row with spaces on a
/// connection and without them in a page (`seen.md`), so it is written anew in one way.
pub(crate) fn identity(row: &Row) -> Row {
    match row.parse::<serde_json::Value>() {
        Ok(value) => Row::from(value.to_string().as_str()),
        // Deeper than is read: its own text, then.
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
