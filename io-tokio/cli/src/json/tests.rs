use serde_json::Value;
use synrepl_core::{
    ConnectionId, Timestamp, WaitId, WaitOutcome, Warning,
    stream::{FetchError, Row, Span},
    wire::{
        Dialect, FederationAck, InvalidateCache, LockReleased, Position, Rdata, RemovePusher,
        Secret, UserIp, UserSync,
    },
};

use super::*;

fn line(event: &Event) -> String {
    let mut out = Vec::new();
    append(&mut out, event);
    let text = String::from_utf8(out).unwrap();
    let line = text.strip_suffix('\n').unwrap();
    assert!(!line.contains(['\n', '\r']), "{line}");
    let value: Value = serde_json::from_str(line).unwrap();
    assert!(value.is_object());
    assert!(line.starts_with("{\"type\":\""), "{line}");
    line.to_owned()
}

fn command(command: Command) -> String {
    line(&Event::Command { command })
}

fn source() -> Source {
    Source::new("events", "p1")
}

fn rows(rows: &[&str], origin: Origin) -> Event {
    let rows: Vec<Row> = rows.iter().copied().map(Row::from).collect();
    let position = Token::new(289);
    Event::Rows {
        source: source(),
        token: Token::new(290),
        rows: Rows::new(rows).unwrap(),
        origin,
        position,
    }
}

