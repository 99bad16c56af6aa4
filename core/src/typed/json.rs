//! Parts of rows that are handed on as they are.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;

/// A JSON value inside a row, verbatim and not interpreted.
///
/// Equal if the texts are equal: white space and the order of keys count. `Debug` and serde
/// give the text as it stands.
#[derive(Clone, Copy)]
pub struct Json<'a>(&'a RawValue);

impl<'a> Json<'a> {
    /// Takes `text` as a JSON value, for rows to be published.
    ///
    /// # Errors
    /// If it is not exactly one JSON value.
    pub fn new(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }

    /// The JSON text, without white space around it.
    pub fn as_str(self) -> &'a str {
        self.0.get()
    }

    /// Reads the value as `T`, borrowing from the row where `T` can.
    ///
    /// # Errors
    /// What `serde_json` found wrong, if the value has another shape.
    pub fn parse<T: Deserialize<'a>>(self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }
}

impl<'a> From<&'a RawValue> for Json<'a> {
    fn from(raw: &'a RawValue) -> Self {
        Self(raw)
    }
}

impl PartialEq for Json<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json<'_> {}

impl fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Content of an event-like row: a JSON object, or in some releases its text inside a string.
///
/// Which of the two a release sends cannot be told from the stream alone, only from the type
/// (`protocol.md` 2.5, item 6). Serialises as the object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content<'a> {
    /// The object itself.
    Object(Json<'a>),
    /// JSON text that stood in a string, not checked to be JSON.
    Text(Cow<'a, str>),
}

impl Content<'_> {
    /// The JSON text in either form.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Object(json) => json.as_str(),
            Self::Text(text) => text,
        }
    }

    /// Reads the content as `T`, whatever form it came in.
    ///
    /// # Errors
    /// What `serde_json` found wrong, if it is not JSON or has another shape.
    pub fn parse<'c, T: Deserialize<'c>>(&'c self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }
}

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let object = match self {
            Self::Object(json) => *json,
            Self::Text(text) => Json::new(text).map_err(S::Error::custom)?,
        };
        if !object.as_str().starts_with('{') {
            return Err(S::Error::custom("content must be a JSON object"));
        }
        object.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_and_compared_as_text() {
        let json = Json::new(r#" {"b": 1,"a":2} "#).unwrap();
        assert_eq!(json.as_str(), r#"{"b": 1,"a":2}"#);
        assert_eq!(format!("{json:?}"), r#"{"b": 1,"a":2}"#);
        assert_eq!(serde_json::to_string(&json).unwrap(), r#"{"b": 1,"a":2}"#);
        assert_ne!(json, Json::new(r#"{"b":1,"a":2}"#).unwrap());
        assert!(Json::new("{} {}").is_err());
        assert_eq!(Json::new("[1, 2]").unwrap().parse::<Vec<i64>>().unwrap(), [1, 2]);
    }

    #[test]
    fn content_reads_the_same_from_an_object_and_from_text() {
        #[derive(Deserialize, Debug, PartialEq)]
        struct Receipt {
            ts: i64,
        }
        let object = Content::Object(Json::new(r#"{"ts":5}"#).unwrap());
        let text = Content::Text(Cow::Borrowed(r#"{"ts":5}"#));
        assert_eq!(object.parse::<Receipt>().unwrap(), Receipt { ts: 5 });
        assert_eq!(text.parse::<Receipt>().unwrap(), Receipt { ts: 5 });
        assert_eq!(serde_json::to_string(&object).unwrap(), r#"{"ts":5}"#);
        assert_eq!(serde_json::to_string(&text).unwrap(), r#"{"ts":5}"#);
    }

    #[test]
    fn content_that_is_no_object_is_not_published() {
        for text in ["not json", "[]", "\"{}\""] {
            assert!(serde_json::to_string(&Content::Text(text.into())).is_err(), "{text}");
        }
        assert!(serde_json::to_string(&Content::Object(Json::new("5").unwrap())).is_err());
    }
}
