//! The target for RESP2 framing (promise C2).

use bytes::BytesMut;
use redis_protocol::resp2::{decode::decode as their_decode, types::OwnedFrame};
use synrepl_core::wire::{Frame, RespDecoder, RespError, RespLimits, encode_frame};

use crate::{choices::Choices, pieces::Pieces};

/// The most frames that are compared with the other decoder's, because each comparison takes time
/// proportional to the rest.
const COMPARED_MAX: usize = 32;

/// The result of decoding a byte stream.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    frames: Vec<Frame>,
    error: Option<RespError>,
}

/// Checks that the places at which reads split the stream change neither frames nor errors, that a
/// decoded frame is encoded so that it decodes again, and that `redis-protocol` decodes accepted
/// frames alike.
pub fn resp(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut limits = RespLimits::default();
    if choices.below(2) == 1 {
        limits.bulk_bytes_max = 8;
        limits.array_len_max = 3;
        limits.line_bytes_max = 6;
    }
    let pieces = Pieces::read(choices);
    let whole = decoded(limits, std::iter::once(pieces.all()));
    assert_eq!(decoded(limits, pieces.iter()), whole, "in pieces");
    for frame in &whole.frames {
        check_written(frame);
    }
    compare(limits, pieces.all());
}

fn decoded<'p>(limits: RespLimits, pieces: impl Iterator<Item = &'p [u8]>) -> Outcome {
    let (mut decoder, mut buffer) = (RespDecoder::new(limits), BytesMut::new());
    let mut frames = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut buffer).as_ref(), Err(&error), "for good");
                    return Outcome { frames, error: Some(error) };
                }
            }
        }
    }
    Outcome { frames, error: None }
}

fn check_written(frame: &Frame) {
    let mut buffer = BytesMut::new();
    encode_frame(frame, &mut buffer);
    let mut limits = RespLimits::default();
    limits.bulk_bytes_max = buffer.len();
    limits.line_bytes_max = buffer.len();
    let read = RespDecoder::new(limits).decode(&mut buffer);
    assert_eq!(read, Ok(Some(as_carried(frame))));
    assert!(buffer.is_empty(), "{} bytes too many", buffer.len());
}

/// Returns the frame as its encoding carries it: lines cannot hold line breaks.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other frames are carried whole")]
fn as_carried(frame: &Frame) -> Frame {
    match frame {
        Frame::Simple(text) => Frame::Simple(text.replace('\r', " ").into()),
        Frame::Error(text) => Frame::Error(text.replace(['\r', '\n'], " ")),
        Frame::Array(items) => Frame::Array(items.iter().map(as_carried).collect()),
        other => other.clone(),
    }
}

/// Decodes frame by frame with both. Theirs has no limits, so it gets only what ours accepted.
fn compare(limits: RespLimits, all: &[u8]) {
    let mut rest = all;
    for _ in 0..COMPARED_MAX {
        let mut buffer = BytesMut::from(rest);
        let Ok(Some(frame)) = RespDecoder::new(limits).decode(&mut buffer) else { return };
        let taken = rest.len() - buffer.len();
        if let Ok(Some((their_frame, their_taken))) = their_decode(rest) {
            assert_eq!(their_taken, taken, "{frame:?} against {their_frame:?}");
            assert!(is_same(&frame, &their_frame), "{frame:?} against {their_frame:?}");
        }
        rest = &rest[taken..];
    }
}

fn is_same(frame: &Frame, theirs: &OwnedFrame) -> bool {
    match (frame, theirs) {
        (Frame::Simple(text), OwnedFrame::SimpleString(bytes)) => text.as_bytes() == bytes,
        (Frame::Error(text), OwnedFrame::Error(their_text)) => text == their_text,
        (Frame::Integer(number), OwnedFrame::Integer(their_number)) => number == their_number,
        (Frame::Bulk(Some(data)), OwnedFrame::BulkString(bytes)) => data == bytes,
        (Frame::Bulk(None) | Frame::NullArray, OwnedFrame::Null) => true,
        (Frame::Array(items), OwnedFrame::Array(their_items)) => {
            items.len() == their_items.len()
                && items.iter().zip(their_items).all(|(item, theirs)| is_same(item, theirs))
        }
        (Frame::Message { channel, payload }, OwnedFrame::Array(items)) => {
            let bulk = |bytes: &[u8]| OwnedFrame::BulkString(bytes.to_vec());
            *items == [bulk(b"message"), bulk(channel), bulk(payload)]
        }
        _ => false,
    }
}
