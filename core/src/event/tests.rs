use std::{collections::BTreeSet, fmt, time::Duration};

use bytestring::ByteString;
use serde::Serialize;

use super::*;
use crate::{
    stream::{FetchError, LogError, Row, Span},
    wire::{BadRow, DecodeError, DecodeErrorKind, InvalidateCache, Rdata, Secret, UserIp},
};

pub(super) const CONN: ConnectionId = ConnectionId::new(2);
pub(super) const PEER: ConnectionId = ConnectionId::accepted(3);
pub(super) const FROM: Token = Token::new(3);
pub(super) const UPTO: Token = Token::new(9);

pub(super) fn source() -> Source {
    Source::new("events", "p1")
}

pub(super) fn too_large() -> FetchError {
    FetchError::TooLarge { limit_bytes: 5 }
}

pub(super) fn malformed(line: &str) -> DecodeError {
    DecodeError::new(DecodeErrorKind::BadJson, 18, "one valid JSON value", line.as_bytes())
}

pub(super) fn fetch_failed(error: FetchError) -> Warning {
    Warning::FetchFailed {
        source: source(),
        span: Span::new(FROM, UPTO),
        attempt: 2,
        retry_in: Duration::from_millis(1_500),
        error,
    }
}

fn user_sync(user: &str, syncing: bool) -> Box<UserSync> {
    Box::new(UserSync {
        instance_id: Some("abcde".into()),
        user: user.into(),
        device: None,
        syncing,
        last_sync_ms: 5,
    })
}

/// Checks that every line is as expected, and that every variant of the type has one.
#[track_caller]
pub(super) fn assert_lines<T: fmt::Display + Serialize>(variants: usize, table: &[(T, &str)]) {
    let mut seen = BTreeSet::new();
    for (value, line) in table {
        assert_eq!(value.to_string(), *line);
        assert!(!line.ends_with('.'), "{line}");
        let json = serde_json::to_value(value).unwrap();
        let name = json.as_str().map(str::to_owned);
        seen.insert(name.or_else(|| json.as_object()?.keys().next().cloned()).unwrap());
    }
    assert_eq!(seen.len(), variants, "{seen:?}");
}

#[test]
fn every_reason_is_a_clause_of_its_own() {
    const GAVE_UP: &str =
        "every attempt to fetch them failed, the last one with: the answer is larger than 5 bytes";
    const NO_ENDPOINT: &str = "no address is known to fetch them from";
    const UNREADABLE: &str =
        "some could not be read, and it is not known what else was delivered there";
    const SPLIT: &str =
        "a page ended inside the rows of one token, and the rest cannot be requested";
    assert_lines(
        5,
        &[
            (GapReason::NoEndpoint, NO_ENDPOINT),
            (
                GapReason::Discontinuity,
                "the log there is not the one that the rows before came from",
            ),
            (GapReason::GaveUp { error: too_large() }, GAVE_UP),
            (GapReason::SplitToken, SPLIT),
            (GapReason::Unreadable, UNREADABLE),
        ],
    );
    assert_lines(
        2,
        &[
            (
                Break::OtherRows { token: UPTO, same_upto: Some(FROM) },
                "other rows stand at 9 than were delivered, and up to 3 it is the same; the \
                 address belongs to another instance, or the writer's database was restored",
            ),
            (
                Break::OtherRows { token: UPTO, same_upto: None },
                "other rows stand at 9 than were delivered; the address belongs to another \
                 instance, or the writer's database was replaced",
            ),
            (
                Break::NoRows { looked_for: 8 },
                "none of the last 8 delivered rows is in it; the address belongs to another \
                 instance, or the log was emptied",
            ),
        ],
    );
    assert_lines(
        5,
        &[
            (NotAuditedReason::NotRemembered, "it is not remembered what was delivered there"),
            (NotAuditedReason::TooManyTokens, "there are more tokens than one audit may request"),
            (NotAuditedReason::NoEndpoint, NO_ENDPOINT),
            (NotAuditedReason::GaveUp { error: too_large() }, GAVE_UP),
            (NotAuditedReason::SplitToken, SPLIT),
        ],
    );
    assert_lines(
        4,
        &[
            (NotSentReason::Disconnected, "there is no connection"),
            (NotSentReason::ObserveOnly, "this instance only observes"),
            (
                NotSentReason::NotForClients,
                "a client of this release may not send it, or it is sent by itself when it is due",
            ),
            (
                NotSentReason::OnlyFromLog,
                "rows and positions go out only from the log of an own stream",
            ),
        ],
    );
    assert_lines(
        3,
        &[
            (ClearedReason::Stopped, "it stops"),
            (ClearedReason::Silent, "it reported no user for too long"),
            (ClearedReason::Disconnected, "its connection ended"),
        ],
    );
}

