//! Pages of a catch-up, as the HTTP call gives them (`protocol.md` 6.1).
//!
//! The body of an answer enters, a [`Page`] or a [`PageError`] leaves (promise C2). Only the form
//! is checked here; the follower checks that the page answers its request.

use std::{cell::Cell, fmt};

use bytes::{BufMut as _, Bytes, BytesMut};
use bytestring::ByteString;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use thiserror::Error;

use super::integer::{self, BadInteger};
use crate::{
    printable::Printable,
    stream::{Page, Row, Token},
};

/// The body of an answer is not a page. `Display` shows the text that it quotes of the body
/// escaped, cut and without access tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum PageError {
    /// The body is not UTF-8 from this byte on.
    #[error("not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// The offset in the body, in bytes.
        offset: usize,
    },
    /// The body is not one JSON object, or one of its values has another type than it should.
    #[error("not a page of JSON: {}", Printable::foreign(.message))]
    Json {
        /// The error of the JSON reader, with the place. It may quote the body.
        message: String,
    },
    /// A key is missing.
    #[error("the key {key:?} is missing")]
    Missing {
        /// The missing key.
        key: &'static str,
    },
    /// The page's own token is not an integer.
    #[error("`upto_token` is not an integer")]
    UptoNotInteger,
    /// The page's own token is beyond 64 bits.
    #[error("`upto_token` is beyond 64 bits")]
    UptoOutOfRange,
    /// An entry of `updates` is not a pair of a token and a row.
    #[error("entry {index} of `updates` is not a pair of a token and a row")]
    UpdateNotPair {
        /// The index of the entry, counted from 0.
        index: usize,
    },
    /// The token of an entry is not an integer.
    #[error("the token of entry {index} of `updates` is not an integer")]
    TokenNotInteger {
        /// The index of the entry, counted from 0.
        index: usize,
    },
    /// The token of an entry is beyond 64 bits.
    #[error("the token of entry {index} of `updates` is beyond 64 bits")]
    TokenOutOfRange {
        /// The index of the entry, counted from 0.
        index: usize,
    },
}

/// The longest message of the JSON reader that is kept, in characters: it may quote the body.
const MESSAGE_CHARS_MAX: usize = 200;

/// Decodes the body of an answer. Rows are slices of it, verbatim, and keep it alive.
///
/// Unknown keys are skipped. The rules of pages (rows within the requested span, a token that
/// moves) are not checked here. Memory stays within eight times the length of the body.
///
/// # Errors
/// [`PageError`] names what is missing or has the wrong form, and the entry.
///
/// # Examples
/// ```
/// use bytes::Bytes;
/// use synrepl_core::{stream::Token, wire::decode_page};
///
/// let body = Bytes::from_static(br#"{"updates":[[7,["!r",[]]]],"upto_token":9,"limited":false}"#);
/// let page = decode_page(&body)?;
/// assert_eq!(page.updates[0].0, Token::new(7));
/// assert_eq!(page.updates[0].1.as_str(), r#"["!r",[]]"#);
/// # Ok::<(), synrepl_core::wire::PageError>(())
/// ```
pub fn decode_page(body: &Bytes) -> Result<Page, PageError> {
    let body = ByteString::try_from(body.clone())
        .map_err(|error| PageError::NotUtf8 { offset: error.valid_up_to() })?;
    let found = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_str(&body);
    let fields = Fields { body: &body, found: &found };
    let read = reader.deserialize_map(fields).and_then(|page| reader.end().map(|()| page));
    read.map_err(|error| {
        found.take().unwrap_or_else(|| PageError::Json {
            message: error.to_string().chars().take(MESSAGE_CHARS_MAX).collect(),
        })
    })
}

/// Appends a page as the body of an answer, with its rows verbatim.
pub fn encode_page(page: &Page, out: &mut BytesMut) {
    out.put_slice(b"{\"updates\":[");
    for (index, (token, row)) in page.updates.iter().enumerate() {
        out.put_slice(if index == 0 { b"[" } else { b",[" });
        integer::append(token.get(), out);
        out.put_u8(b',');
        out.put_slice(row.as_str().as_bytes());
        out.put_u8(b']');
    }
    out.put_slice(b"],\"upto_token\":");
    integer::append(page.upto.get(), out);
    out.put_slice(b",\"limited\":");
    out.put_slice(if page.limited { b"true}" } else { b"false}" });
}

