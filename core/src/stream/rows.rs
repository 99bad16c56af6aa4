//! Rows as they stand on the wire, and the rows of one token.

use std::{fmt, ops::Deref};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::secret::veiled_row;

/// One row: verbatim JSON text (UTF-8), normally an array.
///
/// A slice of the buffer it was read into, which it keeps alive; [`Row::detached`] copies it out.
/// Checked to be JSON when it was decoded, unless the decoder was told not to. `Debug` replaces
/// access tokens, which some rows of `caches` carry; the text itself and serde do not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Row(ByteString);

impl Row {
    /// A row of this text. The caller answers for its being JSON.
    pub const fn from_text(text: ByteString) -> Self {
        Self(text)
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes of the JSON text, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }

    /// Length of the text in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the text is empty. Never true of a decoded row.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the row as `T`, borrowing from it where `T` can.
    ///
    /// # Errors
    /// What `serde_json` found wrong, if the row has another shape.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// A copy that does not keep the read buffer alive. For rows that are kept.
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

/// The rows of one token, in wire order: never none. A single row costs no allocation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rows(Repr);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Repr {
    One(Row),
    /// Two or more.
    Many(Vec<Row>),
}

impl Rows {
    /// These rows in this order; `None` if there are none.
    pub fn new(mut rows: Vec<Row>) -> Option<Self> {
        let last = rows.pop()?;
        Some(Self::with_last(rows, last))
    }

    /// These rows in this order, of which there may be none, and then a last one.
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

    /// Text length of all rows together, in bytes.
    pub fn byte_len(&self) -> usize {
        self.iter().map(Row::len).sum()
    }

    /// Copies that do not keep a read buffer alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        self.map(Row::detached)
    }

    /// Rows made of these, one of each.
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
