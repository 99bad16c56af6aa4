//! Rows as they stand on the wire, and the rows of one token.

use std::{fmt, ops::Deref};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// The rows of one token, one or more, in wire order. A single row costs no allocation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rows(Repr);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Repr {
    One(Row),
    Many(Vec<Row>),
}

impl Rows {
    /// Text length of all rows together, in bytes.
    pub fn byte_len(&self) -> usize {
        self.iter().map(Row::len).sum()
    }

    /// Copies that do not keep a read buffer alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        match &self.0 {
            Repr::One(row) => Self(Repr::One(row.detached())),
            Repr::Many(rows) => Self(Repr::Many(rows.iter().map(Row::detached).collect())),
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

impl From<Vec<Row>> for Rows {
    /// The rows in this order. An empty list makes an empty `Rows`, which the core never emits.
    fn from(mut rows: Vec<Row>) -> Self {
        match rows.pop() {
            Some(row) if rows.is_empty() => Self(Repr::One(row)),
            Some(row) => {
                rows.push(row);
                Self(Repr::Many(rows))
            }
            None => Self(Repr::Many(rows)),
        }
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
        Vec::<Row>::deserialize(deserializer).map(Self::from)
    }
}
