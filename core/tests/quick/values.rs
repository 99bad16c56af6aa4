//! The public values: their comparison, their order and their text.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher as _},
};

use crate::bench::Bench;
use bytes::{Bytes, BytesMut};
use synrepl_core::{
    Action, Config, Event, GapReason, Timestamp,
    stream::{Positions, Row, Rows, Source, Span, Token},
    typed::{CacheInvalidation, CachesRow, StreamRow as _},
    wire::{Decoder, RespDecoder, RespErrorKind, RespLimits, Secret},
};

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn sources_are_told_apart_by_both_names_and_ordered_by_stream_first() {
    let names = [("a", "w"), ("a", "x"), ("b", "a"), ("b", "w")];
    let sources = names.map(|(stream, instance)| Source::new(stream, instance));
    for (at, source) in sources.iter().enumerate() {
        for (other_at, other) in sources.iter().enumerate() {
            assert_eq!(source == other, at == other_at);
            assert_eq!(source.partial_cmp(other), Some(at.cmp(&other_at)));
            assert_eq!(hash_of(source) == hash_of(other), at == other_at);
        }
    }
    let again = Source::new("a", "w");
    assert_eq!(
        (again.cmp(&sources[0]), hash_of(&again)),
        (std::cmp::Ordering::Equal, hash_of(&sources[0]))
    );
    assert_eq!(sources.iter().collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn positions_are_counted_per_source_and_overwritten() {
    let mut positions = Positions::new();
    assert!(positions.is_empty());
    for (instance, token) in [("p1", 4), ("p2", 9), ("p1", 3)] {
        positions.set(&Source::new("events", instance), Token::new(token));
    }
    assert!(!positions.is_empty());
    assert_eq!(positions.len(), 2);
    assert_eq!(positions.get(&Source::new("events", "p1")), Some(Token::new(3)));
    assert_eq!(positions.highest("events"), Some(Token::new(9)));
    assert_eq!(positions.highest("typing"), None);
    let again: Positions =
        positions.iter().map(|(source, token)| (source.clone(), token)).collect();
    assert_eq!(again, positions);
}

#[test]
fn positions_and_rows_of_another_shape_are_refused_with_the_shape_that_they_have() {
    let error = |text| serde_json::from_str::<Positions>(text).unwrap_err().to_string();
    assert!(error("[]").contains("an object of streams, each with its writers and their tokens"));
    assert!(error(r#"{"events":7}"#).starts_with("invalid type: integer `7`, expected a map"));
    assert!(serde_json::from_str::<Rows>("{}").unwrap_err().to_string().contains("a sequence"));
}

#[test]
fn rows_are_gone_through_in_order_and_given_up_as_bytes() {
    let rows = Rows::new(vec![Row::from("[1]"), Row::from("[2]")]).expect("two rows");
    let texts: Vec<_> = (&rows).into_iter().map(Row::as_str).collect();
    assert_eq!(texts, ["[1]", "[2]"]);
    assert_eq!(Row::from("[1]").into_bytes(), Bytes::from_static(b"[1]"));
    assert!(Row::from("").is_empty());
    assert_eq!(Rows::new(Vec::new()), None);
    assert!(serde_json::from_str::<Rows>("[]").is_err());
}

#[test]
fn what_an_event_says_of_a_position_is_where_to_resume() {
    let (source, from, upto) = (Source::new("events", "w"), Token::new(3), Token::new(9));
    let reason = GapReason::NoEndpoint;
    let gap = Event::Gap { source: source.clone(), span: Span { from, upto }, reason };
    assert_eq!(gap.position(), Some((&source, upto)));
    assert_eq!(Event::Stopped.position(), None);
}

#[test]
fn no_distance_is_negative() {
    assert_eq!(Token::new(3).distance_from(Token::new(9)), 0);
    assert_eq!(Token::new(9).distance_from(Token::new(3)), 6);
}

#[test]
fn a_time_is_shown_in_seconds() {
    assert_eq!(Timestamp::from_micros(12_000_345).to_string(), "12.000345s");
}

#[test]
fn a_secret_is_not_shown() {
    let secret = Secret::new("syt_secret".to_owned());
    assert!(!format!("{secret:?} {secret}").contains("syt_secret"));
    assert_eq!(secret.expose(), "syt_secret");
}

#[test]
fn an_error_of_a_bus_says_what_and_where() {
    let mut limits = RespLimits::default();
    limits.line_bytes_max = 4;
    let mut decoder = RespDecoder::new(limits);
    let mut stream = BytesMut::from(&b"+OK\r\n?"[..]);
    assert!(decoder.decode(&mut stream).expect("a frame").is_some());
    let error = decoder.decode(&mut stream).expect_err("no frame begins like that");
    assert!(matches!(error.kind(), RespErrorKind::Type { .. }), "{error}");
    assert_eq!(error.offset(), 5);
}

#[test]
fn a_decoder_checks_rows_unless_it_is_told_not_to() {
    let line = Bytes::from_static(b"RDATA events w 1 nonsense");
    assert!(Decoder::default().decode(&line).is_err());
    assert!(Decoder::default().without_row_validation().decode(&line).is_ok());
}

#[test]
fn a_bad_line_is_named_by_its_kind() {
    let said = |line: &'static [u8]| {
        let error = Decoder::new().decode(&Bytes::from_static(line)).expect_err("no command");
        error.to_string()
    };
    assert!(said(b" ").starts_with("blank line"), "{}", said(b" "));
    assert!(said(b"PING \xff").starts_with("not UTF-8"), "{}", said(b"PING \xff"));
}

#[test]
fn what_a_cache_row_makes_stale_is_shown_by_name() {
    for (row, name) in [
        (r#"["cs_cache_fake",["!r","@u:h"],1]"#, "CurrentState"),
        (r#"["ph_cache_fake",["!r"],1]"#, "HistoryPurged"),
        (r#"["dr_cache_fake",["!r"],1]"#, "RoomDeleted"),
        (
            r#"["_get_e2e_cross_signing_signatures_for_device",["[\"@u:h\",\"D\"]"],1]"#,
            "DeviceSignatures",
        ),
        (r#"["get_user_by_id",null,1]"#, "WholeCache"),
        (r#"["get_user_by_id",["@u:h"],1]"#, "Entry"),
    ] {
        let row = Row::from(row);
        let parsed = CachesRow::parse(&row).expect("a row of caches");
        let invalidation: CacheInvalidation<'_> = parsed.invalidation().expect("it says what");
        assert!(format!("{invalidation:?}").starts_with(name), "{invalidation:?}");
    }
}

#[test]
fn nodes_that_were_told_the_same_are_equal_and_others_are_not() {
    let told = |lines: &[&str]| {
        let mut bench = Bench::connected(Config::default());
        for line in lines {
            bench.hear(line);
        }
        bench.node
    };
    let lines = ["POSITION caches w 3 3", "RDATA caches w 4 [\"f\",null,1]"];
    let (one, same) = (told(&lines), told(&lines));
    assert!(one == same);
    assert_eq!(hash_of(&one), hash_of(&same));
    assert!(one != told(&lines[..1]));
    assert!(one != told(&["POSITION caches w 3 3", "RDATA caches w 4 [\"g\",null,1]"]));
}

#[test]
fn what_all_senders_have_stored_is_told() {
    let mut config = Config::default();
    config.publish.own_streams.insert("federation".to_owned(), Token::new(7));
    config.users.federation_senders = ["s1", "s2"].map(str::to_owned).into();
    let mut bench = Bench::connected(config);
    let mut acked = Vec::new();
    for line in ["FEDERATION_ACK s1 5", "FEDERATION_ACK s2 3", "FEDERATION_ACK s2 6"] {
        for action in bench.hear(line) {
            if let Action::Notify(Event::FederationAcked { token }) = action {
                acked.push(token.get());
            }
        }
    }
    assert_eq!(acked, [3, 5]);
}

#[test]
fn a_line_that_is_refused_says_what_should_have_stood_there() {
    let line = Bytes::from_static(b"POSITION events w x 5");
    let error = Decoder::new().decode(&line).expect_err("x is no token");
    assert_eq!((error.command(), error.offset()), ("POSITION", 18));
    assert_eq!(error.expected(), "a token");
}
