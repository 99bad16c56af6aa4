//! The commands, lines and pages of other instances, which keep no rules: choices enter, any value
//! of the type leaves.

use bytes::Bytes;
use synrepl_core::{
    ConnectionId, Input, Transport,
    stream::{FetchError, Page, Row, Token},
    wire::{
        BadRow, Command, DecodeError, DecodeErrorKind, Decoder, FederationAck, InvalidateCache,
        LockReleased, Position, Rdata, RemovePusher, Replicate, Secret, UserIp, UserSync,
    },
};

use super::logs::OWN_STREAMS;
use crate::choices::Choices;

/// One stream of each class, and an unknown one.
pub(super) const STREAMS: [&str; 9] = [
    "events",
    "receipts",
    "typing",
    "backfill",
    "caches",
    "device_lists",
    "profile_updates",
    "federation",
    "from_the_future",
];

/// The names of writers, of which the last is our own.
pub(super) const WRITERS: [&str; 4] = ["w0", "w1", "w2", "synrepl"];

/// The server name of the deployment.
pub(super) const SERVER: &str = "example.com";

/// Returns a token, mostly a small one, so that tokens coincide, and sometimes an end of the range.
pub(super) fn small_token(choices: &mut Choices<'_>) -> Token {
    Token::new(match choices.byte() {
        255 => i64::MAX,
        254 => i64::MIN,
        253 => -1,
        252 => i64::MAX - 1,
        251 => 1_000_000,
        byte => i64::from(byte % 24),
    })
}

