use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

/// Returns the frames of a stream that comes in `pieces`, and the error that ends it, if any.
fn frames(limits: RespLimits, pieces: &[&[u8]]) -> (Vec<Frame>, Option<RespError>) {
    let (mut decoder, mut buffer) = (RespDecoder::new(limits), BytesMut::new());
    let mut frames = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut buffer), Err(error), "an error stays");
                    return (frames, Some(error));
                }
            }
        }
    }
    (frames, None)
}

fn all(bytes: &[u8]) -> Vec<Frame> {
    let (frames, error) = frames(RespLimits::default(), &[bytes]);
    assert_eq!(error, None, "{:?}", String::from_utf8_lossy(bytes));
    frames
}

#[track_caller]
fn refused(bytes: &[u8], offset: u64, kind: RespErrorKind) {
    let limits = RespLimits { bulk_bytes_max: 100, line_bytes_max: 20, ..RespLimits::default() };
    let (_, error) = frames(limits, &[bytes]);
    let found = error.map(|error| (error.kind(), error.offset()));
    assert_eq!(found, Some((kind, offset)), "{:?}", String::from_utf8_lossy(bytes));
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(frames(limits, &single).1, error, "byte by byte");
}

fn bulk(text: &'static str) -> Frame {
    Frame::Bulk(Some(Bytes::from_static(text.as_bytes())))
}

fn message(channel: &'static str, payload: &'static str) -> Frame {
    Frame::Message { channel: channel.into(), payload: payload.into() }
}

#[test]
fn what_redis_says_to_a_subscriber_is_read() {
    let confirmed = |channel, count| {
        Frame::Array(vec![bulk("subscribe"), bulk(channel), Frame::Integer(count)])
    };
    assert_eq!(
        all(b"+OK\r\n\
              *3\r\n$9\r\nsubscribe\r\n$9\r\na/USER_IP\r\n:1\r\n\
              *3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:2\r\n\
              *3\r\n$7\r\nmessage\r\n$1\r\na\r\n$10\r\nREPLICATE \r\n\
              *2\r\n$4\r\npong\r\n$0\r\n\r\n\
              -ERR unknown command\r\n:-7\r\n$-1\r\n*-1\r\n*0\r\n+\r\n"),
        [
            Frame::Simple("OK".into()),
            confirmed("a/USER_IP", 1),
            confirmed("a", 2),
            message("a", "REPLICATE "),
            Frame::Array(vec![bulk("pong"), bulk("")]),
            Frame::Error("ERR unknown command".to_owned()),
            Frame::Integer(-7),
            Frame::Bulk(None),
            Frame::NullArray,
            Frame::Array(vec![]),
            Frame::Simple("".into()),
        ]
    );
}

#[test]
fn messages_carry_any_bytes() {
    let bytes = b"*3\r\n$7\r\nmessage\r\n$0\r\n\r\n$6\r\n\r\n\xff\r\n\n\r\n";
    let expected =
        Frame::Message { channel: Bytes::new(), payload: Bytes::from_static(b"\r\n\xff\r\n\n") };
    assert_eq!(all(bytes), [expected]);
}

#[test]
fn a_message_is_one_however_its_lengths_are_written() {
    let unusual = b"*03\r\n$007\r\nmessage\r\n$00000001\r\na\r\n$01\r\nb\r\n";
    assert_eq!(all(unusual), [message("a", "b")]);
}

#[test]
fn what_only_resembles_a_message_is_an_array() {
    let null = b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$-1\r\n";
    assert_eq!(all(null), [Frame::Array(vec![bulk("message"), bulk("a"), Frame::Bulk(None)])]);
    let four = b"*4\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n:1\r\n";
    let items = vec![bulk("message"), bulk("a"), bulk("b"), Frame::Integer(1)];
    assert_eq!(all(four), [Frame::Array(items)]);
    let other = b"*3\r\n$7\r\nMessage\r\n$1\r\na\r\n$1\r\nb\r\n";
    assert_eq!(all(other), [Frame::Array(vec![bulk("Message"), bulk("a"), bulk("b")])]);
    let inside = b"*1\r\n*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n";
    let items = vec![bulk("message"), bulk("a"), bulk("b")];
    assert_eq!(all(inside), [Frame::Array(vec![Frame::Array(items)])]);
}

