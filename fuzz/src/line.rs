//! The target for the line framing of direct TCP (promise C2).

use bytes::BytesMut;
use synrepl_core::wire::{LINE_BYTES_MAX, LineDecoder};

use crate::{choices::Choices, pieces::Pieces};

/// The result of decoding a byte stream.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    lines: Vec<Vec<u8>>,
    too_long: bool,
    /// The bytes of the incomplete last line; empty after an error.
    rest: Vec<u8>,
}

/// Checks that the places at which reads split the stream change nothing, that the lines are those
/// of a naive decoder, and that a line above the limit is a lasting error.
pub fn line(data: &[u8]) {
    let mut choices = Choices::new(data);
    let padding = usize::from(choices.word());
    let pieces = Pieces::with_padding(padding, choices);
    let expected = naive(pieces.all());
    assert_eq!(decoded(std::iter::once(pieces.all())), expected, "in one piece");
    assert_eq!(decoded(pieces.iter()), expected, "in pieces");
}

fn naive(all: &[u8]) -> Outcome {
    let mut lines = Vec::new();
    let mut rest = all;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        if end > LINE_BYTES_MAX {
            break;
        }
        lines.push(rest[..end].to_vec());
        rest = &rest[end + 1..];
    }
    let too_long = rest.len() > LINE_BYTES_MAX;
    Outcome { lines, too_long, rest: if too_long { Vec::new() } else { rest.to_vec() } }
}

fn decoded<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> Outcome {
    let (mut decoder, mut buffer) = (LineDecoder::new(), BytesMut::new());
    let mut lines = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(line)) => lines.push(line.to_vec()),
                Ok(None) => break,
                Err(error) => {
                    let kept = buffer.len();
                    assert_eq!(decoder.decode(&mut buffer), Err(error), "for good");
                    assert_eq!(buffer.len(), kept, "nothing is taken after an error");
                    return Outcome { lines, too_long: true, rest: Vec::new() };
                }
            }
        }
        assert!(buffer.len() <= LINE_BYTES_MAX, "{} bytes wait", buffer.len());
    }
    Outcome { lines, too_long: false, rest: buffer.to_vec() }
}
