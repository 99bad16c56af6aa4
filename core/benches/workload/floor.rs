//! The floors with which the cases are compared: the least work that every reader of these lines
//! must do.

use std::hint::black_box;

use memchr::{memchr, memchr_iter};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// The work that is done on each line.
#[derive(Clone, Copy)]
pub(crate) enum Floor {
    /// The bytes are cut into lines and fields, and the token is parsed.
    Fields,
    /// As `Fields`, and the line is checked to be UTF-8.
    Utf8,
    /// As `Utf8`, and the row is checked to be JSON.
    Validated,
    /// As `Validated`, and the row is kept as a borrowed `RawValue`.
    RawValue,
}

/// Reads all lines, and returns the number of rows.
pub(crate) fn read(lines: &[u8], floor: Floor) -> u64 {
    match floor {
        Floor::Fields => read_with(lines, |_, _| ()),
        Floor::Utf8 => read_with(lines, |line, _| {
            black_box(std::str::from_utf8(line).expect("UTF-8"));
        }),
        Floor::Validated => read_with(lines, |line, row| {
            if let Some(row) = text_of(line, row) {
                serde_json::from_str::<IgnoredAny>(row).expect("JSON");
            }
        }),
        Floor::RawValue => read_with(lines, |line, row| {
            if let Some(row) = text_of(line, row) {
                black_box(serde_json::from_str::<&RawValue>(row).expect("JSON"));
            }
        }),
    }
}

fn text_of(line: &[u8], row_start: Option<usize>) -> Option<&str> {
    let text = std::str::from_utf8(line).expect("UTF-8");
    row_start.map(|start| &text[start..])
}

#[inline]
fn read_with(lines: &[u8], check: impl Fn(&[u8], Option<usize>)) -> u64 {
    let (mut start, mut rows) = (0, 0);
    for end in memchr_iter(b'\n', lines) {
        let line = &lines[start..end];
        start = end + 1;
        let row_start = row_of(line);
        rows += u64::from(row_start.is_some());
        check(line, row_start);
    }
    rows
}

/// Reads the fields of a line, and returns the place at which the row begins, if it is an RDATA.
#[inline]
pub(crate) fn row_of(line: &[u8]) -> Option<usize> {
    let field = |from: usize| memchr(b' ', &line[from..]).map_or(line.len(), |at| from + at);
    let name_end = field(0);
    let is_rdata = &line[..name_end] == b"RDATA";
    if !is_rdata && &line[..name_end] != b"POSITION" {
        return None;
    }
    let stream_end = field(name_end + 1);
    let instance_end = field(stream_end + 1);
    let token_end = field(instance_end + 1);
    black_box((
        &line[name_end + 1..stream_end],
        &line[stream_end + 1..instance_end],
        number(&line[instance_end + 1..token_end]),
    ));
    is_rdata.then_some(token_end + 1)
}

#[inline]
fn number(digits: &[u8]) -> i64 {
    if digits == b"batch" {
        return -1;
    }
    digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
}

/// Reads all published messages, and returns the number of rows. The RESP2 framing is cut by its
/// lengths.
pub(crate) fn read_messages(mut bytes: &[u8]) -> u64 {
    const HEADER: &[u8] = b"*3\r\n$7\r\nmessage\r\n$";
    let mut rows = 0;
    while !bytes.is_empty() {
        bytes = bytes.strip_prefix(HEADER).expect("a message");
        let (_, rest) = bulk(bytes);
        let (payload, rest) = bulk(&rest[1..]);
        rows += u64::from(row_of(payload).is_some());
        bytes = rest;
    }
    rows
}

#[inline]
fn bulk(bytes: &[u8]) -> (&[u8], &[u8]) {
    let digits = memchr(b'\r', bytes).expect("a length");
    let length = usize::try_from(number(&bytes[..digits])).expect("a length");
    let start = digits + 2;
    (&bytes[start..start + length], &bytes[start + length + 2..])
}