#[test]
fn a_message_is_a_slice_of_the_buffer() {
    let mut buffer = BytesMut::from(&b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"[..]);
    let inside = buffer.as_ptr_range();
    let mut decoder = RespDecoder::new(RespLimits::default());
    let Ok(Some(Frame::Message { channel, payload })) = decoder.decode(&mut buffer) else {
        panic!("a whole message is there");
    };
    assert!(inside.contains(&channel.as_ptr()) && inside.contains(&payload.as_ptr()));
}

#[test]
fn bytes_that_are_no_resp_are_refused_with_their_place() {
    use RespErrorKind::{CrLf, Integer, Length, Type, Utf8};
    refused(b"+OK\r\n>2\r\n", 5, Type { found: b'>' });
    refused(b"HTTP/1.1 200 OK\r\n", 0, Type { found: b'H' });
    refused(b"+OK\n", 3, CrLf);
    refused(b"+\n", 1, CrLf);
    refused(b":\r\n", 1, Integer);
    refused(b":1x\r\n", 1, Integer);
    refused(b":+1\r\n", 1, Integer);
    refused(b":9223372036854775808\r\n", 1, Integer);
    refused(b"$x\r\n", 1, Integer);
    refused(b"$-2\r\n", 1, Length);
    refused(b"*-2\r\n", 1, Length);
    refused(b"+a\xff\r\n", 2, Utf8);
    refused(b"$2\r\nhix\n", 6, CrLf);
    refused(b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\rx", 30, CrLf);
    refused(b"*3\r\n$7\r\nmessage\r\n$1\r\nax\n$2\r\nhi\r\n", 22, CrLf);
    refused(b"*2\r\n:1\r\nx", 8, Type { found: b'x' });
    assert_eq!(all(b"-a\xff\r\n"), [Frame::Error("a\u{fffd}".to_owned())], "errors are for people");
}

#[test]
fn an_array_may_be_as_long_as_two_strings_and_no_longer() {
    let limits = RespLimits {
        bulk_bytes_max: 40_000,
        array_len_max: 16,
        depth_max: 2,
        ..RespLimits::default()
    };
    let long = format!("$40000\r\n{}\r\n", "x".repeat(40_000));
    let fits = format!("*3\r\n{}", long.repeat(3));
    let (found, error) = frames(limits, &[fits.as_bytes()]);
    assert_eq!((found.len(), error), (1, None));
    let too_long = format!("*4\r\n{}", long.repeat(4));
    let max = 2 * 40_000 + (64 << 10);
    let expected = RespError {
        kind: RespErrorKind::FrameTooLong { max },
        offset: (4 + 3 * long.len()) as u64,
    };
    let (_, error) = frames(limits, &[too_long.as_bytes()]);
    assert_eq!(error, Some(expected));
    // The limit holds in nested arrays, too; a length above it is refused before its bytes come.
    let nested = format!("*2\r\n*4\r\n{}$40000\r\n", long.repeat(3));
    let (_, error) = frames(limits, &[nested.as_bytes()]);
    assert_eq!(error.map(|error| error.kind), Some(RespErrorKind::FrameTooLong { max }));
    // The next array may be as long again.
    let twice = fits.repeat(2);
    let (found, error) = frames(limits, &[twice.as_bytes()]);
    assert_eq!((found.len(), error), (2, None));
}

#[test]
fn a_message_with_a_wrong_line_end_is_refused_as_soon_as_it_has_come() {
    let start = b"*3\r\n$7\r\nmessage\r\n$1\r\nc";
    refused(&[start, &b"$\n"[..]].concat(), 22, RespErrorKind::CrLf);
    refused(&[start, &b"\r\n$1\r\np\rx"[..]].concat(), 29, RespErrorKind::CrLf);
}

#[test]
fn a_message_with_a_wrong_length_is_refused() {
    use RespErrorKind::{CrLf, Integer};
    for (length, offset, kind) in [
        ("\r\n\r\n", 18, Integer),
        ("1xxa\r\n", 18, Integer),
        ("1\rxa\r\n", 18, Integer),
        ("1x\na\r\n", 20, CrLf),
    ] {
        let bytes = format!("*3\r\n$7\r\nmessage\r\n${length}$1\r\nb\r\n");
        refused(bytes.as_bytes(), offset, kind);
    }
}

#[test]
fn a_line_without_end_is_refused_with_the_first_byte_too_many() {
    let limits = RespLimits { line_bytes_max: 20, ..RespLimits::default() };
    let mut decoder = RespDecoder::new(limits);
    let mut buffer = BytesMut::from(&b"+12345678901234567890\r"[..]);
    assert_eq!(decoder.decode(&mut buffer), Ok(None), "it may end here");
    buffer.extend_from_slice(b"x");
    let kind = RespErrorKind::LineTooLong { max: 20 };
    assert_eq!(decoder.decode(&mut buffer), Err(RespError { kind, offset: 1 }));
}

#[test]
fn what_passes_a_limit_is_refused_when_it_is_announced() {
    use RespErrorKind::{ArrayTooLong, BulkTooLong, Integer, LineTooLong, TooDeep};
    refused(b"$101\r\n", 1, BulkTooLong { length: 101, max: 100 });
    let length = i64::MAX.unsigned_abs();
    refused(b"$9223372036854775807\r\n", 1, BulkTooLong { length, max: 100 });
    refused(b"$99999999999999999999\r\n", 1, Integer);
    refused(b"*3\r\n$7\r\nmessage\r\n$101\r\n", 18, BulkTooLong { length: 101, max: 100 });
    let payload = b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$101\r\n";
    refused(payload, 25, BulkTooLong { length: 101, max: 100 });
    refused(b"*17\r\n", 1, ArrayTooLong { length: 17, max: 16 });
    refused(b"*9223372036854775807\r\n", 1, ArrayTooLong { length, max: 16 });
    refused(b"*1\r\n*1\r\n*1\r\n", 8, TooDeep { max: 2 });
    refused(b"*1\r\n*1\r\n*0\r\n", 8, TooDeep { max: 2 });
    refused(b"+123456789012345678901\r\n", 1, LineTooLong { max: 20 });
    refused(b"+12345678901234567890123456", 1, LineTooLong { max: 20 });
}

#[test]
fn exactly_the_limits_are_accepted() {
    let limits = RespLimits { bulk_bytes_max: 100, line_bytes_max: 20, ..RespLimits::default() };
    let text = "x".repeat(100);
    let longest =
        format!("+12345678901234567890\r\n$100\r\n{text}\r\n*16\r\n{}", ":1\r\n".repeat(16));
    let (found, error) = frames(limits, &[longest.as_bytes()]);
    assert_eq!((found.len(), error), (3, None));
}

#[test]
fn limits_too_low_for_a_message_are_raised() {
    let limits =
        RespLimits { array_len_max: 0, depth_max: 0, line_bytes_max: 0, ..RespLimits::default() };
    let bytes = b"*3\r\n$7\r\nmessage\r\n$000001\r\na\r\n$1\r\nb\r\n";
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    for pieces in [&[&bytes[..]][..], &single] {
        assert_eq!(frames(limits, pieces), (vec![message("a", "b")], None));
    }
}

#[test]
fn a_large_frame_in_small_pieces_is_not_read_again_from_its_start() {
    let payload = vec![b'x'; 1 << 20];
    let mut bytes = BytesMut::new();
    encode_command(&[b"message", b"c", &payload], &mut bytes);
    encode_command(&[b"PUBLISH", b"c", &payload], &mut bytes);
    // A million calls that each searched all that is buffered would read a terabyte.
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    let (found, error) = frames(RespLimits::default(), &single);
    assert_eq!((found.len(), error), (2, None));
}

#[test]
fn bytes_that_were_searched_are_not_searched_again() {
    let mut decoder = RespDecoder::new(RespLimits::default());
    let mut buffer = BytesMut::from(&b"+abc"[..]);
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
    // Only a decoder that searches the first bytes again could find this line feed.
    buffer[2] = b'\n';
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
}

#[test]
fn line_ends_in_simple_strings_become_spaces() {
    let mut out = BytesMut::new();
    encode_frame(&Frame::Error("ERR a\r\n+OK".to_owned()), &mut out);
    encode_frame(&Frame::Simple("a\nb".into()), &mut out);
    assert_eq!(out, "-ERR a  +OK\r\n+a b\r\n");
}

fn leaf() -> impl Strategy<Value = Frame> {
    let data = || {
        prop_oneof![Just(b"message".to_vec()), prop::collection::vec(any::<u8>(), 0..40)]
            .prop_map(Bytes::from)
    };
    prop_oneof![
        "[^\r\n]{0,20}".prop_map(|text| Frame::Simple(text.into())),
        "[^\r\n]{0,20}".prop_map(Frame::Error),
        any::<i64>().prop_map(Frame::Integer),
        prop::option::of(data()).prop_map(Frame::Bulk),
        Just(Frame::NullArray),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    let data = || prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    let inner = prop_oneof![
        4 => leaf(),
        1 => prop::collection::vec(leaf(), 0..4).prop_map(Frame::Array),
    ];
    prop_oneof![
        leaf(),
        (data(), data()).prop_map(|(channel, payload)| Frame::Message { channel, payload }),
        prop::collection::vec(inner, 0..5)
            .prop_map(Frame::Array)
            .prop_filter("is a message", |frame| !resembles_message(frame)),
    ]
}

fn resembles_message(frame: &Frame) -> bool {
    let Frame::Array(items) = frame else { return false };
    matches!(
        &items[..],
        [Frame::Bulk(Some(kind)), Frame::Bulk(Some(_)), Frame::Bulk(Some(_))] if kind == "message"
    )
}

fn cut(bytes: &[u8], cuts: Vec<prop::sample::Index>) -> Vec<&[u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut start = 0;
    ends.into_iter().map(|end| &bytes[std::mem::replace(&mut start, end)..end]).collect()
}

proptest! {
    #[test]
    fn frames_are_read_back_however_the_bytes_are_cut(
        frames_in in prop::collection::vec(frame(), 0..6),
        cuts in any::<Vec<prop::sample::Index>>(),
    ) {
        let mut bytes = BytesMut::new();
        for frame in &frames_in {
            encode_frame(frame, &mut bytes);
        }
        let found = frames(RespLimits::default(), &cut(&bytes, cuts));
        prop_assert_eq!(found, (frames_in, None));
    }

    #[test]
    fn the_way_bytes_are_cut_changes_neither_frames_nor_errors(
        parts in prop::collection::vec(prop::sample::select(vec![
            "*3\r\n$7\r\nmessage\r\n$", "1\r\na\r\n", "$", "*", ":", "+", "-", "0", "1", "2", "-1",
            "9", "\r\n", "\r", "\n", "message", "$7\r\n", "*2\r\n", "x", "\u{e9}", "12345678",
        ]), 0..24),
        cuts in any::<Vec<prop::sample::Index>>(),
    ) {
        let bytes = parts.concat().into_bytes();
        let limits =
            RespLimits { bulk_bytes_max: 99, line_bytes_max: 12, ..RespLimits::default() };
        let found = frames(limits, &cut(&bytes, cuts));
        prop_assert_eq!(found, frames(limits, &[&bytes]));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in any::<Vec<u8>>()) {
        frames(RespLimits::default(), &[&bytes]);
    }
}