/// Reads the object. A [`PageError`] goes into `found` and ends the reading with an error of
/// `serde_json`, which cannot carry it.
#[derive(Clone, Copy)]
struct Fields<'a> {
    body: &'a ByteString,
    found: &'a Cell<Option<PageError>>,
}

impl Fields<'_> {
    #[cold]
    fn fail<E: serde::de::Error>(self, fault: PageError) -> E {
        self.found.set(Some(fault));
        E::custom("not a page")
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Page;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `updates`, `upto_token` and `limited`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Page, A::Error> {
        let (mut updates, mut upto, mut limited) = (None, None, None);
        while let Some(key) = map.next_key()? {
            match key {
                Key::Updates => updates = Some(map.next_value_seed(Updates(self))?),
                Key::Upto => {
                    let number: &RawValue = map.next_value()?;
                    let token = integer::parse(number.get().as_bytes()).map_err(|bad| {
                        self.fail(match bad {
                            BadInteger::NotDecimal => PageError::UptoNotInteger,
                            BadInteger::OutOfRange => PageError::UptoOutOfRange,
                        })
                    })?;
                    upto = Some(Token::new(token));
                }
                Key::Limited => limited = Some(map.next_value()?),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let missing = |key| self.fail(PageError::Missing { key });
        Ok(Page {
            updates: updates.ok_or_else(|| missing("updates"))?,
            upto: upto.ok_or_else(|| missing("upto_token"))?,
            limited: limited.ok_or_else(|| missing("limited"))?,
        })
    }
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Key {
    #[serde(rename = "updates")]
    Updates,
    #[serde(rename = "upto_token")]
    Upto,
    #[serde(rename = "limited")]
    Limited,
    #[serde(other)]
    Other,
}

/// Reads the array of updates.
struct Updates<'a>(Fields<'a>);

impl<'de> DeserializeSeed<'de> for Updates<'_> {
    type Value = Vec<(Token, Row)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Updates<'_> {
    type Value = Vec<(Token, Row)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of pairs of a token and a row")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut updates = Vec::new();
        loop {
            let pair = Pair { fields: self.0, index: updates.len() };
            match seq.next_element_seed(pair)? {
                Some(update) => updates.push(update),
                None => return Ok(updates),
            }
        }
    }
}

/// Reads one update.
struct Pair<'a> {
    fields: Fields<'a>,
    index: usize,
}