#[test]
fn origins_and_outcomes_are_named() {
    assert_lines(
        3,
        &[
            (Origin::Live, "live"),
            (Origin::CatchUp, "caught up"),
            (Origin::Audit, "found by the audit"),
        ],
    );
    assert_lines(
        2,
        &[
            (SyncOrigin::Instance("abcde".into()), "instance abcde"),
            (SyncOrigin::Connection(PEER), "peer 3"),
            (SyncOrigin::Connection(CONN), "the server"),
        ],
    );
    assert_lines(
        3,
        &[
            (WaitOutcome::Reached { position: UPTO }, "reached: the position is 9"),
            (WaitOutcome::TimedOut { position: Some(FROM) }, "timed out: the position is 3"),
            (
                WaitOutcome::TimedOut { position: None },
                "timed out: nothing was received of the source",
            ),
            (
                WaitOutcome::Refused,
                "refused: the source is not followed, too many waits are open, or the node is \
                 stopping",
            ),
        ],
    );
}

#[test]
fn every_event_is_a_line_for_a_log() {
    let (conn, token, origin) = (PEER, UPTO, SyncOrigin::Instance("abcde".into()));
    let rows = |rows: Vec<Row>, origin| Event::Rows {
        source: source(),
        token,
        rows: Rows::new(rows).unwrap(),
        origin,
        position: token,
    };
    let lost = |retry_at| Event::Disconnected { conn: CONN, reason: "reset".to_owned(), retry_at };
    let command = Command::RemoteServerUp("h".into());
    assert_lines(
        23,
        &[
            (Event::Connected { conn: CONN }, "connected"),
            (lost(None), "disconnected: reset"),
            (lost(Some(Timestamp::ZERO)), "disconnected: reset; trying again"),
            (rows(vec![Row::from("[1]")], Origin::Live), "1 row of events/p1 at 9"),
            (
                rows(vec![Row::from("[1]"); 3], Origin::CatchUp),
                "3 rows of events/p1 at 9, caught up",
            ),
            (Event::Position { source: source(), token }, "events/p1 is complete up to 9"),
            (
                Event::Gap {
                    source: source(),
                    span: Span::new(FROM, UPTO),
                    reason: GapReason::NoEndpoint,
                },
                "rows (3, 9] of events/p1 could not be had: no address is known to fetch them from",
            ),
            (
                Event::Reset { source: source(), from: token, token: Token::START },
                "events/p1 starts over at 0, was at 9",
            ),
            (
                Event::Discontinuity {
                    source: source(),
                    position: token,
                    why: Break::NoRows { looked_for: 2 },
                },
                "events/p1 cannot go on from 9, as its log is another one: none of the last 2 \
                 delivered rows is in it; the address belongs to another instance, or the log was \
                 emptied",
            ),
            (
                Event::Rewound { source: source(), from: token, to: FROM },
                "events/p1 goes back from 9 to 3: its log was restored from a backup, and what it \
                 has above is fetched",
            ),
            (
                Event::CatchingUp { source: source(), span: Span::new(FROM, UPTO) },
                "events/p1 is catching up from 3 to 9",
            ),
            (
                Event::NotLive { source: source(), token },
                "events/p1 is not live at 9: its writer is requested to announce its position",
            ),
            (Event::Live { source: source(), token }, "events/p1 is live at 9"),
            (Event::Command { command: command.clone() }, "received REMOTE_SERVER_UP"),
            (
                Event::PeerCommand { conn, command: Box::new(command) },
                "peer 3 sent REMOTE_SERVER_UP",
            ),
            (
                Event::PeerConnected { conn, dialect: Dialect::V1_13 },
                "peer 3 has connected; it is spoken to as since release 1.13",
            ),
            (Event::PeerNamed { conn, name: "w1".into() }, "peer 3 is called w1"),
            (Event::PeerDisconnected { conn, reason: "reset".to_owned() }, "peer 3 is gone: reset"),
            (Event::Published { stream: "s".into(), token }, "s is published up to 9"),
            (
                Event::UserSyncing { origin: origin.clone(), sync: user_sync("@u:x", true) },
                "@u:x syncs at instance abcde",
            ),
            (
                Event::UserSyncing { origin: origin.clone(), sync: user_sync("@u:x", false) },
                "@u:x no longer syncs at instance abcde",
            ),
            (
                Event::SyncingCleared { origin, users: 2, reason: ClearedReason::Silent },
                "forgot 2 syncing users of instance abcde: it reported no user for too long",
            ),
            (
                Event::FederationAcked { token },
                "every federation sender has stored federation up to 9",
            ),
            (
                Event::WaitEnded {
                    wait: WaitId::new(4),
                    outcome: WaitOutcome::TimedOut { position: Some(FROM) },
                },
                "wait w4 timed out: the position is 3",
            ),
            (
                Event::Warning(Warning::TooManyPeers { conn }),
                "peer 3 was refused: there are as many connections as are allowed",
            ),
            (Event::Stopped, "stopped"),
        ],
    );
}

