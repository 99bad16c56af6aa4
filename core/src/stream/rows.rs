//! Rows as they stand on the wire, and the rows of one token.

use std::{fmt, ops::Deref};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::secret::veiled_row;

/// One row: verbatim JSON text (UTF-8), normally an array.
///
/// A row that was received is a slice of the buffer that it was read into, and keeps it alive;
/// [`Row::detached`] copies it out. It is checked to be JSON when it is decoded, unless
/// [`Decoder::without_row_validation`](crate::wire::Decoder::without_row_validation) is chosen.
/// `Debug` replaces access tokens, which some rows of `caches` carry; the text itself and serde
/// keep them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Row(ByteString);

impl Row {
    /// Creates a row of this text. The caller guarantees that it is JSON.
    pub const fn from_text(text: ByteString) -> Self {
        Self(text)
    }

    /// Returns the JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the bytes of the JSON text, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }

    /// Returns the length of the text, in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the text is empty, which that of a decoded row never is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Parses the row as `T`, which borrows from the row where it can.
    ///
    /// # Errors
    /// The error of `serde_json`, if the row is not a `T`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// Returns a copy that does not keep the read buffer alive, for rows that are kept.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(ByteString::from(self.as_str()))
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&veiled_row(self.as_str()))
    }
}

impl From<&str> for Row {
    fn from(text: &str) -> Self {
        Self(ByteString::from(text))
    }
}

/// The rows of one token, in wire order: one at least. A single row costs no allocation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rows(Repr);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Repr {
    One(Row),
    /// Two or more.
    Many(Vec<Row>),
}

impl Rows {
    /// Creates the value of these rows in this order; `None` if there are none.
    pub fn new(mut rows: Vec<Row>) -> Option<Self> {
        let last = rows.pop()?;
        Some(Self::with_last(rows, last))
    }

    /// Creates the value of these rows in this order, of which there may be none, and a last one.
    pub fn with_last(mut rows: Vec<Row>, last: Row) -> Self {
        if rows.is_empty() {
            return Self(Repr::One(last));
        }
        rows.push(last);
        Self(Repr::Many(rows))
    }

    /// Adds a row behind the others.
    pub fn push(&mut self, row: Row) {
        match &mut self.0 {
            Repr::Many(rows) => rows.push(row),
            Repr::One(first) => self.0 = Repr::Many(vec![first.clone(), row]),
        }
    }

    /// Returns the length of the texts of all rows together, in bytes.
    pub fn byte_len(&self) -> usize {
        self.iter().map(Row::len).sum()
    }

    /// Returns copies of the rows that do not keep a read buffer alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        self.map(Row::detached)
    }

    /// Returns the rows that `change` makes of these, one of each.
    #[must_use]
    pub(crate) fn map(&self, mut change: impl FnMut(&Row) -> Row) -> Self {
        match &self.0 {
            Repr::One(row) => Self(Repr::One(change(row))),
            Repr::Many(rows) => Self(Repr::Many(rows.iter().map(change).collect())),
        }
    }
}

impl Deref for Rows {
    type Target = [Row];

    fn deref(&self) -> &[Row] {
        match &self.0 {
            Repr::One(row) => std::slice::from_ref(row),
            Repr::Many(rows) => rows,
        }
    }
}

impl From<Row> for Rows {
    fn from(row: Row) -> Self {
        Self(Repr::One(row))
    }
}

impl<'a> IntoIterator for &'a Rows {
    type Item = &'a Row;
    type IntoIter = std::slice::Iter<'a, Row>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?)
            .ok_or_else(|| D::Error::custom("no rows: a token has one at least"))
    }
}
