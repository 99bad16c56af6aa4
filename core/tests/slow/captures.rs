//! Every line of the recorded traffic decodes, and encodes to the bytes that Synapse wrote.

use std::collections::BTreeMap;

use crate::recordings::{capture, published_on_redis, said_on_tcp};
use bytes::{Bytes, BytesMut};
use serde_json::{Value, value::RawValue};
use synrepl_core::wire::{
    DecodeErrorKind, Decoder, Dialect, Frame, LineDecoder, RespDecoder, RespLimits, decode_page,
    encode, encode_frame, encode_page,
};

/// Uneven on purpose, so that lines and frames are cut everywhere.
const CHUNK_BYTES: usize = 1_447;

/// Lines seen, by command; lines refused, with the kind of error.
#[derive(Debug, Default)]
struct Census {
    commands: BTreeMap<&'static str, usize>,
    refused: Vec<(DecodeErrorKind, String)>,
}

impl Census {
    /// Reads a line. One of Synapse, of the given dialect, comes out as it was when it is written
    /// back; what others wrote is only read.
    fn take(&mut self, line: &Bytes, synapse: Option<Dialect>) {
        let text = String::from_utf8_lossy(line).into_owned();
        let command = match Decoder::new().decode(line) {
            Ok(command) => command,
            Err(error) => return self.refused.push((error.kind(), text)),
        };
        *self.commands.entry(command.name()).or_default() += 1;
        assert_eq!(Decoder::new().without_row_validation().decode(line), Ok(command.clone()));
        if let Some(dialect) = synapse {
            let mut written = BytesMut::new();
            assert_eq!(encode(&command, dialect, &mut written), Ok(()), "{text}");
            assert_eq!(written, line);
        }
    }

    #[track_caller]
    fn assert(&self, commands: &[(&str, usize)], refused: &[(DecodeErrorKind, &str)]) {
        let found: Vec<_> = self.commands.iter().map(|(name, count)| (*name, *count)).collect();
        assert_eq!(found, commands);
        let found: Vec<_> = self.refused.iter().map(|(kind, line)| (*kind, &**line)).collect();
        assert_eq!(found, refused);
    }
}

/// Reads all that one side of a recording of direct TCP said.
fn direct_tcp(name: &str, side: &str, synapse: Option<Dialect>) -> Census {
    let mut stream = Vec::new();
    for (_, line) in said_on_tcp(&capture(name), side) {
        if !line.contains("[lab:") {
            stream.extend_from_slice(line.as_bytes());
            stream.push(b'\n');
        }
    }
    let mut census = Census::default();
    let (mut lines, mut buffer) = (LineDecoder::new(), BytesMut::new());
    for chunk in stream.chunks(CHUNK_BYTES) {
        buffer.extend_from_slice(chunk);
        while let Some(line) = lines.decode(&mut buffer).expect("no line is too long") {
            census.take(&line, synapse);
        }
    }
    assert!(buffer.is_empty());
    census
}

#[test]
fn what_0_33_5_says_on_direct_tcp_is_read_and_written_back() {
    direct_tcp("legacy-0.33.5-tcp.txt", "S<", Some(Dialect::V0_23)).assert(
        &[("ERROR", 15), ("PING", 93), ("POSITION", 111), ("RDATA", 2549), ("SERVER", 54)],
        &[],
    );
}

#[test]
fn what_1_13_0_says_on_direct_tcp_is_read_and_written_back() {
    direct_tcp("legacy-1.13.0-tcp.txt", "S<", Some(Dialect::V1_13)).assert(
        &[
            ("ERROR", 17),
            ("PING", 48),
            ("POSITION", 240),
            ("RDATA", 2067),
            ("REMOTE_SERVER_UP", 4),
            ("SERVER", 35),
        ],
        &[],
    );
}

#[test]
fn what_1_66_0_says_on_direct_tcp_is_read_and_written_back() {
    direct_tcp("legacy-1.66.0-tcp.txt", "S<", Some(Dialect::V1_22)).assert(
        &[
            ("ERROR", 19),
            ("PING", 53),
            ("POSITION", 225),
            ("RDATA", 2651),
            ("REMOTE_SERVER_UP", 4),
            ("SERVER", 35),
        ],
        &[],
    );
}

/// The lines that were sent to see what the server makes of them, and are no command.
fn odd_lines(bad_state: &'static str) -> [(DecodeErrorKind, &'static str); 7] {
    use DecodeErrorKind::{BadField, Blank, UnknownCommand};
    [
        (UnknownCommand, "GARBAGE foo bar"),
        (UnknownCommand, "ping 1"),
        (Blank, ""),
        (UnknownCommand, " PING 1"),
        (BadField, "USER_SYNC x"),
        (BadField, bad_state),
        (BadField, "FEDERATION_ACK"),
    ]
}

