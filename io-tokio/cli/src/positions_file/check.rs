//! What a positions file says that positions cannot: a name that stands twice, of which only one
//! would count, and tokens that no row has. The text enters; a refusal or notes leave.

use std::{collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

/// An object in its order, with every pair of it.
struct Pairs<V>(Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<V>(std::marker::PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Object<V> {
            type Value = Pairs<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of streams, each with its writers and their tokens")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs<V>, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Object(std::marker::PhantomData))
    }
}

/// Looks at the text of a file that holds positions, and returns notes about tokens below 0.
///
/// # Errors
/// States the first name that stands twice. Text that does not hold positions passes: who reads
/// those has the better words.
pub(super) fn check(text: &[u8]) -> Result<Vec<String>, String> {
    let Ok(Pairs(streams)) = serde_json::from_slice::<Pairs<Pairs<i64>>>(text) else {
        return Ok(Vec::new());
    };
    let mut names = BTreeSet::new();
    let mut notes = Vec::new();
    for (stream, Pairs(writers)) in &streams {
        if !names.insert(stream) {
            return Err(format!("the stream {stream:?} stands there twice"));
        }
        let mut instances = BTreeSet::new();
        for (instance, token) in writers {
            if !instances.insert(instance) {
                return Err(format!("the writer {instance:?} of {stream:?} stands there twice"));
            }
            if *token < 0 {
                notes.push(format!(
                    "{stream}/{instance} is at {token}, and rows have tokens from 0 on; all that \
                     the writer still holds is fetched"
                ));
            }
        }
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_stand_twice_and_tokens_below_zero_are_found() {
        let check = |text: &str| check(text.as_bytes());
        assert_eq!(check(r#"{"events":{"p1":0,"p2":7},"caches":{"p1":1}}"#), Ok(Vec::new()));
        for (text, expected) in [
            (r#"{"events":{"p1":1},"events":{"p2":2}}"#, "the stream \"events\""),
            (r#"{"events":{"p1":1,"p1":2}}"#, "the writer \"p1\" of \"events\""),
        ] {
            let said = check(text).unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
        let notes = check(r#"{"events":{"p1":-5}}"#).unwrap();
        assert!(notes[0].starts_with("events/p1 is at -5"), "{notes:?}");
        assert_eq!(check("[]"), Ok(Vec::new()));
    }
}
