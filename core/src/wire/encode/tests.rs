use bytestring::ByteString;
use proptest::prelude::*;

use super::*;
use crate::wire::{Decoder, FederationAck, InvalidateCache, Secret};

fn written(command: &Command, dialect: Dialect) -> Result<String, EncodeError> {
    let mut out = BytesMut::from(&b"before|"[..]);
    let result = encode(command, dialect, &mut out);
    assert!(out.starts_with(b"before|"));
    let line = String::from_utf8_lossy(&out["before|".len()..]).into_owned();
    if result.is_err() {
        assert_eq!(line, "", "a refused command leaves nothing behind");
    }
    result.map(|()| line)
}

fn rdata(token: Option<i64>) -> Command {
    Command::Rdata(Rdata {
        stream: "events".into(),
        instance: "p1".into(),
        token: token.map(Token::new),
        row: r#"["ev", ["☃ \u2603"]]"#.into(),
    })
}

fn user_sync(instance_id: Option<&'static str>, device: Option<&'static str>) -> Command {
    Command::UserSync(Box::new(UserSync {
        instance_id: instance_id.map(ByteString::from_static),
        user: "@u:a".into(),
        device: device.map(ByteString::from_static),
        syncing: true,
        last_sync_ms: 5,
    }))
}

fn user_ip(device: Option<&str>) -> Command {
    Command::UserIp(Box::new(UserIp {
        user: "@u:a".into(),
        access_token: Secret::new("tok".to_owned()),
        ip: "::1".to_owned(),
        user_agent: "ua \"☃\"".to_owned(),
        device: device.map(str::to_owned),
        last_seen_ms: 5,
    }))
}

/// Checks the line that each dialect writes for a command, oldest first; `None` where it cannot.
#[track_caller]
fn in_each_dialect(command: &Command, lines: [Option<&str>; 6]) {
    for (dialect, line) in Dialect::ALL.into_iter().zip(lines) {
        let found = written(command, dialect);
        assert_eq!(found.as_deref().ok(), line, "{dialect}: {found:?}");
    }
}

/// Checks the line of a command that is the same in each dialect in which the command exists.
#[track_caller]
fn exists(command: &Command, line: &str, existence: [bool; 6]) {
    in_each_dialect(command, existence.map(|exists| exists.then_some(line)));
    for (dialect, exists) in Dialect::ALL.into_iter().zip(existence) {
        if !exists {
            let expected = EncodeError::NotInDialect { command: command.name(), dialect };
            assert_eq!(written(command, dialect), Err(expected));
        }
    }
}

#[test]
fn rows_and_positions_are_written_as_each_dialect_does() {
    let row = r#"["ev", ["☃ \u2603"]]"#;
    let (old, new) = (format!("RDATA events 7 {row}"), format!("RDATA events p1 7 {row}"));
    let (old, new) = (Some(&*old), Some(&*new));
    in_each_dialect(&rdata(Some(7)), [old, old, new, new, new, new]);
    let (old, new) = (format!("RDATA events batch {row}"), format!("RDATA events p1 batch {row}"));
    let (old, new) = (Some(&*old), Some(&*new));
    in_each_dialect(&rdata(None), [old, old, new, new, new, new]);

    let position = Command::Position(Position {
        stream: "events".into(),
        instance: "p1".into(),
        prev: Token::new(5),
        token: Token::new(7),
        ends_catch_up: false,
    });
    let (oldest, middle, newest) =
        (Some("POSITION events 7"), Some("POSITION events p1 7"), Some("POSITION events p1 5 7"));
    in_each_dialect(&position, [oldest, oldest, middle, middle, newest, newest]);
}

#[test]
fn replicate_is_bare_with_a_space_or_names_a_stream() {
    exists(
        &Command::Replicate(Replicate::Everything),
        "REPLICATE ",
        [false, false, true, true, true, true],
    );
    for (from, line) in [(None, "REPLICATE ALL NOW"), (Some(Token::new(5)), "REPLICATE ALL 5")] {
        exists(
            &Command::Replicate(Replicate::Stream { stream: "ALL".into(), from }),
            line,
            [true, true, false, false, false, false],
        );
    }
}

#[test]
fn user_sync_gains_an_instance_id_and_then_a_device() {
    let old = Some("USER_SYNC @u:a start 5");
    let middle = Some("USER_SYNC i @u:a start 5");
    in_each_dialect(
        &user_sync(Some("i"), Some("DEV")),
        [old, old, middle, middle, middle, Some("USER_SYNC i @u:a DEV start 5")],
    );
    in_each_dialect(
        &user_sync(Some("i"), None),
        [old, old, middle, middle, middle, Some("USER_SYNC i @u:a None start 5")],
    );
    in_each_dialect(&user_sync(None, None), [old, old, None, None, None, None]);
    assert_eq!(
        written(&user_sync(None, None), Dialect::V1_13),
        Err(EncodeError::Missing {
            command: "USER_SYNC",
            field: "the instance id",
            dialect: Dialect::V1_13
        })
    );
}

