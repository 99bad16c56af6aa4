//! Digests: 64 bits by which a row is known again, in a page and after a restart.
//!
//! They are saved, so their definition never changes: FNV-1a over the row's value, written in one
//! form, with a last mix of the bits.

use serde_json::Value;

use super::Row;

/// Returns the digest of what identifies a row of `stream`. It is the same for the same JSON,
/// however that is written: a page may have other white space and other escapes than the wire.
///
/// Of a row of `events` the kind and the event id count alone: its writer changes the other fields
/// in place.
pub(crate) fn digest(stream: &str, row: &Row) -> u64 {
    match row.parse::<Value>() {
        Ok(value) if stream == "events" => match event_of(&value) {
            Some((kind, id)) => of_bytes(&[kind.as_bytes(), id.as_bytes()]),
            None => of_bytes(&[value.to_string().as_bytes()]),
        },
        Ok(value) => of_bytes(&[value.to_string().as_bytes()]),
        // The value is nested too deeply to be read: the row's own text has to do.
        Err(_) => of_bytes(&[row.as_str().as_bytes()]),
    }
}

/// Returns the kind and the event id of a row of `events`, where it has both.
fn event_of(row: &Value) -> Option<(&str, &str)> {
    let kind = row.get(0)?.as_str()?;
    let place = match kind {
        "ev" => 0,
        "state" => 3,
        _ => return None,
    };
    Some((kind, row.get(1)?.get(place)?.as_str()?))
}

fn of_bytes(parts: &[&[u8]]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    // No text of JSON has the byte that stands between the parts.
    let bytes = parts.iter().flat_map(|part| part.iter().copied().chain([0xff]));
    let hash = bytes.fold(BASIS, step);
    (hash ^ (hash >> 32)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(stream: &str, text: &str) -> u64 {
        digest(stream, &Row::from(text))
    }

    #[test]
    fn a_row_is_known_by_its_value_and_not_by_its_text() {
        let wire = of("receipts", r#"["\u2603", {"b": 1, "a": 2}]"#);
        assert_eq!(wire, of("receipts", r#"["☃",{"a":2,"b":1}]"#));
        assert_ne!(wire, of("receipts", r#"["☃",{"a":2,"b":2}]"#));
    }

    #[test]
    fn of_an_event_the_kind_and_the_id_count_alone() {
        let event = of("events", r#"["ev",["$e","!r","m.room.message",null,null,null]]"#);
        assert_eq!(event, of("events", r#"["ev",["$e","!r","m.room.message",null,"$x",null]]"#));
        assert_ne!(event, of("events", r#"["ev",["$f","!r","m.room.message",null,null,null]]"#));
        assert_ne!(event, of("events", r#"["state",["!r","m.room.topic","","$e"]]"#));
        let gone = of("events", r#"["state",["!r","m.room.topic","",null]]"#);
        assert_ne!(gone, of("events", r#"["state",["!r","m.room.name","",null]]"#));
    }

    #[test]
    fn digests_never_change_as_they_are_saved() {
        assert_eq!(of("caches", "[1]"), 0xedd6_ea23_12b0_1924);
        assert_eq!(of("events", r#"["ev",["$e"]]"#), 0xd38a_7d8a_4044_6cc0);
    }
}
