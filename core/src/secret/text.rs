//! Access tokens in texts of no fixed form: an ERROR that quotes a line, a line that cannot be
//! read, the body of an answer.
//!
//! Such a text cannot be taken apart, so everything behind the first word that announces a token is
//! left out, wherever that word stands.

use std::borrow::Cow;

use super::{REDACTED, cache::takes_tokens};

/// The words behind which an access token may stand: the command that carries a client's address,
/// and the name of the field or function that holds a token.
const WORDS: [&str; 2] = ["USER_IP", "access_token"];

/// Returns the text with everything behind the first word that announces an access token replaced
/// by `<redacted>`. Such words are `USER_IP`, `access_token`, and the name of a function that takes
/// tokens in the place that it has in a row of `caches` or in an `INVALIDATE_CACHE`.
///
/// # Examples
/// ```
/// use synrepl_core::secret::veiled_text;
///
/// let text = "failed to parse line: USER_IP @u:h syt_abc";
/// assert_eq!(veiled_text(text), "failed to parse line: USER_IP <redacted>");
/// assert_eq!(veiled_text("unknown stream"), "unknown stream");
/// ```
pub fn veiled_text(text: &str) -> Cow<'_, str> {
    let words = WORDS.iter().filter_map(|word| text.find(word).map(|at| at + word.len()));
    let end = words.chain(end_of_function(text)).min().unwrap_or(text.len());
    let (shown, hidden) = text.split_at(end);
    // Quotes and brackets that close what is shown hide nothing.
    if hidden.contains(char::is_alphanumeric) {
        Cow::Owned(format!("{shown} {REDACTED}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The end of the first name of a function that takes tokens, if it stands in the place that it has
/// on the wire, with quotes that are escaped or not.
fn end_of_function(text: &str) -> Option<usize> {
    let behind =
        |opening: &'static str| text.match_indices(opening).map(move |(at, _)| at + opening.len());
    let in_row = behind("[").filter_map(|at| {
        let name = text[at..].trim_start().trim_start_matches('\\').strip_prefix('"')?;
        let start = text.len() - name.len();
        let length = name.find(['"', '\\']).unwrap_or(name.len());
        takes_tokens(&name[..length]).then_some(start + length)
    });
    let in_command = behind("INVALIDATE_CACHE ").filter_map(|start| {
        let length = text[start..].find(' ').unwrap_or(text.len() - start);
        takes_tokens(&text[start..start + length]).then_some(start + length)
    });
    in_row.chain(in_command).min()
}

/// The words that end an excerpt.
const EXCERPT_WORDS: [&[u8]; 2] = [b"USER_IP", b"get_user_by_access_token"];

/// Returns the piece of a bad line that an error may keep: up to the first word behind which a
/// token may stand, in any place. A line with a misplaced space or byte is as secret as a good one.
///
/// The words are fewer than those of [`veiled_text`], because errors are part of traces; to show an
/// error, [`veiled_text`] must be applied as well.
pub(crate) fn excerpt(line: &[u8]) -> &[u8] {
    let end_of = |word: &[u8]| {
        line.windows(word.len()).position(|window| window == word).map(|at| at + word.len())
    };
    let end = EXCERPT_WORDS.into_iter().filter_map(end_of).min();
    &line[..end.unwrap_or(line.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_a_word_that_announces_a_token_is_left_out() {
        for (text, shown) in [
            (r#"USER_IP @u:h ["syt_abc","::1"]"#, "USER_IP <redacted>"),
            (r#"Exception(): b'USER_IP @u:h ["syt_abc"]'"#, "Exception(): b'USER_IP <redacted>"),
            ("GET /?access_token=syt_abc HTTP/1.1", "GET /?access_token <redacted>"),
            (r#"{"access_token":"syt_abc"}"#, r#"{"access_token <redacted>"#),
            (
                r#"RDATA caches m 1 ["get_user_by_access_token",["syt_abc"],1]"#,
                r#"RDATA caches m 1 ["get_user_by_access_token <redacted>"#,
            ),
            (
                r#"RDATA caches m 1 [ "token_of",["syt_abc"]"#,
                r#"RDATA caches m 1 [ "token_of <redacted>"#,
            ),
            (
                r#"in "RDATA caches m 1 [\"token_of\",[\"syt_abc""#,
                r#"in "RDATA caches m 1 [\"token_of <redacted>"#,
            ),
            (r#"INVALIDATE_CACHE token_of ["syt_abc"]"#, "INVALIDATE_CACHE token_of <redacted>"),
            ("USER_IP access_token syt_abc", "USER_IP <redacted>"),
        ] {
            assert_eq!(veiled_text(text), shown);
        }
    }

    #[test]
    fn other_texts_are_left_alone() {
        for text in [
            "",
            "expected a token in \"RDATA events w x []\"",
            "bad field at byte 7: expected a user in \"USER_IP\"",
            "the key \"upto_token\" is missing",
            "M_UNKNOWN_TOKEN: Missing access token",
            "it has a row at token [5]",
            "INVALIDATE_CACHE get_user_by_id [\"@token:hs\"]",
            "[\"",
            "INVALIDATE_CACHE ",
        ] {
            assert_eq!(veiled_text(text), text);
        }
    }

    #[test]
    fn an_excerpt_ends_with_the_word_that_announces_a_token() {
        assert_eq!(excerpt(b"\xffUSER_IP\t@u:h syt_abc"), b"\xffUSER_IP");
        assert_eq!(
            excerpt(br#"["get_user_by_access_token",["USER_IP"]]"#),
            br#"["get_user_by_access_token"#
        );
        assert_eq!(excerpt(b"GARBAGE"), b"GARBAGE");
        assert_eq!(excerpt(b""), b"");
    }
}
