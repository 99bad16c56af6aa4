//! Lines to commands, all dialects at once (`protocol.md` 2.3 and 2.5).
//!
//! One line enters, a [`Command`] or a [`DecodeError`] leaves (promise C2). RDATA and POSITION,
//! which come most often, are decoded here; the other commands in `rare`.

mod fault;
mod json;
mod rare;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use bytestring::ByteString;
use memchr::memchr;

use self::fault::Fault;
use super::{
    command::{Command, Position, Rdata},
    error::DecodeError,
    integer,
};
use crate::stream::{Row, Token, static_name};

const RDATA: &[u8] = b"RDATA ";
const POSITION: &[u8] = b"POSITION ";

/// The name of the main process, which is the only writer in the oldest dialect.
pub(super) const MAIN_INSTANCE: &str = "master";

/// Decodes lines of every dialect; none has to be chosen.
///
/// A decoder has no state: the meaning of a line never depends on the lines before it. The number
/// and the form of the fields tell the dialects apart; `protocol.md` 2.5 has the rules, and lists
/// what no decoder can tell apart.
///
/// Fields must have the forms that Synapse writes: integers are `-?[0-9]+` within 64 bits, fields
/// are separated by one space, and stream and instance names are not empty. Surrogate escapes
/// without a partner are accepted in rows, which stay verbatim; in the strings of `USER_IP` and
/// `LOCK_RELEASED` each of them becomes U+FFFD.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    validate_rows: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Creates a decoder that checks that each row is one JSON value.
    pub const fn new() -> Self {
        Self { validate_rows: true }
    }

    /// Returns the same decoder without that check: rows and cache keys may be any UTF-8 text that
    /// is not empty. It serves callers that parse every row anyway and can handle one that is not
    /// JSON.
    #[must_use]
    pub const fn without_row_validation(self) -> Self {
        Self { validate_rows: false }
    }

    /// Decodes one line: a Redis message, or a line of direct TCP without its delimiter.
    ///
    /// The text fields of the result are slices of `line` and keep its buffer alive, as [`Command`]
    /// states. The time is linear in the length of the line, and no memory of that order is taken.
    /// It never panics.
    ///
    /// # Errors
    /// [`DecodeError`] if the line is blank, is not UTF-8, or is not a command of any dialect; for
    /// a malformed RDATA it names the source, as far as that could be read.
    ///
    /// # Examples
    /// ```
    /// use bytes::Bytes;
    /// use synrepl_core::{stream::Token, wire::{Command, Decoder}};
    ///
    /// let line = Bytes::from_static(br#"RDATA typing streams1 7 ["!room:a.example",[]]"#);
    /// let Command::Rdata(rdata) = Decoder::new().decode(&line)? else { unreachable!() };
    /// assert_eq!(rdata.stream, "typing");
    /// assert_eq!(rdata.token, Some(Token::new(7)));
    /// # Ok::<(), synrepl_core::wire::DecodeError>(())
    /// ```
    #[inline]
    pub fn decode(&self, line: &Bytes) -> Result<Command, DecodeError> {
        if line.starts_with(RDATA) {
            return self.rdata(line);
        }
        let decoded = if line.starts_with(POSITION) {
            position(line).map(Command::Position)
        } else {
            rare::command(line, self.validate_rows)
        };
        decoded.map_err(|fault| fault.into_error(line))
    }

    /// Decodes an RDATA. Each part is checked to be UTF-8 as it is cut out; all cuts are at ASCII
    /// bytes, so these checks cover the whole line. The command is built in the place from which it
    /// is returned, which saves copies of it.
    #[inline]
    fn rdata(&self, line: &Bytes) -> Result<Command, DecodeError> {
        let fail = |fault: Fault| fault.into_error(line);
        let parts = RdataParts::find(line).map_err(fail)?;
        let stream = stream_name(line, parts.stream).map_err(fail)?;
        let instance = match parts.instance {
            Some(instance) => text(line, instance).map_err(fail)?,
            None => ByteString::from_static(MAIN_INSTANCE),
        };
        let row = json_tail(line, parts.row_start, self.validate_rows).map_err(fail)?;
        Ok(Command::Rdata(Rdata { stream, instance, token: parts.token, row }))
    }
}

/// The places of the parts of an RDATA, and its token.
struct RdataParts {
    stream: Field,
    /// `None` in the oldest dialect.
    instance: Option<Field>,
    /// `None` is `batch`.
    token: Option<Token>,
    row_start: usize,
}