impl<'de> DeserializeSeed<'de> for Pair<'_> {
    type Value = (Token, Row);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let Self { fields, index } = self;
        let text = <&RawValue>::deserialize(deserializer)?.get();
        let not_pair = || fields.fail(PageError::UpdateNotPair { index });
        let (token, row): (&RawValue, &RawValue) =
            serde_json::from_str(text).map_err(|_| not_pair())?;
        let token = integer::parse(token.get().as_bytes()).map_err(|bad| {
            fields.fail(match bad {
                BadInteger::NotDecimal => PageError::TokenNotInteger { index },
                BadInteger::OutOfRange => PageError::TokenOutOfRange { index },
            })
        })?;
        Ok((Token::new(token), Row::from_text(fields.body.slice_ref(row.get()))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(body: &str) -> Result<Page, PageError> {
        decode_page(&Bytes::copy_from_slice(body.as_bytes()))
    }

    fn with_updates(updates: &str) -> Result<Page, PageError> {
        decode(&format!(r#"{{"updates":{updates},"upto_token":9,"limited":false}}"#))
    }

    #[test]
    fn a_page_is_read_with_its_rows_verbatim() {
        let body = r#" {"limited": true, "more": [{"x": 1}], "upto_token": -9,
            "updates": [[7, ["ev", ["$a", null]]], [ 7 , {"a" :"\ud800"}], [8,1]]} "#;
        let row = |token, text| (Token::new(token), Row::from(text));
        let expected = Page {
            updates: vec![
                row(7, r#"["ev", ["$a", null]]"#),
                row(7, r#"{"a" :"\ud800"}"#),
                row(8, "1"),
            ],
            upto: Token::new(-9),
            limited: true,
        };
        assert_eq!(decode(body), Ok(expected));
        assert_eq!(with_updates("[]").map(|page| page.updates), Ok(vec![]));
    }

    #[test]
    fn rows_are_slices_of_the_body() {
        let body =
            Bytes::from(br#"{"updates":[[1,["a"]]],"upto_token":9,"limited":false}"#.to_vec());
        let page = decode_page(&body).unwrap();
        assert!(body.as_ptr_range().contains(&page.updates[0].1.as_str().as_ptr()));
    }

    #[test]
    fn what_is_wrong_with_a_page_is_said() {
        let ok = "[[1,[]],";
        for entry in ["[]", "[1]", "[1,[],2]", "{}", "1", "null", "\"x\""] {
            let expected = Err(PageError::UpdateNotPair { index: 1 });
            assert_eq!(with_updates(&format!("{ok}{entry}]")), expected, "{entry}");
        }
        for token in ["1.0", "1e3", "\"1\"", "null", "true", "[]"] {
            let expected = Err(PageError::TokenNotInteger { index: 1 });
            assert_eq!(with_updates(&format!("{ok}[{token},[]]]")), expected, "{token}");
            let page = format!(r#"{{"updates":[],"upto_token":{token},"limited":false}}"#);
            assert_eq!(decode(&page), Err(PageError::UptoNotInteger), "{token}");
        }
        let beyond = "9223372036854775808";
        assert_eq!(
            with_updates(&format!("{ok}[{beyond},[]]]")),
            Err(PageError::TokenOutOfRange { index: 1 })
        );
        assert_eq!(
            decode(&format!(r#"{{"updates":[],"upto_token":{beyond},"limited":false}}"#)),
            Err(PageError::UptoOutOfRange)
        );
        for (key, body) in [
            ("updates", r#"{"upto_token":9,"limited":false}"#),
            ("upto_token", r#"{"updates":[],"limited":false}"#),
            ("limited", r#"{"updates":[],"upto_token":9}"#),
        ] {
            assert_eq!(decode(body), Err(PageError::Missing { key }));
        }
        assert_eq!(
            decode_page(&Bytes::from_static(b"{\xff")),
            Err(PageError::NotUtf8 { offset: 1 })
        );
        for body in [
            "",
            "[]",
            "null",
            r#"{"updates":{},"upto_token":9,"limited":false}"#,
            r#"{"updates":null,"upto_token":9,"limited":false}"#,
            r#"{"updates":[],"upto_token":9,"limited":0}"#,
            r#"{"updates":[],"upto_token":9,"limited":false}x"#,
            r#"{"updates":[[1,[}]],"upto_token":9,"limited":false}"#,
            r#"{"updates":[],"upto_token":9,"limited":false"#,
            &format!("{:?}", "x".repeat(10 * MESSAGE_CHARS_MAX)),
        ] {
            let Err(PageError::Json { message }) = decode(body) else { panic!("{body}") };
            assert!(!message.is_empty() && message.len() <= MESSAGE_CHARS_MAX, "{message}");
        }
    }

    #[test]
    fn json_of_another_form_is_told_with_the_form_that_was_expected() {
        for (body, form) in [
            ("[]", "expected an object with `updates`, `upto_token` and `limited`"),
            (r#"{"updates":7}"#, "expected an array of pairs of a token and a row"),
        ] {
            let message = decode(body).unwrap_err().to_string();
            assert!(message.contains(form), "{message}");
        }
    }

    #[test]
    fn a_page_is_written_as_synapse_writes_it() {
        let body =
            r#"{"updates":[[7,["!r",["@u:a"]]],[8,["!s",[]]]],"upto_token":9,"limited":true}"#;
        let mut out = BytesMut::new();
        encode_page(&decode(body).unwrap(), &mut out);
        assert_eq!(out, body);
    }

    /// Texts, without a pattern for any string: Miri takes seconds to parse one, each time.
    fn texts() -> impl Strategy<Value = Vec<String>> {
        let text = prop::collection::vec(any::<char>(), 0..20).prop_map(String::from_iter);
        prop::collection::vec(text, 0..4)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            updates in prop::collection::vec((any::<i64>(), texts()), 0..6),
            upto: i64,
            limited: bool,
        ) {
            let updates = updates
                .into_iter()
                .map(|(token, row)| {
                    (Token::new(token), Row::from(&*serde_json::Value::from(row).to_string()))
                })
                .collect();
            let page = Page { updates, upto: Token::new(upto), limited };
            let mut body = BytesMut::new();
            encode_page(&page, &mut body);
            prop_assert_eq!(decode_page(&body.freeze()), Ok(page));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(
            noise in any::<Vec<u8>>(),
            near in prop::collection::vec(prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"updates\"", "\"upto_token\"", "\"limited\"",
                "true", "1", "[1,[]]", " ",
            ]), 0..20),
        ) {
            let _ = decode_page(&Bytes::from(noise));
            let _ = decode_page(&Bytes::from(near.concat()));
        }
    }
}