#[test]
fn federation_ack_names_the_sender_from_1_18_on() {
    let ack = |instance: Option<&'static str>| {
        let instance = instance.map(ByteString::from_static);
        Command::FederationAck(FederationAck { instance, token: Token::new(5) })
    };
    let (old, new) = (Some("FEDERATION_ACK 5"), Some("FEDERATION_ACK fed1 5"));
    in_each_dialect(&ack(Some("fed1")), [old, old, old, new, new, new]);
    in_each_dialect(&ack(None), [old, old, old, None, None, None]);
}

#[test]
fn user_ip_is_positional_in_the_oldest_dialect() {
    let json = Some(r#"USER_IP @u:a ["tok","::1","ua \"\u2603\"","DEV",5]"#);
    let positional = Some(r#"USER_IP @u:a tok ::1 DEV 5 ua "☃""#);
    in_each_dialect(&user_ip(Some("DEV")), [positional, json, json, json, json, json]);
    let json = Some(r#"USER_IP @u:a ["tok","::1","ua \"\u2603\"",null,5]"#);
    let positional = Some(r#"USER_IP @u:a tok ::1 None 5 ua "☃""#);
    in_each_dialect(&user_ip(None), [positional, json, json, json, json, json]);
}

#[test]
fn a_command_is_refused_in_dialects_that_lack_it() {
    const EVERYWHERE: [bool; 6] = [true; 6];
    exists(&Command::Server("a b".into()), "SERVER a b", EVERYWHERE);
    exists(&Command::Name("w".into()), "NAME w", EVERYWHERE);
    exists(&Command::Ping("".into()), "PING ", EVERYWHERE);
    exists(&Command::Error("our own error".into()), "ERROR our own error", EVERYWHERE);
    exists(&Command::Sync("x".into()), "SYNC x", [true, true, false, false, false, false]);
    exists(
        &Command::RemoteServerUp("a".into()),
        "REMOTE_SERVER_UP a",
        [false, true, true, true, true, true],
    );
    exists(
        &Command::ClearUserSync("i".into()),
        "CLEAR_USER_SYNC i",
        [false, false, true, true, true, true],
    );
    exists(
        &Command::RemovePusher(RemovePusher {
            app_id: "app".into(),
            push_key: "key".into(),
            user: "@u:a".into(),
        }),
        "REMOVE_PUSHER app key @u:a",
        [true, true, true, true, true, false],
    );
    exists(
        &Command::InvalidateCache(InvalidateCache { function: "f".into(), keys: "[1]".into() }),
        "INVALIDATE_CACHE f [1]",
        [true, true, true, false, false, false],
    );
    exists(
        &Command::LockReleased(LockReleased {
            instance: "p1".to_owned(),
            lock: "l".to_owned(),
            key: "k\n".to_owned(),
        }),
        r#"LOCK_RELEASED ["p1","l","k\n"]"#,
        [false, false, false, false, true, true],
    );
    let newest = [false, false, false, false, false, true];
    exists(&Command::NewActiveTask("t".into()), "NEW_ACTIVE_TASK t", newest);
    exists(&Command::CancelTask("t".into()), "CANCEL_TASK t", newest);
}

#[test]
fn a_field_that_the_wire_cannot_carry_is_refused_by_name() {
    let position = |stream: &'static str, instance: &'static str| {
        let position = Position {
            stream: stream.into(),
            instance: instance.into(),
            prev: Token::START,
            token: Token::START,
            ends_catch_up: false,
        };
        written(&Command::Position(position), Dialect::LATEST)
    };
    let command = "POSITION";
    let (stream, instance) = ("the stream name", "the instance name");
    assert_eq!(position("a b", "c"), Err(EncodeError::Space { command, field: stream }));
    assert_eq!(position("a", "b c"), Err(EncodeError::Space { command, field: instance }));
    assert_eq!(position("a", "b\nc"), Err(EncodeError::Newline { command, field: instance }));
    assert_eq!(position("", "c"), Err(EncodeError::Empty { command, field: stream }));
    assert_eq!(position("a", ""), Err(EncodeError::Empty { command, field: instance }));

    let row = |row: &'static str| {
        let rdata =
            Rdata { stream: "a".into(), instance: "b".into(), token: None, row: row.into() };
        written(&Command::Rdata(rdata), Dialect::LATEST)
    };
    let (command, field) = ("RDATA", "the row");
    assert_eq!(row("[1,\n2]"), Err(EncodeError::Newline { command, field }));
    assert_eq!(row(""), Err(EncodeError::Empty { command, field }));
    assert_eq!(
        written(&Command::Ping("1\nPING 2".into()), Dialect::LATEST),
        Err(EncodeError::Newline { command: "PING", field: "the text" })
    );
    assert_eq!(
        written(&user_sync(Some("i"), Some("my phone")), Dialect::LATEST),
        Err(EncodeError::Space { command: "USER_SYNC", field: "the device id" })
    );
}

/// The command that is read back from its line: without what the dialect cannot carry.
fn as_carried(mut command: Command, dialect: Dialect) -> Command {
    let names = dialect.names_instances();
    let main = || ByteString::from_static("master");
    if let Command::Rdata(rdata) = &mut command
        && !names
    {
        rdata.instance = main();
    }
    if let Command::Position(position) = &mut command {
        if !names {
            position.instance = main();
        }
        if !dialect.position_has_prev() {
            position.prev = position.token;
        }
        position.ends_catch_up = !names;
    }
    if let Command::UserSync(sync) = &mut command {
        sync.instance_id.take_if(|_| !names);
        sync.device.take_if(|_| !dialect.user_sync_has_device());
    }
    if let Command::FederationAck(ack) = &mut command {
        ack.instance.take_if(|_| !dialect.federation_ack_names_instance());
    }
    command
}

fn word() -> impl Strategy<Value = ByteString> {
    "[^ \n]{1,12}|batch|NOW|start|[0-9]{1,3}|\\[x|☃".prop_map(ByteString::from)
}

fn device() -> impl Strategy<Value = Option<ByteString>> {
    prop::option::of(word().prop_filter("looks like no device", |id| &**id != "None"))
}

fn rest() -> impl Strategy<Value = ByteString> {
    "[^\n]{0,20}".prop_map(ByteString::from)
}

fn token() -> impl Strategy<Value = Token> {
    prop_oneof![any::<i64>(), 0..1000_i64].prop_map(Token::new)
}

fn json() -> impl Strategy<Value = Row> {
    prop::collection::vec(
        prop_oneof![
            any::<String>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            Just(serde_json::Value::Null),
            Just(serde_json::json!({"a b": [true, {}]})),
        ],
        0..5,
    )
    .prop_map(|items| Row::from(&*serde_json::Value::from(items).to_string()))
}

fn commands() -> impl Strategy<Value = Command> {
    let rdata = (word(), word(), prop::option::of(token()), json())
        .prop_map(|(stream, instance, token, row)| Rdata { stream, instance, token, row });
    let position =
        (word(), word(), token(), token()).prop_map(|(stream, instance, prev, token)| Position {
            stream,
            instance,
            prev,
            token,
            ends_catch_up: false,
        });
    let sync = (prop::option::of(word()), word(), device(), any::<bool>(), any::<i64>()).prop_map(
        |(instance_id, user, device, syncing, last_sync_ms)| UserSync {
            instance_id,
            user,
            device,
            syncing,
            last_sync_ms,
        },
    );
    let access_token =
        word().prop_filter("looks like JSON", |token| !token.starts_with(['[', '{']));
    let ip = (word(), access_token, word(), rest(), device(), any::<i64>()).prop_map(
        |(user, access_token, ip, user_agent, device, last_seen_ms)| UserIp {
            user,
            access_token: Secret::new(access_token.to_string()),
            ip: ip.to_string(),
            user_agent: user_agent.to_string(),
            device: device.map(String::from),
            last_seen_ms,
        },
    );
    prop_oneof![
        rest().prop_map(Command::Server),
        rest().prop_map(Command::Name),
        rest().prop_map(Command::Ping),
        rest().prop_map(Command::Error),
        rest().prop_map(Command::Sync),
        rest().prop_map(Command::ClearUserSync),
        rest().prop_map(Command::RemoteServerUp),
        rest().prop_map(Command::NewActiveTask),
        rest().prop_map(Command::CancelTask),
        Just(Command::Replicate(Replicate::Everything)),
        (word(), prop::option::of(token()))
            .prop_map(|(stream, from)| Command::Replicate(Replicate::Stream { stream, from })),
        rdata.prop_map(Command::Rdata),
        position.prop_map(Command::Position),
        sync.prop_map(|sync| Command::UserSync(Box::new(sync))),
        (prop::option::of(word()), token()).prop_map(|(instance, token)| {
            Command::FederationAck(FederationAck { instance, token })
        }),
        (word(), word(), word()).prop_map(|(app_id, push_key, user)| {
            Command::RemovePusher(RemovePusher { app_id, push_key, user })
        }),
        (word(), json()).prop_map(|(function, keys)| {
            Command::InvalidateCache(InvalidateCache { function, keys })
        }),
        ip.prop_map(|seen| Command::UserIp(Box::new(seen))),
        any::<[String; 3]>().prop_map(|[instance, lock, key]| {
            Command::LockReleased(LockReleased { instance, lock, key })
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_written_is_read_back_as_the_dialect_can_carry_it(command in commands()) {
        let mut dialects = 0;
        for dialect in Dialect::ALL {
            let mut line = BytesMut::new();
            match encode(&command, dialect, &mut line) {
                Ok(()) => {
                    dialects += 1;
                    let line = line.freeze();
                    prop_assert!(!line.contains(&b'\n'));
                    let read = Decoder::new().decode(&line);
                    prop_assert_eq!(read, Ok(as_carried(command.clone(), dialect)), "{:?}", line);
                }
                Err(EncodeError::NotInDialect { .. } | EncodeError::Missing { .. }) => {
                    prop_assert_eq!(line.len(), 0);
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
        prop_assert!(dialects > 0, "every command exists somewhere");
    }
}
