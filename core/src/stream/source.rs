//! Sources: one (stream, writer) pair, the unit of order, of position and of catch-up.

use std::{cmp::Ordering, fmt, hash, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeStruct as _};

use crate::printable::Printable;

/// One (stream, writer) pair. A clone costs one reference count; equality, order and hash are those
/// of the two names.
///
/// `Display` and `Debug` show the names as STREAM/INSTANCE for people. They are escaped and cut,
/// because they come from the wire.
#[derive(Clone)]
pub struct Source(Arc<Names>);

struct Names {
    stream: Box<str>,
    instance: Box<str>,
}

impl Source {
    /// Creates the source of the rows that `instance` writes to `stream`.
    pub fn new(stream: &str, instance: &str) -> Self {
        Self(Arc::new(Names { stream: stream.into(), instance: instance.into() }))
    }

    /// Returns the stream's name, as on the wire.
    pub fn stream(&self) -> &str {
        &self.0.stream
    }

    /// Returns the writer's instance name, as on the wire.
    pub fn instance(&self) -> &str {
        &self.0.instance
    }

    fn key(&self) -> (&str, &str) {
        (self.stream(), self.instance())
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.key() == other.key()
    }
}

impl Eq for Source {}

impl PartialOrd for Source {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Source {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl hash::Hash for Source {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Printable::name(self.stream()), Printable::name(self.instance()))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({self})")
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Source", 2)?;
        fields.serialize_field("stream", self.stream())?;
        fields.serialize_field("instance", self.instance())?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            stream: Box<str>,
            instance: Box<str>,
        }
        let Fields { stream, instance } = Fields::deserialize(deserializer)?;
        Ok(Self(Arc::new(Names { stream, instance })))
    }
}
