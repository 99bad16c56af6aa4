//! Parts of rows that are handed on verbatim.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;

/// A JSON value inside a row, verbatim and not interpreted.
///
/// Two values are equal if their texts are: white space and the order of keys count. `Debug` and
/// serde write the text verbatim.
#[derive(Clone, Copy)]
pub struct Json<'a>(&'a RawValue);

impl<'a> Json<'a> {
    /// Creates a value of `text`, for a row to be published.
    ///
    /// # Errors
    /// The error of `serde_json` if `text` is not exactly one JSON value.
    pub fn new(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }

    /// Returns the JSON text, without white space around it.
    pub fn as_str(self) -> &'a str {
        self.0.get()
    }

    /// Parses the value as `T`, which borrows from the row where it can.
    ///
    /// # Errors
    /// The error of `serde_json` if the value is not a `T`.
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

/// The content of a row that carries one: a JSON object, or in some releases its text in a string.
///
/// The stream alone does not show which of the two a release sends; the type of the value does
/// (`protocol.md` 2.5, item 6). Both serialise as the object; content that is not the text of an
/// object is an error then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content<'a> {
    /// The object itself.
    Object(Json<'a>),
    /// The text of a string, which should be JSON; it is not checked.
    Text(Cow<'a, str>),
}

impl Content<'_> {
    /// Returns the JSON text in either form.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Object(json) => json.as_str(),
            Self::Text(text) => text,
        }
    }

    /// Parses the content as `T`, in either form.
    ///
    /// # Errors
    /// The error of `serde_json` if the content is not JSON or not a `T`.
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
