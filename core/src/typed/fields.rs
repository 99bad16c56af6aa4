//! The elements of a row by index, each read as the type that it has in its stream.
//!
//! Reading has two steps, so that an error can name the element: the array is cut into the texts
//! of its elements, then each text is read. Elements behind the last one that any release has are
//! skipped.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer as _,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    error::{Mismatch, Step},
    json::{Content, Json},
    text,
};

/// The most elements that any row shape has: that of `ev` rows of 1.64 and later.
const FIELDS_MAX: usize = 9;

type Read<'a, T> = Result<T, Mismatch<'a>>;

/// A type that is read from the elements of an array. It seals [`StreamRow`](super::StreamRow): it
/// is implemented for the row types alone.
#[expect(unnameable_types, reason = "seals the trait of the row types")]
pub trait FromFields<'a>: Sized {
    /// Reads the row from the elements of its array.
    #[doc(hidden)]
    fn from_fields(fields: &Fields<'a>) -> Result<Self, Mismatch<'a>>;
}

/// The elements of one JSON array.
#[derive(Debug, Default)]
#[expect(unnameable_types, reason = "seals the trait of the row types")]
pub struct Fields<'a> {
    items: [Option<&'a RawValue>; FIELDS_MAX],
    len: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn of_text(text: &'a str) -> Read<'a, Self> {
        let mut array = serde_json::Deserializer::from_str(text);
        let fields = array.deserialize_seq(ArrayVisitor);
        fields
            .and_then(|fields| array.end().map(|()| fields))
            .map_err(|_| Mismatch::new("a JSON array", Some(text)))
    }

    /// The number of elements that the array has, at most as many as any row shape has.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Reads element `index`.
    pub(super) fn read<T: FromValue<'a>>(&self, index: usize) -> Read<'a, T> {
        self.value(index)
            .ok_or_else(|| Mismatch::new(T::EXPECTED, None))
            .and_then(T::from_value)
            .map_err(|mismatch| mismatch.within(Step::Index(index)))
    }

    /// Reads element `index`, which older releases do not send; `None` if there is none.
    pub(super) fn read_if_present<T: FromValue<'a>>(&self, index: usize) -> Read<'a, Option<T>> {
        if index < self.len { self.read(index).map(Some) } else { Ok(None) }
    }

    /// Whether there is an element `index` that begins with one of these bytes: the first byte of a
    /// JSON text shows its type.
    pub(super) fn begins_with(&self, index: usize, first: &[u8]) -> bool {
        self.value(index)
            .and_then(|value| value.get().bytes().next())
            .is_some_and(|byte| first.contains(&byte))
    }

    fn value(&self, index: usize) -> Option<&'a RawValue> {
        self.items.get(index).copied().flatten()
    }
}

struct ArrayVisitor;

impl<'a> Visitor<'a> for ArrayVisitor {
    type Value = Fields<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut array: A) -> Result<Fields<'a>, A::Error> {
        let mut fields = Fields::default();
        for slot in &mut fields.items {
            let Some(value) = array.next_element()? else { return Ok(fields) };
            *slot = Some(value);
            fields.len += 1;
        }
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(fields)
    }
}

/// A type that one element can be read as.
pub(super) trait FromValue<'a>: Sized {
    /// The value that is expected, in words.
    const EXPECTED: &'static str;

    fn from_value(value: &'a RawValue) -> Read<'a, Self>;
}