impl RdataParts {
    #[inline]
    fn find(line: &[u8]) -> Result<Self, Fault> {
        const TOKEN_AND_ROW: &str = "a token and a row behind the instance name";
        let stream = Field::at(RDATA.len(), line).not_empty("a stream name")?;
        let second = stream.next(line, "an instance name or a token behind the stream name")?;
        if second.end == line.len() {
            return Err(Fault::field(line.len(), TOKEN_AND_ROW));
        }
        let (instance, token) = if starts_json(&line[second.end + 1..]) {
            (None, second)
        } else {
            (Some(second.not_empty("an instance name")?), second.next(line, TOKEN_AND_ROW)?)
        };
        if token.end == line.len() {
            return Err(Fault::field(line.len(), "a row behind the token"));
        }
        let row_start = token.end + 1;
        let token = match &line[token.start..token.end] {
            b"batch" => None,
            digits => Some(Token::new(integer_at(digits, token.start, "a token or `batch`")?)),
        };
        Ok(Self { stream, instance, token, row_start })
    }
}

/// One field: the bytes from `start` up to, not including, `end`, where a space or the end of the
/// line stands.
#[derive(Clone, Copy)]
struct Field {
    start: usize,
    end: usize,
}

impl Field {
    #[inline]
    fn at(start: usize, line: &[u8]) -> Self {
        let end = memchr(b' ', &line[start..]).map_or(line.len(), |length| start + length);
        Self { start, end }
    }

    /// The field behind this one; a fault if the line ends here.
    #[inline]
    fn next(self, line: &[u8], expected: &'static str) -> Result<Self, Fault> {
        if self.end == line.len() {
            return Err(Fault::field(self.end, expected));
        }
        Ok(Self::at(self.end + 1, line))
    }

    /// The same field; a fault if it is empty.
    #[inline]
    fn not_empty(self, expected: &'static str) -> Result<Self, Fault> {
        if self.start == self.end {
            return Err(Fault::field(self.start, expected));
        }
        Ok(self)
    }
}

/// The name of a stream. Known names are not cut out of the line: to make a slice and to drop it
/// costs an atomic operation each.
#[inline]
fn stream_name(line: &Bytes, field: Field) -> Result<ByteString, Fault> {
    match static_name(&line[field.start..field.end]) {
        Some(name) => Ok(ByteString::from_static(name)),
        None => text(line, field),
    }
}

/// The field as text, a slice of the line.
#[inline]
fn text(line: &Bytes, Field { start, end }: Field) -> Result<ByteString, Fault> {
    ByteString::try_from(line.slice(start..end)).map_err(|error| Fault::utf8(start, &error))
}

#[inline]
fn integer_at(digits: &[u8], offset: usize, expected: &'static str) -> Result<i64, Fault> {
    integer::parse(digits).map_err(|bad| Fault::integer(offset, bad, expected))
}

/// Whether the text starts like a row, as no token does.
#[inline]
fn starts_json(text: &[u8]) -> bool {
    match text {
        [b'[' | b'{', ..] => true,
        [b' ', ..] => {
            text.iter().find(|byte| **byte != b' ').is_some_and(|byte| matches!(byte, b'[' | b'{'))
        }
        _ => false,
    }
}

/// The rest of the line from byte `start` on, a JSON value, without the white space around it.
#[inline]
fn json_tail(line: &Bytes, start: usize, validate: bool) -> Result<Row, Fault> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let (mut from, mut upto) = (start, line.len());
    while from < upto && is_space(&line[from]) {
        from += 1;
    }
    while from < upto && is_space(&line[upto - 1]) {
        upto -= 1;
    }
    let value = text(line, Field { start: from, end: upto })?;
    if validate {
        json::check(&value, from)?;
    } else if value.is_empty() {
        return Err(Fault::json(from, "a JSON value"));
    }
    Ok(Row::from_text(value))
}

/// Decodes a POSITION of two, three or four fields.
fn position(line: &Bytes) -> Result<Position, Fault> {
    const TOKEN: &str = "a token";
    let token = |field: Field| {
        integer_at(&line[field.start..field.end], field.start, TOKEN).map(Token::new)
    };
    let stream = Field::at(POSITION.len(), line).not_empty("a stream name")?;
    let name = stream_name(line, stream)?;
    let second = stream.next(line, "an instance name or a token behind the stream name")?;
    if second.end == line.len() {
        let token = token(second)?;
        return Ok(Position {
            stream: name,
            instance: ByteString::from_static(MAIN_INSTANCE),
            prev: token,
            token,
            ends_catch_up: true,
        });
    }
    let instance = text(line, second.not_empty("an instance name")?)?;
    let third = second.next(line, TOKEN)?;
    let prev = token(third)?;
    let token = if third.end == line.len() {
        prev
    } else {
        let fourth = third.next(line, TOKEN)?;
        if fourth.end != line.len() {
            return Err(Fault::field(fourth.end, "the end of the line behind the new token"));
        }
        token(fourth)?
    };
    Ok(Position { stream: name, instance, prev, token, ends_catch_up: false })
}