/// All events that hold a text of others, with `text` in its place.
fn foreign(text: &str) -> Vec<Event> {
    let string = || text.to_owned();
    let bytes = || ByteString::from(text);
    let source = || Source::new(text, text);
    let endpoint = string;
    let log = LogError { stream: string(), message: string() };
    let errors = [
        FetchError::NoEndpoint { instance: string() },
        FetchError::Unreachable { endpoint: endpoint(), message: string() },
        FetchError::TimedOut { endpoint: endpoint(), after_ms: 5 },
        FetchError::Status { endpoint: endpoint(), status: 500, message: string() },
        FetchError::Malformed { endpoint: endpoint(), message: string() },
        FetchError::Refused { message: string() },
        FetchError::Unusable { message: string() },
    ];
    let row = BadRow { stream: string(), instance: string(), token: None };
    let mut warnings = vec![
        Warning::Malformed { error: malformed(text) },
        Warning::Malformed { error: malformed(text).with_row(row) },
        Warning::Unanswered { sources: 2, example: source(), asked: 1 },
        Warning::DuplicateInstance { instance: string() },
        Warning::OtherWriter { stream: bytes(), instance: bytes() },
        Warning::RowsGone { source: source(), looked_for: 3 },
        Warning::NotRewound { source: source(), position: UPTO, announced: FROM },
        Warning::HoldingOverflow { source: source() },
        Warning::BatchOverflow { source: source() },
        Warning::TooManySources { source: source() },
        Warning::PeerRefused { conn: PEER, told: string() },
        Warning::PeerError { conn: PEER, text: bytes() },
        Warning::WrongDirection { conn: PEER, command: string() },
        Warning::WrongServer { expected: string(), found: bytes() },
        Warning::LogFailed { error: log, attempt: 1, retry_in: Duration::ZERO },
        Warning::RowTooLong { stream: bytes(), token: UPTO },
        Warning::BatchTooLong { stream: bytes(), token: UPTO, rows: 2 },
        Warning::TooManyStreams { stream: bytes() },
        Warning::TooManySyncing { user: bytes() },
        Warning::NotSent { command: string(), reason: NotSentReason::ObserveOnly },
    ];
    let mut events = vec![
        Event::Disconnected { conn: CONN, reason: string(), retry_at: None },
        Event::PeerDisconnected { conn: PEER, reason: string() },
        Event::PeerNamed { conn: PEER, name: bytes() },
        Event::Published { stream: bytes(), token: UPTO },
        Event::UserSyncing { origin: SyncOrigin::Instance(bytes()), sync: user_sync(text, true) },
        Event::Live { source: source(), token: UPTO },
    ];
    for error in errors {
        let (source, from, upto) = (source(), FROM, UPTO);
        let reason = NotAuditedReason::GaveUp { error: error.clone() };
        warnings.push(Warning::NotAudited {
            source: source.clone(),
            span: Span { from, upto },
            reason,
        });
        warnings.push(fetch_failed(error.clone()));
        let wrong = Some(error.clone());
        warnings.push(Warning::WrongAddress { source: source.clone(), looks: 3, error: wrong });
        events.push(Event::Gap {
            source,
            span: Span { from, upto },
            reason: GapReason::GaveUp { error },
        });
    }
    events.extend(warnings.into_iter().map(Event::Warning));
    events
}

