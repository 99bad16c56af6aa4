//! Access tokens in the keys of cached functions.
//!
//! `caches` and `INVALIDATE_CACHE` name entries by function and keys (`protocol.md` 7.4). The keys
//! of `get_user_by_access_token` are access tokens, and so may be those of every function whose
//! name contains `token`.

use std::borrow::Cow;

/// Returns the text of a row as it may be shown: if its first element names a function that takes
/// tokens, every string behind it is replaced by as many hexadecimal digits as it has bytes. Equal
/// rows stay equal, different ones different, and a limit in bytes is reached neither sooner nor
/// later.
pub fn veiled_row(text: &str) -> Cow<'_, str> {
    match keys_of_token_function(text) {
        Some(keys) => Cow::Owned(format!("{}{}", &text[..keys], veiled(&text[keys..]))),
        None => Cow::Borrowed(text),
    }
}

/// Returns the keys of a cached function, which are JSON, as they may be shown: if the function
/// takes tokens, every string is replaced as by [`veiled_row`].
pub fn veiled_keys<'k>(function: &str, keys: &'k str) -> Cow<'k, str> {
    if takes_tokens(function) { Cow::Owned(veiled(keys)) } else { Cow::Borrowed(keys) }
}

/// Returns whether [`veiled_row`] replaces anything in a row.
pub(crate) fn holds_tokens(row: &str) -> bool {
    keys_of_token_function(row).is_some()
}

/// Returns whether the keys of this cached function count as access tokens.
pub(crate) fn takes_tokens(function: &str) -> bool {
    function.contains("token")
}

/// Returns whether rows of this stream may hold access tokens. An error about such a row keeps none
/// of its text, because a row of a wrong shape may have its tokens anywhere.
pub(crate) fn rows_may_hold_tokens(stream: &str) -> bool {
    stream == "caches"
}

/// The place behind the name of a function that takes tokens; `None` if the row names no such
/// function.
fn keys_of_token_function(text: &str) -> Option<usize> {
    let inner = text.trim_start().strip_prefix('[')?.trim_start().strip_prefix('"')?;
    let name = &inner[..inner.find('"')?];
    takes_tokens(name).then(|| text.len() - inner.len() + name.len() + 1)
}

fn veiled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('"') {
        let (before, string) = rest.split_at(start + 1);
        let end = end_of_string(string);
        out.push_str(before);
        veil(&string[..end], &mut out);
        rest = &string[end..];
        if let Some(behind) = rest.strip_prefix('"') {
            out.push('"');
            rest = behind;
        }
    }
    out.push_str(rest);
    out
}

/// The place at which a JSON string without its opening quote ends.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return at,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// Appends as many hexadecimal digits as `text` has bytes, made of a hash of it. The hash is
/// FNV-1a, because a trace must be the same in every build.
fn veil(text: &str, out: &mut String) {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    for _ in 0..text.len() {
        out.push(char::from(b"0123456789abcdef"[(hash >> 60) as usize]));
        hash = step(hash.rotate_left(11), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_functions_that_take_tokens_are_replaced_by_as_many_characters() {
        let text = r#"["get_user_by_access_token",["syt_abc","a\"b"],1700]"#;
        let shown = veiled_row(text);
        assert_eq!(shown.len(), text.len());
        assert!(shown.starts_with(r#"["get_user_by_access_token",[""#), "{shown}");
        assert!(shown.ends_with("],1700]"), "{shown}");
        assert!(!shown.contains("syt_abc") && !shown.contains(r#"a\"b"#), "{shown}");
        serde_json::from_str::<serde_json::Value>(&shown).expect("is JSON as before");
    }

    #[test]
    fn a_key_that_has_no_end_is_replaced_too() {
        let shown = veiled_row(r#"["get_user_by_access_token",["syt_abc\""#);
        assert!(shown.starts_with(r#"["get_user_by_access_token",[""#), "{shown}");
        assert!(!shown.contains("syt_abc"), "{shown}");
    }

    #[test]
    fn equal_keys_stay_equal_and_different_ones_different() {
        let row = |key: &str| veiled_row(&format!(r#"["token_of",["{key}"],1]"#)).into_owned();
        assert_eq!(row("aaaa"), row("aaaa"));
        assert_ne!(row("aaaa"), row("aaab"));
    }

    #[test]
    fn keys_are_replaced_as_the_function_says() {
        let keys = r#"["syt_abc",7]"#;
        let shown = veiled_keys("get_user_by_access_token", keys);
        assert_eq!(shown.len(), keys.len());
        assert!(!shown.contains("syt_abc") && shown.ends_with(r#"",7]"#), "{shown}");
        assert_eq!(veiled_keys("get_user_by_id", keys), keys);
    }

    #[test]
    fn other_rows_are_left_alone() {
        for text in
            [r#"["get_user_by_id",["@u:hs"],1]"#, "[]", "", "[\"token", "17", "[1,\"token\"]"]
        {
            assert_eq!(veiled_row(text), text);
            assert!(!holds_tokens(text));
        }
    }
}