fn row(choices: &mut Choices<'_>) -> Row {
    match choices.byte() {
        255 => Row::from(format!("[\"{}\"]", "x".repeat(60)).as_str()),
        254 => Row::from(r#"["get_user_by_access_token",["syt_abcdefghijkl"],1]"#),
        byte => Row::from(format!("[{}]", byte % 6).as_str()),
    }
}

pub(super) fn rdata(choices: &mut Choices<'_>) -> Command {
    let (stream, instance) = (choices.one_of(&STREAMS), choices.one_of(&WRITERS));
    let token = Some(small_token(choices));
    Command::Rdata(Rdata {
        stream: stream.into(),
        instance: instance.into(),
        token,
        row: row(choices),
    })
}

pub(super) fn batch_row(choices: &mut Choices<'_>) -> Command {
    let (stream, instance) = (choices.one_of(&STREAMS), choices.one_of(&WRITERS));
    let row = row(choices);
    Command::Rdata(Rdata { stream: stream.into(), instance: instance.into(), token: None, row })
}

pub(super) fn position(choices: &mut Choices<'_>) -> Command {
    Command::Position(Position {
        stream: choices.one_of(&STREAMS).into(),
        instance: choices.one_of(&WRITERS).into(),
        prev: small_token(choices),
        token: small_token(choices),
        ends_catch_up: false,
    })
}

/// Returns the command, mostly in a form that a server of the oldest dialect, which has one writer,
/// could send.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other commands stay as they are")]
pub(super) fn in_dialect(
    command: Command,
    transport: Transport,
    choices: &mut Choices<'_>,
) -> Command {
    let oldest = matches!(transport, Transport::Tcp(dialect) if !dialect.names_instances());
    match command {
        Command::Rdata(rdata) if oldest => {
            Command::Rdata(Rdata { instance: "master".into(), ..rdata })
        }
        Command::Position(position) if oldest => Command::Position(Position {
            instance: "master".into(),
            prev: position.token,
            ends_catch_up: choices.byte() != 255,
            ..position
        }),
        command => command,
    }
}

pub(super) fn other_command(choices: &mut Choices<'_>) -> Command {
    match choices.below(4) {
        0 => Command::Replicate(Replicate::Everything),
        1 => Command::RemoteServerUp("remote.example".into()),
        2 => Command::LockReleased(LockReleased {
            instance: choices.one_of(&WRITERS).to_owned(),
            lock: "lock".to_owned(),
            key: "key".to_owned(),
        }),
        _ => Command::Ping("1".into()),
    }
}

/// Returns a command of any kind, most often a request.
pub(super) fn any_command(choices: &mut Choices<'_>) -> Command {
    match choices.below(24) {
        0 => Command::Ping("1".into()),
        1 => Command::Name("peer".into()),
        2 => Command::Error("no".into()),
        3 => Command::Server(if choices.below(4) == 3 { "wrong" } else { SERVER }.into()),
        4 => Command::Sync("1".into()),
        5 | 6 => user_sync(choices),
        7 => Command::ClearUserSync(choices.one_of(&["i0", "synrepl"]).into()),
        8 | 9 => {
            let instance = choices.one_of(&[None, Some("w0"), Some("w1")]).map(Into::into);
            let token = small_token(choices);
            Command::FederationAck(FederationAck { instance, token })
        }
        10 => Command::RemovePusher(RemovePusher {
            app_id: "app".into(),
            push_key: "key".into(),
            user: "@a:x".into(),
        }),
        11 => Command::InvalidateCache(InvalidateCache {
            function: "get_user_by_access_token".into(),
            keys: row(choices),
        }),
        12 => Command::UserIp(Box::new(UserIp {
            user: "@a:x".into(),
            access_token: Secret::new("syt_abcdefghijkl".to_owned()),
            ip: "::1".to_owned(),
            user_agent: "agent".to_owned(),
            device: None,
            last_seen_ms: 1,
        })),
        13 => Command::NewActiveTask("task".into()),
        14 => Command::CancelTask("task".into()),
        15 => rdata(choices),
        16 => position(choices),
        17..=20 => {
            let stream = choices.one_of(&OWN_STREAMS).into();
            let from = (choices.below(4) > 0).then(|| small_token(choices));
            Command::Replicate(Replicate::Stream { stream, from })
        }
        21 => {
            let stream = choices.one_of(&["ALL", "nobody_writes_this"]).into();
            let from = (choices.below(4) == 3).then(|| small_token(choices));
            Command::Replicate(Replicate::Stream { stream, from })
        }
        _ => other_command(choices),
    }
}

fn user_sync(choices: &mut Choices<'_>) -> Command {
    let instance_id = choices.one_of(&[None, Some("i0"), Some("i1"), Some("synrepl")]);
    Command::UserSync(Box::new(UserSync {
        instance_id: instance_id.map(Into::into),
        user: choices.one_of(&["@a:x", "@b:x", "@c:x"]).into(),
        device: choices.one_of(&[None, Some("D")]).map(Into::into),
        syncing: choices.below(2) == 0,
        last_sync_ms: i64::from(choices.byte()),
    }))
}

/// Returns a sync of a user of ours.
pub(super) fn syncing(choices: &mut Choices<'_>) -> Input {
    Input::Syncing {
        user: choices.one_of(&["@a:x", "@b:x", "@c:x"]).into(),
        device: choices.one_of(&[None, Some("D")]).map(Into::into),
        syncing: choices.below(2) == 0,
        at_ms: small_token(choices).get(),
    }
}

/// Returns a page with any contents.
pub(super) fn any_page(choices: &mut Choices<'_>) -> Page {
    let shape = choices.byte();
    let updates = (0..shape >> 1 & 7).map(|_| (small_token(choices), row(choices))).collect();
    Page { updates, upto: small_token(choices), limited: shape & 1 == 1 }
}

/// Returns a page that keeps the rules: its rows are in order and in the requested range, and it
/// reaches the end of the range.
pub(super) fn good_page(choices: &mut Choices<'_>, from: Token, asked_upto: Token) -> Page {
    let shape = choices.byte();
    let limited = shape & 1 == 1;
    let mut updates = Vec::new();
    let mut token = from;
    for _ in 0..shape >> 1 & 7 {
        token = token.advanced_by(u32::from(choices.below(4)));
        if token > from && token <= asked_upto {
            updates.push((token, row(choices)));
        }
    }
    let last = updates.last().map(|(token, _)| *token);
    match last.filter(|_| limited) {
        Some(upto) => Page { updates, upto, limited },
        None => Page { updates, upto: asked_upto, limited: false },
    }
}

pub(super) fn fetch_error(choices: &mut Choices<'_>) -> FetchError {
    let endpoint = "http://writer".to_owned();
    match choices.below(5) {
        0 => FetchError::TimedOut { endpoint, after_ms: 1 },
        1 => FetchError::TooLarge { limit_bytes: 1 },
        2 => FetchError::Malformed { endpoint, message: "no".to_owned() },
        3 => FetchError::NoEndpoint { instance: "w0".to_owned() },
        _ => FetchError::Unreachable { endpoint, message: "no".to_owned() },
    }
}

pub(super) fn bad_row(choices: &mut Choices<'_>) -> DecodeError {
    let error = DecodeError::new(DecodeErrorKind::BadJson, 0, "a row", b"RDATA");
    let stream = choices.one_of(&STREAMS).to_owned();
    let instance = choices.one_of(&WRITERS).to_owned();
    let token = (choices.below(2) == 0).then(|| small_token(choices));
    error.with_row(BadRow { stream, instance, token })
}

/// Returns the input of a line whose bytes the fuzzer chooses.
pub(super) fn raw_line(choices: &mut Choices<'_>, conn: ConnectionId) -> Input {
    let length = usize::from(choices.byte());
    match Decoder::new().decode(&Bytes::copy_from_slice(choices.bytes(length))) {
        Ok(command) => Input::Received { conn, command },
        Err(error) => Input::Malformed { conn, error },
    }
}
