//! JSON strings to text: borrowed where nothing is escaped, and readable whatever is escaped.

use std::borrow::Cow;

/// Returns the text of a JSON string, which is passed with its quotes; `None` if it is no string.
///
/// An escape of a surrogate without its other half becomes U+FFFD, so that one such character never
/// makes a whole row unreadable: Python writes and reads them, though they are no Unicode text. The
/// row's own text keeps them.
pub(super) fn decode(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    let Some((plain, escaped)) = inner.split_once('\\') else {
        return Some(Cow::Borrowed(inner));
    };
    let mut text = String::with_capacity(inner.len());
    text.push_str(plain);
    let mut rest = unescape(escaped, &mut text);
    while let Some((plain, escaped)) = rest.split_once('\\') {
        text.push_str(plain);
        rest = unescape(escaped, &mut text);
    }
    text.push_str(rest);
    Some(Cow::Owned(text))
}

/// Decodes one escape, from behind its backslash on, and returns the rest behind it.
fn unescape<'a>(escaped: &'a str, text: &mut String) -> &'a str {
    let mut chars = escaped.chars();
    let decoded = match chars.next() {
        Some('n') => '\n',
        Some('t') => '\t',
        Some('r') => '\r',
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('u') => return unescape_unicode(chars.as_str(), text),
        // `"`, `\` and `/` stand for themselves, and JSON has no other escape.
        Some(other) => other,
        None => char::REPLACEMENT_CHARACTER,
    };
    text.push(decoded);
    chars.as_str()
}

/// Decodes the digits behind `\u`, and the second half of a pair if it follows; returns the rest.
fn unescape_unicode<'a>(digits: &'a str, text: &mut String) -> &'a str {
    let Some((first, rest)) = code_unit(digits) else {
        text.push(char::REPLACEMENT_CHARACTER);
        return digits;
    };
    if let Some((second, behind)) = rest.strip_prefix("\\u").and_then(code_unit)
        && let Some(Ok(paired)) = char::decode_utf16([first, second]).next()
        && paired.len_utf16() == 2
    {
        text.push(paired);
        return behind;
    }
    text.push(char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER));
    rest
}

fn code_unit(digits: &str) -> Option<(u16, &str)> {
    let (hex, rest) = digits.split_at_checked(4)?;
    Some((u16::from_str_radix(hex, 16).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(json: &str) -> String {
        decode(json).unwrap().into_owned()
    }

    #[test]
    fn text_without_escapes_is_borrowed() {
        assert!(matches!(decode("\"@u:h \u{2603}\""), Some(Cow::Borrowed("@u:h \u{2603}"))));
        assert!(matches!(decode(r#""""#), Some(Cow::Borrowed(""))));
    }

    #[test]
    fn every_escape_of_json_is_read() {
        assert_eq!(decoded(r#""\"\\\/\b\f\n\r\t\u2603\u0000""#), "\"\\/\u{8}\u{c}\n\r\t\u{2603}\0");
    }

    #[test]
    fn surrogate_pairs_make_one_character() {
        assert_eq!(decoded(r#""a\ud83d\ude00b""#), "a\u{1f600}b");
    }

    #[test]
    fn lone_surrogates_become_replacement_characters() {
        assert_eq!(decoded(r#""a\ud83db""#), "a\u{fffd}b");
        assert_eq!(decoded(r#""\ude00\ud83d""#), "\u{fffd}\u{fffd}");
        assert_eq!(decoded(r#""\ud83d\ud83d\ude00""#), "\u{fffd}\u{1f600}");
        assert_eq!(decoded(r#""\ud83d\u0041""#), "\u{fffd}A");
        assert_eq!(decoded(r#""\ud83d\n""#), "\u{fffd}\n");
    }

    #[test]
    fn other_values_are_not_text() {
        for json in ["null", "1", "[]", "{}", "\"", ""] {
            assert_eq!(decode(json), None, "{json}");
        }
    }

    proptest! {
        #[test]
        fn strings_are_read_as_serde_json_reads_them(text in any::<String>(), ascii: bool) {
            let mut json = serde_json::to_string(&text).unwrap();
            if ascii {
                json = json
                    .chars()
                    .map(|c| if c.is_ascii() { c.to_string() } else { escaped(c) })
                    .collect();
            }
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), decoded(&json));
            prop_assert_eq!(text, decoded(&json));
        }

        #[test]
        fn nothing_between_quotes_panics(inner in r#"(\\|\\u|[0-9a-fA-F]|"|.){0,20}"#) {
            let json = format!("\"{inner}\"");
            prop_assert!(decode(&json).is_some());
        }
    }

    fn escaped(c: char) -> String {
        c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
    }
}
