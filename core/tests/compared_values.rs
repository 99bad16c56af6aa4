//! The small values of the interface: what they say of themselves.

use std::{
    cmp::Ordering,
    collections::BTreeSet,
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
};

use bytes::Bytes;
use synrepl_core::{
    stream::{Positions, Row, Rows, Source, Token},
    wire::Decoder,
};

#[test]
fn positions_are_counted_over_all_streams() {
    let mut positions = Positions::new();
    assert_eq!((positions.len(), positions.is_empty()), (0, true));
    positions.set("events", "p1", Token::new(1));
    positions.set("events", "p2", Token::new(2));
    positions.set("typing", "p1", Token::new(3));
    assert_eq!((positions.len(), positions.is_empty()), (3, false));
}

#[test]
fn sources_are_told_apart_by_both_names_and_ordered_by_stream_first() {
    let names = [("a", "w"), ("a", "x"), ("b", "a"), ("b", "w")];
    let sources = names.map(|(stream, instance)| Source::new(stream, instance));
    let hash = |source: &Source| BuildHasherDefault::<DefaultHasher>::default().hash_one(source);
    for (at, source) in sources.iter().enumerate() {
        for (other_at, other) in sources.iter().enumerate() {
            assert_eq!(source == other, at == other_at);
            assert_eq!(source.partial_cmp(other), Some(at.cmp(&other_at)));
            assert_eq!(hash(source) == hash(other), at == other_at);
        }
    }
    let again = Source::new("a", "w");
    assert_eq!((again.cmp(&sources[0]), hash(&again)), (Ordering::Equal, hash(&sources[0])));
    assert_eq!(sources.iter().collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn rows_are_walked_in_their_order_and_give_their_bytes() {
    let rows = Rows::from(vec![Row::from("[1]"), Row::from("[2]")]);
    let mut texts = Vec::new();
    for row in &rows {
        texts.push(row.as_str());
    }
    assert_eq!(texts, ["[1]", "[2]"]);
    assert_eq!(Row::from("[1]").into_bytes(), Bytes::from_static(b"[1]"));
}

#[test]
fn a_line_that_is_refused_says_what_should_have_stood_there() {
    let line = Bytes::from_static(b"POSITION events w x 5");
    let error = Decoder::new().decode(&line).expect_err("x is no token");
    assert_eq!((error.command(), error.offset()), ("POSITION", 18));
    assert_eq!(error.expected(), "a token");
}
