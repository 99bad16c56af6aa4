use proptest::prelude::*;

use super::*;
use crate::wire::{DecodeErrorKind, Replicate, UserSync};

fn decode(line: &str) -> Result<Command, DecodeError> {
    Decoder::new().decode(&Bytes::copy_from_slice(line.as_bytes()))
}

fn rdata(line: &str) -> Rdata {
    match decode(line) {
        Ok(Command::Rdata(rdata)) => rdata,
        other => panic!("{line}: {other:?}"),
    }
}

fn position_of(line: &str) -> Position {
    match decode(line) {
        Ok(Command::Position(position)) => position,
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn refused(line: &[u8], kind: DecodeErrorKind, offset: usize) -> DecodeError {
    let line = Bytes::copy_from_slice(line);
    let error = Decoder::new().decode(&line).expect_err("the line is bad");
    assert_eq!((error.kind(), error.offset()), (kind, offset), "{error}");
    error
}

fn bad_row(line: &str) -> Option<(String, String, Option<i64>)> {
    let error = decode(line).expect_err("the line is bad");
    error.row().map(|row| (row.stream.clone(), row.instance.clone(), row.token.map(Token::get)))
}

#[test]
fn rdata_of_both_forms_is_told_apart_by_the_third_field() {
    let new = rdata(r#"RDATA events p1 12 ["ev", ["$a b", null]]"#);
    assert_eq!((&*new.stream, &*new.instance), ("events", "p1"));
    assert_eq!(new.token, Some(Token::new(12)));
    assert_eq!(new.row.as_str(), r#"["ev", ["$a b", null]]"#);

    let old = rdata(r#"RDATA events 12 ["$a", "!b c"]"#);
    assert_eq!((&*old.stream, &*old.instance), ("events", "master"));
    assert_eq!(old.token, Some(Token::new(12)));
    assert_eq!(old.row.as_str(), r#"["$a", "!b c"]"#);

    let object = rdata(r#"RDATA events 12  {"event_id":"$a"}"#);
    assert_eq!(object.row.as_str(), r#"{"event_id":"$a"}"#);
}

#[test]
fn an_instance_may_be_named_like_a_token() {
    for name in ["batch", "17"] {
        let rdata = rdata(&format!("RDATA typing {name} 5 []"));
        assert_eq!((&*rdata.instance, rdata.token), (name, Some(Token::new(5))));
    }
}

#[test]
fn batch_is_no_token() {
    assert_eq!(rdata("RDATA events p1 batch []").token, None);
    assert_eq!(rdata("RDATA events batch []").token, None);
}

#[test]
fn fields_are_slices_of_the_line_but_for_known_names() {
    let line = Bytes::from(b"RDATA new_stream streams1 7 [1]".to_vec());
    let inside = line.as_ptr_range();
    let Command::Rdata(rdata) = Decoder::new().decode(&line).unwrap() else { panic!() };
    for field in [rdata.stream.as_ptr(), rdata.instance.as_ptr(), rdata.row.as_str().as_ptr()] {
        assert!(inside.contains(&field));
    }
    let line = Bytes::from(b"RDATA typing streams1 7 [1]".to_vec());
    let Command::Rdata(rdata) = Decoder::new().decode(&line).unwrap() else { panic!() };
    assert_eq!(rdata.stream, "typing");
    assert!(!line.as_ptr_range().contains(&rdata.stream.as_ptr()));
}

#[test]
fn white_space_around_a_row_is_not_part_of_it() {
    assert_eq!(rdata("RDATA typing s 7  [ 1 ] \r").row.as_str(), "[ 1 ]");
}

#[test]
fn lone_surrogate_escapes_in_rows_are_kept_verbatim() {
    assert_eq!(rdata(r#"RDATA typing s 7 ["\ud800 \udfff"]"#).row.as_str(), r#"["\ud800 \udfff"]"#);
}

#[test]
fn a_row_that_is_not_json_is_taken_only_without_validation() {
    let line = Bytes::from_static(b"RDATA typing s 7 [1,");
    assert!(Decoder::new().decode(&line).is_err());
    let Ok(Command::Rdata(rdata)) = Decoder::new().without_row_validation().decode(&line) else {
        panic!("the row is text");
    };
    assert_eq!(rdata.row.as_str(), "[1,");

    for empty in ["RDATA typing s 7 ", "RDATA typing s 7   "] {
        let line = Bytes::from_static(empty.as_bytes());
        let error = Decoder::new().without_row_validation().decode(&line).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::BadJson, empty.len()));
    }
}

#[test]
fn bad_rows_say_where_and_what_could_be_read() {
    use DecodeErrorKind::{BadField, BadJson, NotUtf8};
    refused(b"RDATA", BadField, 5);
    refused(b"RDATA ", BadField, 6);
    refused(b"RDATA events", BadField, 12);
    refused(b"RDATA events p1", BadField, 15);
    refused(b"RDATA events p1 5", BadField, 17);
    refused(b"RDATA events p1 5 ", BadJson, 18);
    refused(b"RDATA events p1 five []", BadField, 16);
    refused(b"RDATA events p1 +5 []", BadField, 16);
    refused(b"RDATA events p1 9223372036854775808 []", BadField, 16);
    refused(b"RDATA  p1 5 []", BadField, 6);
    refused(b"RDATA events  5 []", BadField, 13);
    refused(b"RDATA events p1 5 [1,]", BadJson, 21);
    refused(b"RDATA events p1 5 [1", BadJson, 20);
    refused(b"RDATA events p1 5 [1]x", BadJson, 21);
    refused(b"RDATA events p1 5 [1] [2]", BadJson, 22);
    refused(b"RDATA events p1 5 [1,\n?]", BadJson, 22);
    refused(b"RDATA events p1 5 [\"\xff\"]", NotUtf8, 20);
    refused(b"RDATA ev\xffnts p1 5 []", NotUtf8, 8);

    let read = |instance: &str, token| Some(("events".to_owned(), instance.to_owned(), token));
    assert_eq!(bad_row("RDATA events p1 5 [1"), read("p1", Some(5)));
    assert_eq!(bad_row("RDATA events p1 batch [1"), read("p1", None));
    assert_eq!(bad_row("RDATA events p1 99999999999999999999 []"), read("p1", None));
    assert_eq!(bad_row("RDATA events 5 [1"), read("master", Some(5)));
    assert_eq!(bad_row("RDATA events p1 5"), read("p1", None));
    assert_eq!(bad_row("RDATA events p1"), None);
    assert_eq!(bad_row("POSITION events p1 x y"), None);
}

#[test]
fn position_of_each_form_is_told_apart_by_the_number_of_fields() {
    let of = |line| {
        let p = position_of(line);
        (p.instance.to_string(), p.prev.get(), p.token.get(), p.ends_catch_up)
    };
    assert_eq!(of("POSITION events 7"), ("master".into(), 7, 7, true));
    assert_eq!(of("POSITION events p1 7"), ("p1".into(), 7, 7, false));
    assert_eq!(of("POSITION events p1 5 7"), ("p1".into(), 5, 7, false));
    assert_eq!(of("POSITION events p1 -5 -7"), ("p1".into(), -5, -7, false));

    use DecodeErrorKind::BadField;
    refused(b"POSITION ", BadField, 9);
    refused(b"POSITION events", BadField, 15);
    refused(b"POSITION events p1", BadField, 16);
    refused(b"POSITION events p1 x", BadField, 19);
    refused(b"POSITION events p1 1 ", BadField, 21);
    refused(b"POSITION events p1 1 9223372036854775808", BadField, 21);
    refused(b"POSITION events p1 1 2 3", BadField, 22);
}

#[test]
fn replicate_has_two_forms() {
    assert_eq!(decode("REPLICATE").unwrap(), Command::Replicate(Replicate::Everything));
    assert_eq!(decode("REPLICATE ").unwrap(), Command::Replicate(Replicate::Everything));
    for (line, stream, from) in [
        ("REPLICATE ALL NOW", "ALL", None),
        ("REPLICATE events now", "events", None),
        ("REPLICATE events 0", "events", Some(Token::new(0))),
    ] {
        let expected = Replicate::Stream { stream: stream.into(), from };
        assert_eq!(decode(line).unwrap(), Command::Replicate(expected));
    }
    refused(b"REPLICATE events", DecodeErrorKind::BadField, 16);
    refused(b"REPLICATE events soon", DecodeErrorKind::BadField, 17);
    refused(b"REPLICATE events 1 2", DecodeErrorKind::BadField, 18);
    refused(b"REPLICATE  1", DecodeErrorKind::BadField, 10);
}

#[test]
fn user_sync_is_anchored_at_the_right() {
    let sync = |line: &str| match decode(line) {
        Ok(Command::UserSync(sync)) => {
            let UserSync { instance_id, user, device, syncing, last_sync_ms } = *sync;
            let (instance_id, device) = (instance_id.map(String::from), device.map(String::from));
            (instance_id, String::from(user), device, syncing, last_sync_ms)
        }
        other => panic!("{line}: {other:?}"),
    };
    let some = |text: &str| Some(text.to_owned());
    let user = || "@u:a".to_owned();
    assert_eq!(sync("USER_SYNC @u:a start 5"), (None, user(), None, true, 5));
    assert_eq!(sync("USER_SYNC pIsSg @u:a end 5"), (some("pIsSg"), user(), None, false, 5));
    assert_eq!(sync("USER_SYNC i @u:a DEV start 5"), (some("i"), user(), some("DEV"), true, 5));
    assert_eq!(sync("USER_SYNC i @u:a None start 5"), (some("i"), user(), None, true, 5));
    assert_eq!(sync("USER_SYNC i @u:a a b end 5"), (some("i"), user(), some("a b"), false, 5));
    assert_eq!(
        sync("USER_SYNC i @u:a start end 5"),
        (some("i"), user(), some("start"), false, 5),
        "a device named like a state"
    );

    use DecodeErrorKind::BadField;
    refused(b"USER_SYNC", BadField, 9);
    refused(b"USER_SYNC x", BadField, 11);
    refused(b"USER_SYNC start 5", BadField, 15);
    refused(b"USER_SYNC lab @u:a maybe 1", BadField, 19);
    refused(b"USER_SYNC lab @u:a start x", BadField, 25);
    refused(b"USER_SYNC  start 5", BadField, 10);
}

#[test]
fn federation_ack_has_one_or_two_fields() {
    let ack = |line: &str| match decode(line) {
        Ok(Command::FederationAck(ack)) => (ack.instance.map(String::from), ack.token.get()),
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(ack("FEDERATION_ACK 5"), (None, 5));
    assert_eq!(ack("FEDERATION_ACK fed1 5"), (Some("fed1".to_owned()), 5));
    refused(b"FEDERATION_ACK", DecodeErrorKind::BadField, 14);
    refused(b"FEDERATION_ACK fed1", DecodeErrorKind::BadField, 15);
    refused(b"FEDERATION_ACK fed1 5 6", DecodeErrorKind::BadField, 21);
}

#[test]
fn remove_pusher_finds_the_user_at_the_end() {
    let pusher = |line: &str| match decode(line) {
        Ok(Command::RemovePusher(pusher)) => [pusher.app_id, pusher.push_key, pusher.user],
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(pusher("REMOVE_PUSHER app key @u:a"), ["app", "key", "@u:a"]);
    assert_eq!(pusher("REMOVE_PUSHER app a key @u:a"), ["app", "a key", "@u:a"]);
    assert_eq!(pusher("REMOVE_PUSHER app key not a user"), ["app", "key", "not a user"]);
    refused(b"REMOVE_PUSHER app @u:a", DecodeErrorKind::BadField, 22);
}

#[test]
fn user_ip_has_a_json_form_and_a_positional_one() {
    let of = |line: &str| match decode(line) {
        Ok(Command::UserIp(ip)) => {
            (ip.access_token.expose().to_owned(), ip.ip, ip.user_agent, ip.device, ip.last_seen_ms)
        }
        other => panic!("{line}: {other:?}"),
    };
    let expected = |agent: &str, device: Option<&str>| {
        ("tok".to_owned(), "1.2.3.4".to_owned(), agent.to_owned(), device.map(str::to_owned), 5)
    };
    assert_eq!(
        of(r#"USER_IP @u:a ["tok","1.2.3.4","ua ☃ \u2603","DEV",5]"#),
        expected("ua ☃ ☃", Some("DEV"))
    );
    assert_eq!(of(r#"USER_IP @u:a ["tok", "1.2.3.4", "", null, 5, "new"]"#), expected("", None));
    assert_eq!(
        of(r#"USER_IP @u:a ["tok","1.2.3.4","a\udce9\ufffd\ud83d\ude00b",null,5]"#),
        expected("a\u{fffd}\u{fffd}\u{1f600}b", None),
        "a lone surrogate becomes one replacement character"
    );
    assert_eq!(
        of("USER_IP @u:a tok 1.2.3.4 DEV 5 some agent"),
        expected("some agent", Some("DEV"))
    );
    assert_eq!(of("USER_IP @u:a tok 1.2.3.4 None 5 x"), expected("x", None));

    use DecodeErrorKind::{BadField, BadJson};
    refused(b"USER_IP @u:a", BadField, 12);
    refused(b"USER_IP @u:a [1,2,3,4,5]", BadField, 14);
    refused(br#"USER_IP @u:a ["a","b","c",null]"#, BadField, 30);
    refused(br#"USER_IP @u:a ["a","b","c",null,1.5]"#, BadField, 33);
    refused(br#"USER_IP @u:a ["a","b","c",nul]"#, BadJson, 29);
    refused(b"USER_IP @u:a tok 1.2.3.4 DEV soon x", BadField, 29);
}

#[test]
fn lock_released_tolerates_what_newer_versions_may_append() {
    for line in [r#"LOCK_RELEASED ["p1","l","k"]"#, r#"LOCK_RELEASED ["p1", "l", "k", {"x":[1]}]"#]
    {
        let Ok(Command::LockReleased(lock)) = decode(line) else { panic!("{line}") };
        assert_eq!([lock.instance, lock.lock, lock.key], ["p1", "l", "k"]);
    }
    refused(b"LOCK_RELEASED", DecodeErrorKind::BadJson, 13);
    refused(br#"LOCK_RELEASED ["p1","l"]"#, DecodeErrorKind::BadField, 23);
    refused(br#"LOCK_RELEASED {"p1":"l"}"#, DecodeErrorKind::BadField, 14);
}

/// The odd lines that Synapse was given on direct TCP. The decoder does not check whether a side
/// may send a command, so known commands of the wrong side are read.
#[test]
fn odd_lines_are_read_or_refused_as_synapse_does() {
    use DecodeErrorKind::{BadField, Blank, NotUtf8, UnknownCommand};
    refused(b"GARBAGE foo bar", UnknownCommand, 0);
    refused(b"ping 1", UnknownCommand, 0);
    refused(b" PING 1", UnknownCommand, 0);
    refused(b"", Blank, 0);
    refused(b"   ", Blank, 0);
    refused(b"\r", Blank, 0);
    refused(b"\t \x0b", Blank, 0);
    refused(b"USER_SYNC x", BadField, 11);
    refused(b"USER_SYNC lab @u1_0:localhost:28448 maybe 1", BadField, 36);
    refused(b"FEDERATION_ACK", BadField, 14);
    refused(b"NAME \xff\xfe", NotUtf8, 5);
    refused(b"\xff", NotUtf8, 0);

    let longest = format!("PING {}", "x".repeat(16_379));
    for line in [
        "RDATA events master 1 []",
        "POSITION events master 1 1",
        "SERVER evil",
        r#"LOCK_RELEASED ["x","y","z"]"#,
        "PING",
        "PING ",
        "PING \0",
        "PING 1\r",
        &longest,
        "REMOVE_PUSHER app key @u1_0:localhost:28448",
        r#"INVALIDATE_CACHE get_user_by_id ["@u1_0:localhost:28448"]"#,
        "CLEAR_USER_SYNC labinst",
        "SYNC abc",
        "REMOTE_SERVER_UP example.org",
        "ERROR our own error",
        "NAME odd",
    ] {
        let command = decode(line).unwrap_or_else(|error| panic!("{error}"));
        assert!(line.starts_with(command.name()), "{line}");
    }
    assert_eq!(decode("PING").unwrap(), Command::Ping("".into()));
    assert_eq!(decode("PING 1\r").unwrap(), Command::Ping("1\r".into()));
    assert_eq!(decode("ERROR our own error").unwrap(), Command::Error("our own error".into()));
}

#[test]
fn lines_of_a_mebibyte_are_read_in_linear_time() {
    // Quadratic work on a million spaces or brackets would not end in the time a test run has.
    let spaces = " ".repeat(1 << 20);
    let nested = "[".repeat(1 << 19) + &"]".repeat(1 << 19);
    for name in ["RDATA", "POSITION", "USER_SYNC", "USER_IP", "REPLICATE", "FEDERATION_ACK", ""] {
        assert!(decode(&format!("{name} {spaces}")).is_err(), "{name}");
        assert!(decode(&format!("{name} a {spaces}x")).is_err(), "{name}");
    }
    assert!(decode(&format!("REMOVE_PUSHER a {spaces}x")).is_ok());
    assert_eq!(rdata(&format!("RDATA s i 1 {nested}")).row.len(), 1 << 20);
    assert!(decode(&format!("USER_IP @u {nested}")).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(line in any::<Vec<u8>>()) {
        let line = Bytes::from(line);
        let _ = Decoder::new().decode(&line);
        let _ = Decoder::new().without_row_validation().decode(&line);
    }

    #[test]
    fn nothing_behind_a_name_makes_the_decoder_panic(
        name in prop::sample::select(vec![
            "RDATA", "POSITION", "REPLICATE", "USER_SYNC", "FEDERATION_ACK", "REMOVE_PUSHER",
            "INVALIDATE_CACHE", "USER_IP", "LOCK_RELEASED",
        ]),
        fields in prop::collection::vec("|@u:a|start|batch|-?[0-9]{1,20}|\\[\"?|\\{|\\]|.*", 0..7),
    ) {
        let line = Bytes::from(format!("{name} {}", fields.join(" ")));
        for decoder in [Decoder::new(), Decoder::new().without_row_validation()] {
            if let Err(error) = decoder.decode(&line) {
                prop_assert!(error.offset() <= line.len());
                prop_assert!(!error.expected().is_empty());
            }
        }
    }
}
