//! The JSON parts of a line: rows and keys are checked, the arrays of `USER_IP` and `LOCK_RELEASED`
//! are read. No text of the line stands in a fault, because it may be secret.

mod skim;

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, SeqAccess, Visitor},
};

use super::fault::Fault;
use crate::secret::Secret;

/// Checks that `text`, which starts at byte `start` of its line, is one JSON value.
#[inline]
pub(super) fn check(text: &str, start: usize) -> Result<(), Fault> {
    if skim::is_json(text.as_bytes()) { Ok(()) } else { check_closely(text, start) }
}

#[cold]
fn check_closely(text: &str, start: usize) -> Result<(), Fault> {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => Ok(()),
        Err(error) => Err(Fault::json(start + offset_in(text, &error), what(&error))),
    }
}

/// Reads `text`, which starts at byte `start` of its line, as an array of the form `expected`.
///
/// Text that is no JSON is a fault of the JSON; JSON of another form is a fault of the field.
pub(super) fn read<'a, T: Deserialize<'a>>(
    text: &'a str,
    start: usize,
    expected: &'static str,
) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| {
        let offset = start + offset_in(text, &error);
        if error.is_data() {
            Fault::field(offset, expected)
        } else {
            Fault::json(offset, what(&error))
        }
    })
}

/// The element that was expected at an error, without the text that stands there.
fn what(error: &serde_json::Error) -> &'static str {
    if error.is_eof() { "more JSON: the value is cut short" } else { "one valid JSON value" }
}

/// The byte offset of an error of `serde_json`, which counts lines and columns from 1.
#[cold]
fn offset_in(text: &str, error: &serde_json::Error) -> usize {
    if error.is_eof() {
        return text.len();
    }
    let line_start = match error.line() {
        0 | 1 => 0,
        line => memchr::memchr_iter(b'\n', text.as_bytes())
            .nth(line - 2)
            .map_or(0, |newline| newline + 1),
    };
    (line_start + error.column().saturating_sub(1)).min(text.len())
}

/// The fields of `LOCK_RELEASED`.
pub(super) struct LockFields {
    pub(super) instance: String,
    pub(super) lock: String,
    pub(super) key: String,
}

impl<'de> Deserialize<'de> for LockFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = LockFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of three strings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<LockFields, A::Error> {
                let Text(instance) = element(&mut seq, &self)?;
                let Text(lock) = element(&mut seq, &self)?;
                let Text(key) = element(&mut seq, &self)?;
                skip_rest(seq)?;
                Ok(LockFields { instance, lock, key })
            }
        }

        deserializer.deserialize_seq(Fields)
    }
}

/// The array of `USER_IP`.
pub(super) struct UserIpFields {
    pub(super) access_token: Secret,
    pub(super) ip: String,
    pub(super) user_agent: String,
    pub(super) device: Option<String>,
    pub(super) last_seen_ms: i64,
}

impl<'de> Deserialize<'de> for UserIpFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = UserIpFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of three strings, a string or null, and an integer")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<UserIpFields, A::Error> {
                let Text(access_token) = element(&mut seq, &self)?;
                let Text(ip) = element(&mut seq, &self)?;
                let Text(user_agent) = element(&mut seq, &self)?;
                let device: Option<Text> = element(&mut seq, &self)?;
                let last_seen_ms = element(&mut seq, &self)?;
                skip_rest(seq)?;
                Ok(UserIpFields {
                    access_token: Secret::new(access_token),
                    ip,
                    user_agent,
                    device: device.map(|Text(device)| device),
                    last_seen_ms,
                })
            }
        }

        deserializer.deserialize_seq(Fields)
    }
}

fn element<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(
    seq: &mut A,
    expected: &impl Visitor<'de>,
) -> Result<T, A::Error> {
    seq.next_element()?.ok_or_else(|| de::Error::invalid_length(0, expected))
}

/// Skips the elements behind the last known one: newer versions may append some.
fn skip_rest<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// A JSON string in which surrogate escapes without a partner became U+FFFD. Python writes such
/// escapes for bytes that it could not decode, as in the user agent of `USER_IP`.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lossy;

        impl Visitor<'_> for Lossy {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(without_surrogates(bytes)))
            }
        }

        // As bytes, `serde_json` hands over lone surrogates too, as three bytes each.
        deserializer.deserialize_bytes(Lossy)
    }
}

fn without_surrogates(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        // The two bytes behind the first one come as chunks of their own.
        if let [0xED, ..] = chunk.invalid() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}
