//! Positions of many sources: the value to save and to resume from.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap as _,
};

use super::{Source, Token};

/// The position of each source, from which to resume it. As JSON: `{"events":{"p1":123}}`, by
/// stream and by writer.
///
/// Every row up to the token of a source was delivered (promise F6). Iteration is in the order of
/// the names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Positions(BTreeMap<Source, Token>);

impl Positions {
    /// Creates a value without any position.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Returns the position of a source, if it is known.
    pub fn get(&self, source: &Source) -> Option<Token> {
        self.0.get(source).copied()
    }

    /// Sets the position of a source, lower or higher than before. Only a source that was not known
    /// costs an allocation.
    pub fn set(&mut self, source: &Source, token: Token) {
        if let Some(known) = self.0.get_mut(source) {
            *known = token;
        } else {
            self.0.insert(source.clone(), token);
        }
    }

    /// Returns the highest position of any writer of `stream`; `None` if none is known.
    pub fn highest(&self, stream: &str) -> Option<Token> {
        let first = Source::new(stream, "");
        let sources = self.0.range(first..).take_while(|(source, _)| source.stream() == stream);
        sources.map(|(_, token)| *token).max()
    }

    /// Iterates over all positions, by name of the stream and then of the writer.
    pub fn iter(&self) -> impl Iterator<Item = (&Source, Token)> {
        self.0.iter().map(|(source, token)| (source, *token))
    }

    /// Returns the number of sources that have a position.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether no source has a position.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Source, Token)> for Positions {
    fn from_iter<I: IntoIterator<Item = (Source, Token)>>(positions: I) -> Self {
        Self(positions.into_iter().collect())
    }
}

/// The positions of the writers of one stream.
struct Writers<'a>(&'a Positions, &'a str);

impl Serialize for Writers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(positions, stream) = self;
        let mut writers = serializer.serialize_map(None)?;
        for (source, token) in positions.0.range(Source::new(stream, "")..) {
            if source.stream() != *stream {
                break;
            }
            writers.serialize_entry(source.instance(), token)?;
        }
        writers.end()
    }
}

impl Serialize for Positions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut streams = serializer.serialize_map(None)?;
        let mut last = None;
        for source in self.0.keys() {
            if last.replace(source.stream()) != Some(source.stream()) {
                streams.serialize_entry(source.stream(), &Writers(self, source.stream()))?;
            }
        }
        streams.end()
    }
}

impl<'de> Deserialize<'de> for Positions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ByStream;

        impl<'de> Visitor<'de> for ByStream {
            type Value = Positions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of streams, each with its writers and their tokens")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut streams: M) -> Result<Positions, M::Error> {
                let mut positions = Positions::new();
                while let Some((stream, writers)) =
                    streams.next_entry::<String, BTreeMap<String, Token>>()?
                {
                    for (instance, token) in writers {
                        positions.set(&Source::new(&stream, &instance), token);
                    }
                }
                Ok(positions)
            }
        }

        deserializer.deserialize_map(ByStream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_written_by_stream_and_writer_and_read_back() {
        let text = r#"{"caches":{"a":1,"b":2},"events":{"a":-3},"typing":{"":4}}"#;
        let positions: Positions = serde_json::from_str(text).unwrap();
        assert_eq!(positions.len(), 4);
        assert_eq!(positions.get(&Source::new("caches", "b")), Some(Token::new(2)));
        assert_eq!(serde_json::to_string(&positions).unwrap(), text);
        assert_eq!(serde_json::to_string(&Positions::new()).unwrap(), "{}");
    }

    #[test]
    fn the_highest_position_is_of_that_stream_alone() {
        let text = r#"{"a":{"w":9},"aa":{"w":3,"x":5},"b":{"w":7}}"#;
        let positions: Positions = serde_json::from_str(text).unwrap();
        assert_eq!(positions.highest("aa"), Some(Token::new(5)));
        assert_eq!(positions.highest("ab"), None);
    }
}
