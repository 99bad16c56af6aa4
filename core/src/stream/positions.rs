//! Positions of many sources: the value to save and to resume from.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};

use super::{Anchor, Anchors, Compared, Rows, Source, Token, traits};
use crate::time::Timestamp;

/// The key beside the streams under which anchors are saved. The space keeps it from being the name
/// of a stream.
const LAST_ROWS: &str = "last rows";

/// The position of each source, from which to resume it. As JSON: `{"events":{"p1":123}}`, by
/// stream and by writer.
///
/// Every row up to the token of a source was delivered (promise F6). Iteration is in the order of
/// the names.
///
/// A position may have [anchors](Anchor): digests of a few of the rows that were delivered up to
/// it, by which a follower sees whether the log is still the one that they came from (promise F11).
/// They stand beside the streams, under a name that no stream can have, and a value without them is
/// read as well: `{"events":{"p1":123},"last rows":{"events":{"p1":[[123,"00c4f1a2b3d4e5f6"]]}}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Positions(BTreeMap<Source, Saved>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Saved {
    token: Token,
    anchors: Anchors,
}

impl Saved {
    const fn at(token: Token) -> Self {
        Self { token, anchors: Anchors::NONE }
    }
}

impl Positions {
    /// Creates a value without any position.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Returns the position of a source, if it is known.
    pub fn get(&self, source: &Source) -> Option<Token> {
        self.0.get(source).map(|saved| saved.token)
    }

    /// Sets the position of a source, lower or higher than before. Only a source that was not known
    /// costs an allocation. What was remembered above a lower position is forgotten.
    pub fn set(&mut self, source: &Source, token: Token) {
        if let Some(saved) = self.0.get_mut(source) {
            if token < saved.token {
                saved.anchors.forget_above(token);
            }
            saved.token = token;
        } else {
            self.0.insert(source.clone(), Saved::at(token));
        }
    }

    /// Returns the anchors of a source at or below its position, the newest first.
    pub fn anchors(&self, source: &Source) -> impl Iterator<Item = &Anchor> {
        self.0.get(source).into_iter().flat_map(|saved| saved.anchors.upto(saved.token))
    }

    /// Notes rows that were delivered, of a source that has a position. Those of one token become an
    /// anchor when `every` has passed since the last one, or `tokens_max` tokens: a digest costs far
    /// more than a delivery. Returns the new anchor.
    pub fn on_rows(
        &mut self,
        source: &Source,
        token: Token,
        rows: &Rows,
        now: Timestamp,
        (every, tokens_max): (Duration, u32),
    ) -> Option<&Anchor> {
        let saved = self.0.get_mut(source)?;
        if !saved.anchors.is_due(now, tokens_max)
            || traits(source.stream()).compared == Compared::No
        {
            return None;
        }
        saved.anchors.push(Anchor::new(source.stream(), token, rows), now, every)
    }

    /// Adds an anchor that [`Positions::on_rows`] has made in another value, to a source that has a
    /// position. One below those that are known is left out.
    pub fn add_anchor(&mut self, source: &Source, anchor: Anchor) {
        if let Some(saved) = self.0.get_mut(source) {
            saved.anchors.push(anchor, Timestamp::ZERO, Duration::ZERO);
        }
    }

    /// Takes the anchors of a source.
    pub(crate) fn set_anchors(&mut self, source: &Source, anchors: &Anchors) {
        if let Some(saved) = self.0.get_mut(source) {
            saved.anchors =
                Anchors::saved(anchors.upto(saved.token).cloned().collect(), saved.token);
        }
    }

    pub(crate) fn anchors_of(&self, source: &Source) -> Anchors {
        self.0.get(source).map(|saved| saved.anchors.clone()).unwrap_or_default()
    }

    /// Returns the highest position of any writer of `stream`; `None` if none is known.
    pub fn highest(&self, stream: &str) -> Option<Token> {
        let first = Source::new(stream, "");
        let sources = self.0.range(first..).take_while(|(source, _)| source.stream() == stream);
        sources.map(|(_, saved)| saved.token).max()
    }

    /// Iterates over all positions, by name of the stream and then of the writer.
    pub fn iter(&self) -> impl Iterator<Item = (&Source, Token)> {
        self.0.iter().map(|(source, saved)| (source, saved.token))
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
        Self(positions.into_iter().map(|(source, token)| (source, Saved::at(token))).collect())
    }
}