fn mismatch<'a, T: FromValue<'a>>(value: &'a RawValue) -> Mismatch<'a> {
    Mismatch::new(T::EXPECTED, Some(value.get()))
}

impl<'a> FromValue<'a> for Cow<'a, str> {
    const EXPECTED: &'static str = "a string";

    fn from_value(value: &'a RawValue) -> Read<'a, Self> {
        text::decode(value.get()).ok_or_else(|| mismatch::<Self>(value))
    }
}

impl<'a> FromValue<'a> for Option<Cow<'a, str>> {
    const EXPECTED: &'static str = "a string or null";

    fn from_value(value: &'a RawValue) -> Read<'a, Self> {
        if value.get() == "null" {
            return Ok(None);
        }
        text::decode(value.get()).map(Some).ok_or_else(|| mismatch::<Self>(value))
    }
}

impl<'a> FromValue<'a> for i64 {
    const EXPECTED: &'static str = "an integer of 64 bits";

    fn from_value(value: &'a RawValue) -> Read<'a, Self> {
        value.get().parse().map_err(|_| mismatch::<Self>(value))
    }
}

/// `0` and `1` are booleans, too: SQLite has no others.
impl<'a> FromValue<'a> for bool {
    const EXPECTED: &'static str = "a boolean, 0 or 1";

    fn from_value(value: &'a RawValue) -> Read<'a, Self> {
        match value.get() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(mismatch::<Self>(value)),
        }
    }
}

impl<'a> FromValue<'a> for Json<'a> {
    const EXPECTED: &'static str = "a JSON value";

    fn from_value(value: &'a RawValue) -> Read<'a, Self> {
        Ok(value.into())
    }
}

impl<'a> FromValue<'a> for Content<'a> {
    const EXPECTED: &'static str = "an object, or JSON text in a string";

    fn from_value(value: &'a RawValue) -> Read<'a, Self> {
        if value.get().starts_with('{') {
            return Ok(Self::Object(value.into()));
        }
        text::decode(value.get()).map(Self::Text).ok_or_else(|| mismatch::<Self>(value))
    }
}

impl<'a> FromValue<'a> for Fields<'a> {
    const EXPECTED: &'static str = "an array";

    fn from_value(value: &'a RawValue) -> Read<'a, Self> {
        Self::of_text(value.get()).map_err(|_| mismatch::<Self>(value))
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Vec<T> {
    const EXPECTED: &'static str = "an array";

    fn from_value(value: &'a RawValue) -> Read<'a, Self> {
        list(value)
            .ok_or_else(|| mismatch::<Self>(value))?
            .into_iter()
            .enumerate()
            .map(item)
            .collect()
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Option<Vec<T>> {
    const EXPECTED: &'static str = "an array or null";

    fn from_value(value: &'a RawValue) -> Read<'a, Self> {
        if value.get() == "null" {
            return Ok(None);
        }
        let items = list(value).ok_or_else(|| mismatch::<Self>(value))?;
        items.into_iter().enumerate().map(item).collect::<Read<'a, _>>().map(Some)
    }
}

fn list(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

fn item<'a, T: FromValue<'a>>((index, value): (usize, &'a RawValue)) -> Read<'a, T> {
    T::from_value(value).map_err(|mismatch| mismatch.within(Step::Index(index)))
}

/// The members of one JSON object that have the given names. Of a name that occurs twice the last
/// member counts, as in Python.
#[derive(Debug)]
pub(super) struct Members<'a, const N: usize> {
    names: [&'static str; N],
    values: [Option<&'a RawValue>; N],
}

impl<'a, const N: usize> Members<'a, N> {
    pub(super) fn of(value: Json<'a>, names: [&'static str; N]) -> Read<'a, Self> {
        let text = value.as_str();
        serde_json::Deserializer::from_str(text)
            .deserialize_map(ObjectVisitor(names))
            .map(|values| Self { names, values })
            .map_err(|_| Mismatch::new("an object", Some(text)))
    }

    /// Reads the member `names[position]`.
    pub(super) fn read<T: FromValue<'a>>(&self, position: usize) -> Read<'a, T> {
        self.values[position]
            .ok_or_else(|| Mismatch::new(T::EXPECTED, None))
            .and_then(T::from_value)
            .map_err(|mismatch| mismatch.within(Step::Key(self.names[position])))
    }

    /// Reads the member `names[position]`; `None` if there is none.
    pub(super) fn read_if_present<T: FromValue<'a>>(&self, position: usize) -> Read<'a, Option<T>> {
        if self.values[position].is_some() { self.read(position).map(Some) } else { Ok(None) }
    }

    /// Reads the member `names[position]`, an object, with `of_object`.
    pub(super) fn read_object<T>(
        &self,
        position: usize,
        of_object: fn(Json<'a>) -> Read<'a, T>,
    ) -> Read<'a, T> {
        self.values[position]
            .ok_or_else(|| Mismatch::new("an object", None))
            .and_then(|value| of_object(value.into()))
            .map_err(|mismatch| mismatch.within(Step::Key(self.names[position])))
    }
}

struct ObjectVisitor<const N: usize>([&'static str; N]);

impl<'a, const N: usize> Visitor<'a> for ObjectVisitor<N> {
    type Value = [Option<&'a RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; N];
        while let Some(position) = object.next_key_seed(NameSeed(&self.0))? {
            let value = object.next_value()?;
            if let Some(position) = position {
                values[position] = Some(value);
            }
        }
        Ok(values)
    }
}

/// Finds the place of a key among the names, without keeping the key. It reads bytes, because an
/// unknown key may hold lone surrogates.
struct NameSeed<'n>(&'n [&'static str]);

impl<'a> DeserializeSeed<'a> for NameSeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'a>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_bytes(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E>(self, key: &[u8]) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|name| name.as_bytes() == key))
    }
}