/// The commands of a client that said its name, pinged and asked so often.
fn of_a_client(names: usize, pings: usize, asked: usize) -> [(&'static str, usize); 16] {
    [
        ("CLEAR_USER_SYNC", 1),
        ("ERROR", 1),
        ("FEDERATION_ACK", 1),
        ("INVALIDATE_CACHE", 1),
        ("LOCK_RELEASED", 1),
        ("NAME", names),
        ("PING", pings),
        ("POSITION", 1),
        ("RDATA", 1),
        ("REMOTE_SERVER_UP", 2),
        ("REMOVE_PUSHER", 1),
        ("REPLICATE", asked),
        ("SERVER", 1),
        ("SYNC", 1),
        ("USER_IP", 1),
        ("USER_SYNC", 1),
    ]
}

#[test]
fn what_a_client_of_0_33_5_sent_is_read_or_refused() {
    direct_tcp("legacy-0.33.5-tcp.txt", "C>", None)
        .assert(&of_a_client(52, 28, 83), &odd_lines("USER_SYNC @u1_0:localhost:28448 maybe 1"));
}

#[test]
fn what_a_client_of_1_13_0_sent_is_read_or_refused() {
    direct_tcp("legacy-1.13.0-tcp.txt", "C>", None)
        .assert(&of_a_client(34, 24, 5), &odd_lines("USER_SYNC lab @u1_0:localhost:28448 maybe 1"));
}

#[test]
fn what_a_client_of_1_66_0_sent_is_read_or_refused() {
    direct_tcp("legacy-1.66.0-tcp.txt", "C>", None)
        .assert(&of_a_client(34, 38, 5), &odd_lines("USER_SYNC lab @u1_0:localhost:28448 maybe 1"));
}

/// What a program other than Synapse published in the run, where Synapse would write it otherwise.
const OF_THE_OUTSIDER: [&[u8]; 1] = [b"REPLICATE"];

#[test]
fn what_1_163_2_says_over_redis_is_read_and_written_back() {
    let mut stream = BytesMut::new();
    for message in published_on_redis() {
        let (channel, payload) = (message.ch.into(), message.m.into());
        if channel != "lab:marker" {
            encode_frame(&Frame::Message { channel, payload }, &mut stream);
        }
    }
    let mut census = Census::default();
    let (mut frames, mut buffer) = (RespDecoder::new(RespLimits::default()), BytesMut::new());
    for chunk in stream.chunks(CHUNK_BYTES) {
        buffer.extend_from_slice(chunk);
        while let Some(frame) = frames.decode(&mut buffer).unwrap() {
            let Frame::Message { channel, payload } = frame else { panic!("{frame:?}") };
            let of_user_ip = channel == "localhost:18448/USER_IP";
            assert!(of_user_ip || channel == "localhost:18448", "{channel:?}");
            assert_eq!(payload.starts_with(b"USER_IP "), of_user_ip);
            let is_outsiders = OF_THE_OUTSIDER.contains(&&payload[..]);
            census.take(&payload, (!is_outsiders).then_some(Dialect::LATEST));
        }
    }
    assert!(buffer.is_empty());
    census.assert(
        &[
            ("CANCEL_TASK", 55),
            ("FEDERATION_ACK", 16),
            ("LOCK_RELEASED", 6957),
            ("NEW_ACTIVE_TASK", 119),
            ("PING", 1),
            ("POSITION", 4608),
            ("RDATA", 14642),
            ("REPLICATE", 22),
            ("USER_IP", 678),
            ("USER_SYNC", 78),
        ],
        &[(DecodeErrorKind::UnknownCommand, "GARBAGE 1 2"), (DecodeErrorKind::Blank, "")],
    );
}

#[derive(serde::Deserialize)]
struct Exchange<'a> {
    status: u16,
    #[serde(borrow)]
    body: &'a RawValue,
}

#[test]
fn every_catch_up_answer_of_1_163_2_is_read_and_written_back() {
    let recording = capture("modern-http-catchup.jsonl");
    let (mut pages, mut rows, mut limited) = (0, 0, 0);
    let mut refused: BTreeMap<(u16, String), usize> = BTreeMap::new();
    for record in recording.lines() {
        let exchange: Exchange<'_> = serde_json::from_str(record).unwrap();
        let body = Bytes::copy_from_slice(exchange.body.get().as_bytes());
        let page = match decode_page(&body) {
            Ok(page) => page,
            Err(error) => {
                let start = error.to_string().chars().take(30).collect();
                *refused.entry((exchange.status, start)).or_default() += 1;
                continue;
            }
        };
        assert_eq!(exchange.status, 200);
        pages += 1;
        rows += page.updates.len();
        limited += usize::from(page.limited);
        let mut written = BytesMut::new();
        encode_page(&page, &mut written);
        // The recorder put spaces behind commas; Synapse, as we, does not.
        let as_value = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
        assert_eq!(as_value(&written), as_value(&body));
        assert_eq!(decode_page(&written.freeze()), Ok(page));
    }
    assert_eq!((pages, rows, limited), (175, 4_284, 84));
    let refused: Vec<_> =
        refused.iter().map(|((status, error), count)| (*status, &**error, *count)).collect();
    let no_key = r#"the key "updates" is missing"#;
    assert_eq!(
        refused,
        [
            // The server takes tokens of any size and gives them back.
            (200, "`upto_token` is beyond 64 bits", 2),
            (200, "not a page of JSON: invalid ty", 1),
            (400, no_key, 7),
            (404, "not a page of JSON: invalid ty", 1),
            (404, no_key, 3),
            (405, no_key, 1),
            (500, no_key, 14),
        ]
    );
}