/// What is saved of the writers of each stream, by stream and by writer: `V` is made of each.
struct ByStream<'a, F>(&'a Positions, F);

/// The same of the writers of one stream.
struct Writers<'a, F>(&'a Positions, &'a str, &'a F);

impl<V: Serialize, F: Fn(&Saved) -> Option<V>> ByStream<'_, F> {
    fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self(positions, value) = self;
        let mut last = None;
        for (source, saved) in &positions.0 {
            if last != Some(source.stream()) && value(saved).is_some() {
                last = Some(source.stream());
                map.serialize_entry(source.stream(), &Writers(positions, source.stream(), value))?;
            }
        }
        Ok(())
    }
}

impl<V: Serialize, F: Fn(&Saved) -> Option<V>> Serialize for ByStream<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut streams = serializer.serialize_map(None)?;
        self.serialize_into(&mut streams)?;
        streams.end()
    }
}

impl<V: Serialize, F: Fn(&Saved) -> Option<V>> Serialize for Writers<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(positions, stream, value) = self;
        let mut writers = serializer.serialize_map(None)?;
        for (source, saved) in positions.0.range(Source::new(stream, "")..) {
            if source.stream() != *stream {
                break;
            }
            if let Some(value) = value(saved) {
                writers.serialize_entry(source.instance(), &value)?;
            }
        }
        writers.end()
    }
}

impl Serialize for Positions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut streams = serializer.serialize_map(None)?;
        ByStream(self, |saved: &Saved| Some(saved.token)).serialize_into(&mut streams)?;
        let anchors = |saved: &Saved| {
            let mut list: Vec<_> = saved.anchors.upto(saved.token).cloned().collect();
            list.reverse();
            (!list.is_empty()).then_some(list)
        };
        if self.0.values().any(|saved| anchors(saved).is_some()) {
            streams.serialize_entry(LAST_ROWS, &ByStream(self, anchors))?;
        }
        streams.end()
    }
}

impl<'de> Deserialize<'de> for Positions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Streams;

        impl<'de> Visitor<'de> for Streams {
            type Value = Positions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of streams, each with its writers and their tokens")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut streams: M) -> Result<Positions, M::Error> {
                let mut positions = Positions::new();
                let mut anchors = BTreeMap::<String, BTreeMap<String, Vec<Anchor>>>::new();
                while let Some(stream) = streams.next_key::<String>()? {
                    if stream == LAST_ROWS {
                        anchors = streams.next_value()?;
                        continue;
                    }
                    for (instance, token) in streams.next_value::<BTreeMap<String, Token>>()? {
                        positions.set(&Source::new(&stream, &instance), token);
                    }
                }
                for (stream, writers) in anchors {
                    for (instance, list) in writers {
                        if let Some(saved) = positions.0.get_mut(&Source::new(&stream, &instance)) {
                            saved.anchors = Anchors::saved(list, saved.token);
                        }
                    }
                }
                Ok(positions)
            }
        }

        deserializer.deserialize_map(Streams)
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

    #[test]
    fn anchors_are_saved_beside_the_streams_and_read_back() {
        let every = Duration::ZERO;
        let mut positions = Positions::new();
        for (stream, instance, token) in
            [("caches", "a", 4), ("events", "b", 7), ("typing", "b", 9)]
        {
            let source = Source::new(stream, instance);
            positions.set(&source, Token::new(token));
            let rows = super::super::Row::from("[1]").into();
            positions.on_rows(&source, Token::new(token), &rows, Timestamp::ZERO, (every, 1));
        }
        let text = serde_json::to_string(&positions).unwrap();
        assert!(text.starts_with(r#"{"caches":{"a":4},"events":{"b":7},"typing":{"b":9},"last "#));
        assert!(!text.contains(r#""typing":{"b":["#), "its log starts over: {text}");
        assert_eq!(serde_json::from_str::<Positions>(&text).unwrap(), positions);
        let events = Source::new("events", "b");
        assert_eq!(positions.anchors(&events).count(), 1);
        positions.set(&events, Token::new(6));
        assert_eq!(positions.anchors(&events).count(), 0, "7 is given out again");
    }

    #[test]
    fn anchors_of_no_position_and_above_one_are_left_out() {
        let text = r#"{"events":{"b":7},"last rows":{"events":{"b":[[8,"00"]],"c":[[1,"00"]]}}}"#;
        let positions: Positions = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&positions).unwrap(), r#"{"events":{"b":7}}"#);
    }
}
