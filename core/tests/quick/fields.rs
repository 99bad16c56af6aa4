//! Every field of every command, one by one: a value that cannot be decoded or encoded is refused
//! with a typed error, at any place in the line.

use bytes::{Bytes, BytesMut};
use synrepl_core::{
    stream::{Row, Token},
    typed::parse,
    wire::{
        Command, Decoder, Dialect, FederationAck, InvalidateCache, Position, Rdata, RemovePusher,
        Replicate, Secret, UserIp, UserSync, encode,
    },
};

/// No word of a line may have a space.
const BAD: &str = "two words";

#[track_caller]
fn not_written(command: &Command, dialect: Dialect) {
    let mut out = BytesMut::from(&b"before"[..]);
    assert!(encode(command, dialect, &mut out).is_err(), "{command:?}");
    assert_eq!(out, "before");
}

#[test]
fn no_field_with_a_space_is_written() {
    let row = || Row::from("[]");
    let token = Token::new(1);
    for (stream, instance) in [(BAD, "w"), ("s", BAD)] {
        let (stream, instance) = (|| stream.into(), || instance.into());
        let rdata = Rdata { stream: stream(), instance: instance(), token: None, row: row() };
        not_written(&Command::Rdata(rdata), Dialect::LATEST);
        let (prev, ends_catch_up) = (token, false);
        let position =
            Position { stream: stream(), instance: instance(), prev, token, ends_catch_up };
        not_written(&Command::Position(position), Dialect::LATEST);
    }
    let stream = Replicate::Stream { stream: BAD.into(), from: None };
    not_written(&Command::Replicate(stream), Dialect::V0_23);
    let ack = FederationAck { instance: Some(BAD.into()), token };
    not_written(&Command::FederationAck(ack), Dialect::LATEST);
    for nth in 0..3 {
        let word = |field: usize| if field == nth { BAD } else { "x" };
        let pusher =
            RemovePusher { app_id: word(0).into(), push_key: word(1).into(), user: word(2).into() };
        not_written(&Command::RemovePusher(pusher), Dialect::V1_13);
        let sync = UserSync {
            instance_id: Some(word(0).into()),
            user: word(1).into(),
            device: None,
            syncing: true,
            last_sync_ms: 1,
        };
        if nth < 2 {
            not_written(&Command::UserSync(Box::new(sync)), Dialect::LATEST);
        }
    }
    let cache = InvalidateCache { function: BAD.into(), keys: row() };
    not_written(&Command::InvalidateCache(cache), Dialect::V1_13);
}

#[test]
fn no_field_of_an_address_with_a_space_is_written_where_it_is_not_json() {
    for nth in 0..4 {
        let word = |field: usize| if field == nth { BAD.to_owned() } else { "x".to_owned() };
        let ip = UserIp {
            user: word(0).into(),
            access_token: Secret::new(word(1)),
            ip: word(2),
            user_agent: "any words".to_owned(),
            device: Some(word(3)),
            last_seen_ms: 1,
        };
        not_written(&Command::UserIp(Box::new(ip)), Dialect::V0_22);
    }
}

#[test]
fn a_line_that_ends_too_soon_or_is_not_text_is_refused() {
    for line in [
        &b"RDATA s"[..],
        b"RDATA s w",
        b"RDATA s w 1",
        b"RDATA s  1 []",
        b"RDATA \xff w 1 []",
        b"RDATA s \xff 1 []",
        b"POSITION s",
        b"POSITION s w",
        b"POSITION s  1 1",
        b"POSITION \xff w 1 1",
        b"POSITION s \xff 1 1",
        b"POSITION s w x 1",
        b"POSITION s w 1 x",
        b"USER_SYNC i",
        b"USER_SYNC \xff @u:h D start 1",
        b"USER_SYNC i @u:h D begin 1",
        b"FEDERATION_ACK",
        b"FEDERATION_ACK \xff 1",
        b"FEDERATION_ACK s x",
        b"REMOVE_PUSHER a",
        b"USER_IP @u:h",
        b"USER_IP @u:h [",
        b"USER_IP @u:h [\"t\"",
        b"USER_IP @u:h [\"t\",1]",
        b"USER_IP @u:h [\"t\",\"ip\",1]",
        b"USER_IP @u:h [\"t\",\"ip\",\"agent\",1,1]",
        b"USER_IP @u:h [\"t\",\"ip\",\"agent\",null,1,{]",
        b"LOCK_RELEASED [\"i\"",
        b"LOCK_RELEASED [\"i\",1]",
        b"LOCK_RELEASED [\"i\",\"l\",1]",
        b"LOCK_RELEASED [\"i\",\"l\",\"k\",{]",
    ] {
        let read = Decoder::new().decode(&Bytes::copy_from_slice(line));
        let Err(error) = read else { panic!("{} is {read:?}", String::from_utf8_lossy(line)) };
        assert!(error.offset() <= line.len() && !error.expected().is_empty(), "{error}");
    }
}

#[test]
fn a_row_with_one_field_of_another_type_is_refused() {
    let presence = r#"["@u:h","online",1,2,3,"busy",true]"#;
    let edu = r#"["e",{"edu_type":"t","origin":"o","destination":"d","content":{}}]"#;
    let keyed = r#"["k",{"key":["a"],"edu":EDU}]"#.replace("EDU", &edu[5..edu.len() - 1]);
    let member = r#"["state",["!r","m.room.member","","$e","$r","join",false,true]]"#;
    // How many changes are refused, of how many: not those of what is taken verbatim, and not
    // those of what any value is good for.
    for (stream, row, expected) in [
        ("presence", presence.to_owned(), (8, 8)),
        ("federation", edu.to_owned(), (6, 7)),
        ("federation", keyed, (9, 10)),
        ("federation", r#"["pd",{"state":{},"dests":["d"]}]"#.to_owned(), (6, 6)),
        ("federation", r#"["d",{"destination":"d"}]"#.to_owned(), (4, 4)),
        ("events", member.to_owned(), (7, 11)),
    ] {
        let value: serde_json::Value = serde_json::from_str(&row).expect("JSON");
        let changes = with_one_changed(&value);
        let mut refused = 0;
        for changed in &changes {
            let text = Row::from(changed.to_string().as_str());
            if let Err(error) = parse(stream, &text) {
                assert_eq!(error.stream(), stream);
                refused += 1;
            }
        }
        assert_eq!((refused, changes.len()), expected, "{stream} {row}");
    }
}

/// The value with each of its parts in turn replaced by one of another type.
fn with_one_changed(value: &serde_json::Value) -> Vec<serde_json::Value> {
    use serde_json::{Value, json};
    let mut all = vec![if value.is_object() { json!([]) } else { json!({"not": "it"}) }];
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                for changed in with_one_changed(item) {
                    let mut items = items.clone();
                    items[at] = changed;
                    all.push(Value::Array(items));
                }
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                for changed in with_one_changed(member) {
                    let mut members = members.clone();
                    members.insert(key.clone(), changed);
                    all.push(Value::Object(members));
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    all
}
