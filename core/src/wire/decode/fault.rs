//! Faults of a line: small values, of which an error is made, with its allocation, only at the end.

use std::str::Utf8Error;

use super::{Field, MAIN_INSTANCE, RDATA, starts_json};
use crate::{
    stream::Token,
    wire::{
        error::{BadRow, DecodeError, DecodeErrorKind},
        integer::{self, BadInteger},
    },
};

/// A fault at a byte of the line. [`Fault::into_error`] makes the error that callers see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    kind: DecodeErrorKind,
    offset: usize,
    expected: &'static str,
}

impl Fault {
    pub(super) const fn new(kind: DecodeErrorKind, offset: usize, expected: &'static str) -> Self {
        Self { kind, offset, expected }
    }

    #[cold]
    pub(super) const fn field(offset: usize, expected: &'static str) -> Self {
        Self::new(DecodeErrorKind::BadField, offset, expected)
    }

    #[cold]
    pub(super) const fn json(offset: usize, expected: &'static str) -> Self {
        Self::new(DecodeErrorKind::BadJson, offset, expected)
    }

    #[cold]
    pub(super) const fn integer(offset: usize, bad: BadInteger, expected: &'static str) -> Self {
        match bad {
            BadInteger::NotDecimal => Self::field(offset, expected),
            BadInteger::OutOfRange => Self::field(offset, "an integer within 64 bits"),
        }
    }

    /// The fault of a piece of the line, starting at `start`, that is not UTF-8.
    #[cold]
    pub(super) fn utf8(start: usize, error: &Utf8Error) -> Self {
        Self::new(DecodeErrorKind::NotUtf8, start + error.valid_up_to(), "UTF-8 text")
    }

    /// Makes the error of this fault of `line`, with the source if the line is an RDATA.
    #[cold]
    pub(super) fn into_error(self, line: &[u8]) -> DecodeError {
        let error = DecodeError::new(self.kind, self.offset, self.expected, line);
        match line.starts_with(RDATA).then(|| bad_row(line)).flatten() {
            Some(row) => error.with_row(row),
            None => error,
        }
    }
}

/// The part of a malformed RDATA that can be read. A field counts as read if a space ends it: one
/// at the very end of the line may have been cut short.
fn bad_row(line: &[u8]) -> Option<BadRow> {
    let ended = |field: Field| (field.end < line.len()).then_some(field);
    let text = |field: Field| {
        let text = std::str::from_utf8(&line[field.start..field.end]).ok()?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    let number = |field: Field| integer::parse(&line[field.start..field.end]).ok().map(Token::new);
    let stream = ended(Field::at(RDATA.len(), line))?;
    let second = ended(Field::at(stream.end + 1, line))?;
    let third_start = second.end + 1;
    if starts_json(&line[third_start..]) {
        return Some(BadRow {
            stream: text(stream)?,
            instance: MAIN_INSTANCE.to_owned(),
            token: number(second),
        });
    }
    Some(BadRow {
        stream: text(stream)?,
        instance: text(second)?,
        token: ended(Field::at(third_start, line)).and_then(number),
    })
}