#[test]
fn rows_stand_in_the_line_verbatim() {
    assert_eq!(
        line(&rows(&[r#"["ev", ["$a", 1.50]]"#, r#"["state",["\u2603"]]"#], Origin::Live)),
        r#"{"type":"rows","stream":"events","instance":"p1","token":290,"rows":[["ev", ["$a", 1.50]],["state",["\u2603"]]],"origin":"live","position":289}"#
    );
    assert!(line(&rows(&["[1]"], Origin::CatchUp)).contains(r#""origin":"catch_up""#));
    assert!(line(&rows(&["[1]"], Origin::Hole)).contains(r#""origin":"hole""#));
    assert!(line(&rows(&["[1]"], Origin::Audit)).contains(r#""origin":"audit""#));
}

#[test]
fn a_row_with_line_feeds_stays_one_line_with_the_same_value() {
    let text = line(&rows(&["[1,\r\n  {\"a\":\n2}]"], Origin::Live));
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["rows"], serde_json::json!([[1, {"a": 2}]]));
}

#[test]
fn each_event_of_a_source_has_the_promised_fields() {
    let (source, from, upto) = (source(), Token::new(3), Token::new(9));
    let token = upto;
    for (event, golden) in [
        (
            Event::Position { source: source.clone(), token },
            r#"{"type":"position","stream":"events","instance":"p1","token":9}"#,
        ),
        (
            Event::Gap {
                source: source.clone(),
                span: Span { from, upto },
                reason: GapReason::NoEndpoint,
            },
            r#"{"type":"gap","stream":"events","instance":"p1","from":3,"upto":9,"reason":"no_endpoint"}"#,
        ),
        (
            Event::Gap {
                source: source.clone(),
                span: Span { from, upto },
                reason: GapReason::SplitToken,
            },
            r#"{"type":"gap","stream":"events","instance":"p1","from":3,"upto":9,"reason":"split_token"}"#,
        ),
        (
            Event::Gap {
                source: source.clone(),
                span: Span { from, upto },
                reason: GapReason::GaveUp { error: FetchError::TooLarge { limit_bytes: 5 } },
            },
            r#"{"type":"gap","stream":"events","instance":"p1","from":3,"upto":9,"reason":"gave_up","error":"the answer is larger than 5 bytes"}"#,
        ),
        (
            Event::Gap {
                source: source.clone(),
                span: Span { from, upto },
                reason: GapReason::Discontinuity,
            },
            r#"{"type":"gap","stream":"events","instance":"p1","from":3,"upto":9,"reason":"discontinuity"}"#,
        ),
        (
            Event::Discontinuity {
                source: source.clone(),
                position: upto,
                why: Break::OtherRows { token: upto, same_upto: Some(from) },
            },
            r#"{"type":"discontinuity","stream":"events","instance":"p1","position":9,"why":"other_rows","token":9,"same_upto":3}"#,
        ),
        (
            Event::Discontinuity {
                source: source.clone(),
                position: upto,
                why: Break::NoRows { looked_for: 8 },
            },
            r#"{"type":"discontinuity","stream":"events","instance":"p1","position":9,"why":"no_rows"}"#,
        ),
        (
            Event::Rewound { source: source.clone(), from: upto, to: from },
            r#"{"type":"rewound","stream":"events","instance":"p1","token":3,"from":9}"#,
        ),
        (
            Event::Reset { source: source.clone(), from: upto, token: from },
            r#"{"type":"reset","stream":"events","instance":"p1","token":3,"from":9}"#,
        ),
        (
            Event::CatchingUp { source: source.clone(), span: Span { from, upto } },
            r#"{"type":"catching_up","stream":"events","instance":"p1","from":3,"upto":9}"#,
        ),
        (
            Event::NotLive { source: source.clone(), token },
            r#"{"type":"not_live","stream":"events","instance":"p1","token":9}"#,
        ),
        (
            Event::Live { source, token },
            r#"{"type":"live","stream":"events","instance":"p1","token":9}"#,
        ),
    ] {
        assert_eq!(line(&event), golden);
    }
}

#[test]
fn connections_have_a_number_and_a_reason() {
    let conn = ConnectionId::new(2);
    assert_eq!(line(&Event::Connected { conn }), r#"{"type":"connected","connection":2}"#);
    let lost = |retry_at| Event::Disconnected { conn, reason: "no \"route\"\n".into(), retry_at };
    assert_eq!(
        line(&lost(Some(Timestamp::ZERO))),
        r#"{"type":"disconnected","connection":2,"reason":"no \"route\"\u000a","retrying":true}"#
    );
    assert!(line(&lost(None)).ends_with(r#""retrying":false}"#));
}

#[test]
fn each_command_has_its_fields_by_name() {
    let sync = UserSync {
        instance_id: Some("pIsSg".into()),
        user: "@a:b".into(),
        device: None,
        syncing: true,
        last_sync_ms: 1_700,
    };
    let pusher = RemovePusher { app_id: "app".into(), push_key: "k".into(), user: "@a:b".into() };
    let cache = InvalidateCache { function: "f".into(), keys: Row::from(r#"["k"]"#) };
    let lock = LockReleased { instance: "p1".into(), lock: "l".into(), key: "!r".into() };
    let rdata = Rdata {
        stream: "events".into(),
        instance: "p1".into(),
        token: None,
        row: Row::from("[1]"),
    };
    let position = Position {
        stream: "events".into(),
        instance: "p1".into(),
        prev: Token::new(1),
        token: Token::new(2),
        ends_catch_up: false,
    };
    let replicate = Replicate::Stream { stream: "ALL".into(), from: None };
    for (given, golden) in [
        (
            Command::UserSync(Box::new(sync)),
            r#""USER_SYNC","instance_id":"pIsSg","user":"@a:b","device":null,"syncing":true,"last_sync_ms":1700}"#,
        ),
        (Command::ClearUserSync("x".into()), r#""CLEAR_USER_SYNC","instance_id":"x"}"#),
        (
            Command::FederationAck(FederationAck {
                instance: Some("fed1".into()),
                token: Token::START,
            }),
            r#""FEDERATION_ACK","instance":"fed1","token":0}"#,
        ),
        (
            Command::RemovePusher(pusher),
            r#""REMOVE_PUSHER","app_id":"app","push_key":"k","user":"@a:b"}"#,
        ),
        (Command::InvalidateCache(cache), r#""INVALIDATE_CACHE","function":"f","keys":["k"]}"#),
        (Command::RemoteServerUp("x.org".into()), r#""REMOTE_SERVER_UP","server":"x.org"}"#),
        (Command::LockReleased(lock), r#""LOCK_RELEASED","instance":"p1","lock":"l","key":"!r"}"#),
        (Command::NewActiveTask("Eg".into()), r#""NEW_ACTIVE_TASK","task":"Eg"}"#),
        (Command::CancelTask("Eg".into()), r#""CANCEL_TASK","task":"Eg"}"#),
        (Command::Server("x".into()), r#""SERVER","server":"x"}"#),
        (Command::Name("x".into()), r#""NAME","name":"x"}"#),
        (Command::Ping("1".into()), r#""PING","text":"1"}"#),
        (Command::Replicate(Replicate::Everything), r#""REPLICATE"}"#),
        (Command::Replicate(replicate), r#""REPLICATE","stream":"ALL","from":null}"#),
        (
            Command::Rdata(rdata),
            r#""RDATA","stream":"events","instance":"p1","token":null,"row":[1]}"#,
        ),
        (
            Command::Position(position),
            r#""POSITION","stream":"events","instance":"p1","prev":1,"token":2}"#,
        ),
    ] {
        assert_eq!(command(given), format!(r#"{{"type":"command","command":{golden}"#));
    }
}

#[test]
fn an_access_token_is_redacted() {
    let seen = UserIp {
        user: "@a:b".into(),
        access_token: Secret::new("syt_abc".to_owned()),
        ip: "127.0.0.1".to_owned(),
        user_agent: "a \u{1b}[31m b".to_owned(),
        device: Some("DEV".to_owned()),
        last_seen_ms: 5,
    };
    assert_eq!(
        command(Command::UserIp(Box::new(seen))),
        r#"{"type":"command","command":"USER_IP","user":"@a:b","access_token":"<redacted>","ip":"127.0.0.1","user_agent":"a \u001b[31m b","device":"DEV","last_seen_ms":5}"#
    );
}

#[test]
fn keys_that_are_access_tokens_are_replaced_and_rows_of_the_stream_are_not() {
    let cache = |function: &str| {
        let keys = Row::from(r#"["syt_abc"]"#);
        command(Command::InvalidateCache(InvalidateCache { function: function.into(), keys }))
    };
    let veiled = cache("get_user_by_access_token");
    assert!(veiled.contains(r#""function":"get_user_by_access_token","keys":[""#), "{veiled}");
    assert!(!veiled.contains("syt_") && veiled.ends_with(r#""]}"#), "{veiled}");
    assert!(cache("get_user_by_id").contains(r#""keys":["syt_abc"]}"#));
    let row = Row::from(r#"["get_user_by_access_token",["syt_abc"],1]"#);
    let rdata =
        Rdata { stream: "caches".into(), instance: "w".into(), token: None, row: row.clone() };
    assert!(!command(Command::Rdata(rdata)).contains("syt_"));
    let (source, token) = (Source::new("caches", "w"), Token::new(1));
    let rows =
        Event::Rows { source, token, rows: row.into(), origin: Origin::Live, position: token };
    assert!(line(&rows).contains("syt_abc"), "what a writer sent is the data of the reader");
}

#[test]
fn texts_of_others_quote_no_access_token() {
    let text = || r#"failed to parse line: USER_IP @u:h ["syt_abc"]"#;
    let conn = ConnectionId::accepted(3);
    let error = FetchError::Refused { message: text().to_owned() };
    let (source, token) = (Source::new("events", "p1"), Token::new(1));
    for event in [
        Event::Disconnected { conn, reason: text().to_owned(), retry_at: None },
        Event::PeerDisconnected { conn, reason: text().to_owned() },
        Event::Command { command: Command::Error(text().into()) },
        Event::Gap {
            source,
            span: Span { from: token, upto: token },
            reason: GapReason::GaveUp { error },
        },
    ] {
        let line = line(&event);
        assert!(line.contains("USER_IP <redacted>\"") && !line.contains("syt_"), "{line}");
    }
}

#[test]
fn what_is_not_for_stdout_writes_nothing() {
    let wait = WaitId::new(1);
    for event in [
        Event::Stopped,
        Event::Warning(Warning::DuplicateInstance { instance: "x".to_owned() }),
        Event::WaitEnded { wait, outcome: WaitOutcome::Refused },
    ] {
        let mut out = Vec::new();
        append(&mut out, &event);
        assert!(out.is_empty());
    }
}

#[test]
fn events_of_peers_publishing_and_users_have_the_promised_fields() {
    let conn = ConnectionId::accepted(3);
    let user_sync = UserSync {
        instance_id: Some("abcde".into()),
        user: "@u:x".into(),
        device: None,
        syncing: true,
        last_sync_ms: 5,
    };
    let instance = || SyncOrigin::Instance("abcde".into());
    for (event, golden) in [
        (
            Event::PeerConnected { conn, dialect: Dialect::V1_13 },
            r#"{"type":"peer_connected","peer":3,"dialect":"1.13"}"#,
        ),
        (
            Event::PeerNamed { conn, name: "w\n".into() },
            r#"{"type":"peer_named","peer":3,"name":"w\u000a"}"#,
        ),
        (
            Event::PeerDisconnected { conn, reason: "reset".to_owned() },
            r#"{"type":"peer_disconnected","peer":3,"reason":"reset"}"#,
        ),
        (
            Event::PeerCommand { conn, command: Box::new(Command::RemoteServerUp("h".into())) },
            r#"{"type":"peer_command","peer":3,"command":"REMOTE_SERVER_UP","server":"h"}"#,
        ),
        (
            Event::Published { stream: "s".into(), token: Token::new(9) },
            r#"{"type":"published","stream":"s","token":9}"#,
        ),
        (
            Event::UserSyncing { origin: instance(), sync: Box::new(user_sync) },
            r#"{"type":"user_syncing","instance_id":"abcde","user":"@u:x","device":null,"syncing":true,"last_sync_ms":5}"#,
        ),
        (
            Event::SyncingCleared {
                origin: SyncOrigin::Connection(conn),
                users: 2,
                reason: ClearedReason::Silent,
            },
            r#"{"type":"syncing_cleared","peer":3,"users":2,"reason":"silent"}"#,
        ),
        (
            Event::FederationAcked { token: Token::new(4) },
            r#"{"type":"federation_acked","token":4}"#,
        ),
    ] {
        assert_eq!(line(&event), golden);
    }
}

#[test]
fn a_command_of_a_peer_shows_no_access_token() {
    let seen = UserIp {
        user: "@u:x".into(),
        access_token: Secret::new("syt_secret".to_owned()),
        ip: "::1".into(),
        user_agent: "a".into(),
        device: None,
        last_seen_ms: 1,
    };
    let command = Box::new(Command::UserIp(Box::new(seen)));
    let line = line(&Event::PeerCommand { conn: ConnectionId::accepted(0), command });
    assert!(line.contains(r#""command":"USER_IP""#) && !line.contains("syt_secret"), "{line}");
}
