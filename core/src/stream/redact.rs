//! Rows that carry access tokens, for showing.
//!
//! `caches` names its entries by function and keys (`protocol.md` 7.4), and the keys of
//! `get_user_by_access_token` and its like are what their names say.

use std::borrow::Cow;

/// The row's text with every string behind the function's name replaced, if that name speaks of
/// tokens. Each is replaced by characters that are drawn from it, as many as before: equal rows
/// stay equal, different ones different, and no limit in bytes is reached sooner or later.
pub(crate) fn redacted(text: &str) -> Cow<'_, str> {
    match keys_of_token_function(text) {
        Some(keys) => Cow::Owned(format!("{}{}", &text[..keys], veiled(&text[keys..]))),
        None => Cow::Borrowed(text),
    }
}

/// Whether there is anything to redact.
pub(crate) fn is_secret(text: &str) -> bool {
    keys_of_token_function(text).is_some()
}

/// Whether the keys of this cached function are access tokens.
pub(crate) fn takes_tokens(function: &str) -> bool {
    function.contains("token")
}

/// Where the text goes on behind the name of a function that takes tokens.
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

/// Where a JSON string ends, its opening quote being cut off.
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

/// Hexadecimal digits of a hash of `text`, for as long as `text` is. FNV-1a: what is written to a
/// trace must be the same in every build.
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
        let shown = redacted(text);
        assert_eq!(shown.len(), text.len());
        assert!(shown.starts_with(r#"["get_user_by_access_token",[""#), "{shown}");
        assert!(shown.ends_with("],1700]"), "{shown}");
        assert!(!shown.contains("syt_abc") && !shown.contains(r#"a\"b"#), "{shown}");
        serde_json::from_str::<serde_json::Value>(&shown).expect("is JSON as before");
    }

    #[test]
    fn a_key_that_has_no_end_is_replaced_too() {
        let shown = redacted(r#"["get_user_by_access_token",["syt_abc\""#);
        assert!(shown.starts_with(r#"["get_user_by_access_token",[""#), "{shown}");
        assert!(!shown.contains("syt_abc"), "{shown}");
    }

    #[test]
    fn equal_keys_stay_equal_and_different_ones_different() {
        let row = |key: &str| redacted(&format!(r#"["token_of",["{key}"],1]"#)).into_owned();
        assert_eq!(row("aaaa"), row("aaaa"));
        assert_ne!(row("aaaa"), row("aaab"));
    }

    #[test]
    fn other_rows_are_left_alone() {
        for text in
            [r#"["get_user_by_id",["@u:hs"],1]"#, "[]", "", "[\"token", "17", "[1,\"token\"]"]
        {
            assert_eq!(redacted(text), text);
            assert!(!is_secret(text));
        }
    }
}