#[test]
fn text_of_others_is_escaped() {
    for text in ["a\nb\r\0", "\u{1b}[2J\u{1b}]0;owned\u{7}", "\u{9b}31m", "\u{202e}txt.exe"] {
        for event in foreign(text) {
            let line = event.to_string();
            let bad = |c: char| c.is_control() || c == '\u{202e}';
            assert!(!line.contains(bad), "{line:?}");
        }
    }
}

#[test]
fn text_of_others_is_cut() {
    // The longest line has the names of a source, an address and a message, each up to its limit.
    let chars_max = 2 * 128 + 2 * 400 + 250;
    for text in ["x".repeat(10_000), "\u{1b}".repeat(10_000)] {
        for event in foreign(&text) {
            let line = event.to_string();
            assert!(line.chars().count() < chars_max, "{line}");
        }
    }
}

/// Events with a secret in each place where the protocol has one.
fn with_secrets() -> Vec<Event> {
    let user_ip = UserIp {
        user: "@u:h".into(),
        access_token: Secret::new("syt_secret".to_owned()),
        ip: "::1".to_owned(),
        user_agent: "a".to_owned(),
        device: None,
        last_seen_ms: 1,
    };
    let row = Row::from(r#"["get_user_by_access_token",["syt_secret"],1]"#);
    let cache = InvalidateCache {
        function: "get_user_by_access_token".into(),
        keys: Row::from(r#"["syt_secret"]"#),
    };
    let rdata = Rdata {
        stream: "caches".into(),
        instance: "w".into(),
        token: Some(UPTO),
        row: row.clone(),
    };
    let commands = [
        Command::UserIp(Box::new(user_ip)),
        Command::InvalidateCache(cache),
        Command::Rdata(rdata),
    ];
    let mut events = vec![Event::Rows {
        source: Source::new("caches", "w"),
        token: UPTO,
        rows: row.into(),
        origin: Origin::Live,
        position: UPTO,
    }];
    for command in commands {
        events.push(Event::Command { command: command.clone() });
        events.push(Event::PeerCommand { conn: PEER, command: Box::new(command) });
    }
    for line in [
        r#"USER_IP @u:h ["syt_secret","::1""#,
        "USER_IP\t[\"syt_secret\"",
        r#"RDATA caches w 9 ["get_user_by_access_token",["syt_secret"]"#,
        r#"INVALIDATE_CACHE get_user_by_access_token ["syt_secret""#,
    ] {
        events.push(Event::Warning(Warning::Malformed { error: malformed(line) }));
    }
    events
}

#[test]
fn no_secret_is_shown() {
    for event in with_secrets() {
        for line in [event.to_string(), format!("{event:?}")] {
            assert!(!line.contains("syt_"), "{line}");
        }
    }
}

#[test]
fn no_secret_that_others_quote_is_shown() {
    for text in [
        r#"failed to parse line: b'USER_IP @u:h ["syt_secret","::1"]'"#,
        r#"no such row: ["get_user_by_access_token",["syt_secret"],1]"#,
        r#"no such command: INVALIDATE_CACHE token_of ["syt_secret"]"#,
        "GET /?access_token=syt_secret",
    ] {
        let told = [
            Event::Disconnected { conn: CONN, reason: text.to_owned(), retry_at: None },
            Event::PeerDisconnected { conn: PEER, reason: text.to_owned() },
            Event::Warning(Warning::PeerError { conn: CONN, text: text.into() }),
            Event::Warning(Warning::PeerRefused { conn: PEER, told: text.to_owned() }),
            Event::Warning(fetch_failed(FetchError::Refused { message: text.to_owned() })),
            Event::Warning(Warning::LogFailed {
                error: LogError { stream: "s".to_owned(), message: text.to_owned() },
                attempt: 1,
                retry_in: Duration::ZERO,
            }),
        ];
        for event in told {
            let line = event.to_string();
            assert!(!line.contains("syt_") && line.contains("<redacted>"), "{line}");
        }
    }
}
