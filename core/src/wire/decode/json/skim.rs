//! A fast check of JSON that accepts nearly all of it, and leaves the rest to `serde_json`.

/// Returns `true` only if `text`, which is UTF-8, is one JSON value, with or without white space
/// around it. Text that `serde_json` refuses is never accepted.
///
/// `false` leaves the question open: it is returned for text that is no JSON, and for JSON that is
/// nested more than 63 deep. The check takes time linear in the length of the text, and no memory.
#[inline]
pub(super) fn is_json(text: &[u8]) -> bool {
    Skim { rest: text }.document().is_some()
}

/// The text that is still to be checked. A method that returns `None` could not accept it.
struct Skim<'a> {
    rest: &'a [u8],
}

/// The arrays (0) and objects (1) that are open, the innermost in the lowest bit. A 1 stands above
/// the outermost.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Open(u64);

impl Open {
    const NONE: Self = Self(1);

    fn push(self, object: bool) -> Option<Self> {
        (self.0 >> 63 == 0).then_some(Self(self.0 << 1 | u64::from(object)))
    }

    const fn pop(self) -> Self {
        Self(self.0 >> 1)
    }

    const fn is_object(self) -> bool {
        self.0 & 1 == 1
    }
}

impl Skim<'_> {
    #[inline]
    fn document(mut self) -> Option<()> {
        let mut open = Open::NONE;
        loop {
            // A value begins here.
            match self.next_visible()? {
                b'"' => self.string()?,
                opening @ (b'[' | b'{') => {
                    let object = opening == b'{';
                    open = open.push(object)?;
                    self.skip_space();
                    let (&first, rest) = self.rest.split_first()?;
                    let closing = if object { b'}' } else { b']' };
                    if first == closing {
                        self.rest = rest;
                        open = open.pop();
                    } else {
                        if object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                b't' => self.literal(b"rue")?,
                b'f' => self.literal(b"alse")?,
                b'n' => self.literal(b"ull")?,
                first => self.number(first)?,
            }
            // A value has ended here; the arrays and objects around it may end, too.
            loop {
                if open == Open::NONE {
                    self.skip_space();
                    return self.rest.is_empty().then_some(());
                }
                match (self.next_visible()?, open.is_object()) {
                    (b',', object) => {
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    (b'}', true) | (b']', false) => open = open.pop(),
                    _ => return None,
                }
            }
        }
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    #[inline]
    fn next_visible(&mut self) -> Option<u8> {
        self.skip_space();
        self.next()
    }

    #[inline]
    fn skip_space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn literal(&mut self, behind_first: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(behind_first)?;
        Some(())
    }

    /// Reads a name and the colon behind it.
    #[inline]
    fn key(&mut self) -> Option<()> {
        if self.next_visible()? != b'"' {
            return None;
        }
        self.string()?;
        (self.next_visible()? == b':').then_some(())
    }

    /// Reads the rest of a string, whose opening quote has been read.
    #[inline]
    fn string(&mut self) -> Option<()> {
        loop {
            self.rest = self.rest.get(plain(self.rest)..)?;
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let (digits, rest) = self.rest.split_at_checked(4)?;
                self.rest = rest;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    /// Reads the rest of a number, whose `first` byte has been read.
    #[inline]
    fn number(&mut self, first: u8) -> Option<()> {
        let first = if first == b'-' { self.next()? } else { first };
        match first {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return None,
        }
        if let [b'.', rest @ ..] = self.rest {
            self.rest = rest;
            self.some_digits()?;
        }
        if let [b'e' | b'E', rest @ ..] = self.rest {
            self.rest = rest;
            if let [b'+' | b'-', rest @ ..] = self.rest {
                self.rest = rest;
            }
            self.some_digits()?;
        }
        Some(())
    }

    #[inline]
    fn digits(&mut self) {
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn some_digits(&mut self) -> Option<()> {
        let before = self.rest.len();
        self.digits();
        (self.rest.len() < before).then_some(())
    }
}

/// Returns the number of bytes before the first quote, backslash or control character, or before
/// the end.
#[inline]
fn plain(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // Each byte that is searched for gets its high bit set. A borrow may set bits behind the
        // first such byte, never before it.
        let quote = word ^ (ONES * 0x22);
        let backslash = word ^ (ONES * 0x5c);
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let found = found & HIGH;
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | ..0x20);
    words.len() * 8 + rest.iter().position(ends).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    fn serde_says(text: &str) -> bool {
        serde_json::from_str::<IgnoredAny>(text).is_ok()
    }

    /// JSON, which the tests edit or cut so that it is nearly JSON.
    fn near_json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("false".to_owned()),
            r"-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
            r#""([a-zäß☃😀 ]|\\[bfnrt/\\"]|\\u[0-9a-fA-F]{4}){0,20}""#,
        ];
        leaf.prop_recursive(6, 60, 6, |inner| {
            let key = r#""[a-z]{0,9}""#;
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6)
                    .prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec((key, inner), 0..4).prop_map(|members| {
                    let members: Vec<_> =
                        members.iter().map(|(key, value)| format!("{key} : {value}")).collect();
                    format!("{{ {} }}", members.join(" ,\n"))
                }),
            ]
        })
    }

    #[test]
    fn it_is_certain_of_everything_that_is_json_and_not_very_deep() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        for text in [
            "[]",
            "{}",
            " [ ] ",
            "\t{\n}\r",
            "0",
            "-0",
            "1.5e-9",
            "\"\"",
            "null",
            r#"["\ud800"]"#,
            r#"["ev",["$a","!b","m.room.member",null,{"k":[true,false,-1.25E+3]}]]"#,
            &deep(63),
        ] {
            assert!(serde_says(text) && is_json(text.as_bytes()), "{text}");
        }
        assert!(serde_says(&deep(64)) && !is_json(deep(64).as_bytes()));
    }

    #[test]
    fn it_is_not_certain_of_what_is_no_json() {
        let texts = r#"[ ] [} {] [1,] [,1] {"a"} {"a":} {1:2} {"a":1,} {,} 01 - +1 .5 1. 1e 1e+
            nul nulll True " "\" "\x" "\u12g4" "\u12" []x NaN 'a' [1]] {"a"1} [1"a"] {"a":1"b":2}"#;
        let with_space = ["", " ", "[1 2]", "\"a\nb\"", "\"\u{1f}\"", "[] []", "\"12345678\0\""];
        for text in texts.split_ascii_whitespace().chain(with_space).chain(["\u{feff}[]"]) {
            assert!(!serde_says(text) && !is_json(text.as_bytes()), "{text:?}");
        }
    }

    proptest! {
        // Miri is some hundred times slower.
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 2_000 }))]

        #[test]
        fn it_agrees_with_serde_json_on_what_is_nearly_json(
            text in near_json(),
            edits in prop::collection::vec(
                (any::<prop::sample::Index>(), prop::sample::select(
                    b"[]{}\",:\\ \n\t0123456789-+.eEtrufalsn\x00\x1f\x20\x7f".as_slice())), 0..3),
        ) {
            let mut text = text;
            for (at, byte) in edits {
                let at = at.index(text.len() + 1);
                if text.is_char_boundary(at) {
                    text.insert(at, char::from(byte));
                }
            }
            prop_assert_eq!(is_json(text.as_bytes()), serde_says(&text));
        }

        #[test]
        fn it_agrees_with_serde_json_on_a_piece_of_json(
            text in near_json(),
            cuts in any::<[prop::sample::Index; 2]>(),
        ) {
            let mut cuts = cuts.map(|cut| cut.index(text.len() + 1));
            cuts.sort_unstable();
            let [from, upto] = cuts.map(|cut| text.floor_char_boundary(cut));
            for piece in [&text[from..], &text[..upto], &text[from..upto]] {
                prop_assert_eq!(is_json(piece.as_bytes()), serde_says(piece));
            }
        }

        #[test]
        fn what_ends_plain_text_is_found_wherever_it_stands(
            text in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | ..0x20);
            prop_assert_eq!(plain(&text), text.iter().position(ends).unwrap_or(text.len()));
        }
    }
}
