//! JSON strings as Python's `json` module writes them: ASCII, everything else as `\uXXXX`.

use bytes::{BufMut as _, BytesMut};

/// Appends an array of strings, but for its closing bracket.
pub(super) fn strings(texts: &[&str], out: &mut BytesMut) {
    for (index, text) in texts.iter().enumerate() {
        out.put_u8(if index == 0 { b'[' } else { b',' });
        string(text, out);
    }
}

/// Appends one string with its quotes.
pub(super) fn string(text: &str, out: &mut BytesMut) {
    out.put_u8(b'"');
    for character in text.chars() {
        match character {
            '"' => out.put_slice(b"\\\""),
            '\\' => out.put_slice(b"\\\\"),
            '\n' => out.put_slice(b"\\n"),
            '\r' => out.put_slice(b"\\r"),
            '\t' => out.put_slice(b"\\t"),
            '\u{8}' => out.put_slice(b"\\b"),
            '\u{c}' => out.put_slice(b"\\f"),
            ' '..='~' => out.put_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    escape(*unit, out);
                }
            }
        }
    }
    out.put_u8(b'"');
}

fn escape(unit: u16, out: &mut BytesMut) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.put_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.put_u8(HEX[usize::from(unit >> shift & 0xf)]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = BytesMut::new();
        string(text, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn strings_are_written_as_python_writes_them() {
        assert_eq!(
            written("a\"\\/\n\r\t\u{8}\u{c}\0\u{1f}\u{7f} ~\u{e9}\u{2603}\u{1f600}"),
            r#""a\"\\/\n\r\t\b\f\u0000\u001f\u007f ~\u00e9\u2603\ud83d\ude00""#
        );
    }

    proptest! {
        #[test]
        fn every_string_is_read_back(text in any::<String>()) {
            let json = written(&text);
            prop_assert!(json.is_ascii());
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
