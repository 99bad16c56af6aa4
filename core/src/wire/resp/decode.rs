//! RESP2 bytes to frames.
//!
//! A stream of bytes enters in pieces of any size, whole frames leave; frames and faults do not
//! depend on how the bytes are cut.

use bytes::{Buf as _, Bytes, BytesMut};
use bytestring::ByteString;
use memchr::memchr;

use super::{Frame, RespError, RespErrorKind, RespLimits};
use crate::wire::integer;

/// The bytes that every published message starts with, up to the length of its channel.
const MESSAGE: &[u8] = b"*3\r\n$7\r\nmessage\r\n$";
const CRLF: &[u8] = b"\r\n";
/// The most digits of a length that is read at a glance: it cannot overflow, not even with one
/// more, and every limit of a line allows it.
const SHORT_LENGTH_DIGITS: usize = 6;
/// The room of an array for all that is neither a channel's name nor a message, in bytes.
const ARRAY_ROOM_BYTES: u64 = 64 << 10;

/// Cuts a byte stream into frames, in whatever pieces it comes.
///
/// A decoder belongs to one buffer, to which the caller only appends between calls. Work is linear
/// in the bytes received and in the calls: of an incomplete frame, at most the lengths in front of
/// it are read again. A published message is taken with one cut of the buffer and costs no
/// allocation of its own.
///
/// # Examples
/// ```
/// use bytes::BytesMut;
/// use synrepl_core::wire::{Frame, RespDecoder, RespLimits};
///
/// let mut decoder = RespDecoder::new(RespLimits::default());
/// let mut buffer = BytesMut::from(&b"+OK\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nh"[..]);
/// assert_eq!(decoder.decode(&mut buffer)?, Some(Frame::Simple("OK".into())));
/// assert_eq!(decoder.decode(&mut buffer)?, None);
/// buffer.extend_from_slice(b"i\r\n");
/// let message = Frame::Message { channel: "c".into(), payload: "hi".into() };
/// assert_eq!(decoder.decode(&mut buffer)?, Some(message));
/// # Ok::<(), synrepl_core::wire::RespError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RespDecoder {
    limits: RespLimits,
    /// Bytes taken off the buffer since the start.
    taken: u64,
    /// Bytes at the front of the buffer that are known to hold no line feed.
    scanned: usize,
    /// Arrays of which elements are still to come, the outermost first.
    open: Vec<OpenArray>,
    /// The value of `taken` behind the header of the outermost of them.
    opened_at: u64,
}

#[derive(Clone, Debug)]
struct OpenArray {
    items: Vec<Frame>,
    missing: usize,
}

/// One step of decoding: a frame, or the header of an array that has elements.
enum Element {
    Frame(Frame),
    /// The number of elements.
    Array(usize),
}

/// The front of the buffer, read as one published message.
enum Glance {
    /// A whole message, with the first byte and the end of its parts.
    Whole { channel: (usize, usize), payload: (usize, usize) },
    /// The beginning of a message.
    Partial,
    /// Anything else, or a message of an unusual form.
    Other,
}

impl RespDecoder {
    /// Creates a decoder at the start of a frame.
    pub fn new(limits: RespLimits) -> Self {
        let RespLimits { array_len_max, depth_max, line_bytes_max, .. } = limits;
        let limits = RespLimits {
            array_len_max: array_len_max.max(3),
            depth_max: depth_max.max(1),
            line_bytes_max: line_bytes_max.max(SHORT_LENGTH_DIGITS),
            ..limits
        };
        Self { limits, ..Self::default() }
    }

    /// Takes the next whole frame off the front of `buffer`.
    ///
    /// Returns `None` while no whole frame has come: append more bytes, and call again. Of an
    /// incomplete array, the elements that are whole are taken off the buffer already.
    ///
    /// # Errors
    /// [`RespError`] if the bytes are no RESP2 or exceed a limit, as early as that can be told, and
    /// at every call from then on.
    #[inline]
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, RespError> {
        if self.open.is_empty() {
            match self.glance(buffer) {
                Glance::Whole { channel, payload } => {
                    let frame = self.take(payload.1 + CRLF.len(), buffer);
                    let channel = frame.slice(channel.0..channel.1);
                    return Ok(Some(Frame::Message {
                        channel,
                        payload: part(frame, payload.0, payload.1),
                    }));
                }
                Glance::Partial => return Ok(None),
                Glance::Other => {}
            }
        }
        self.decode_any(buffer)
    }

    /// Checks whether a published message of the usual form stands in front. Faults are left to
    /// `decode_any`, which finds them as in any other frame.
    #[inline]
    fn glance(&self, buffer: &[u8]) -> Glance {
        if !buffer.starts_with(MESSAGE) {
            return Glance::Other;
        }
        let bulk = |length_at| {
            let (length, start) = short_length(buffer, length_at)?;
            (length <= self.limits.bulk_bytes_max).then_some((start, start + length))
        };
        let Some(channel) = bulk(MESSAGE.len()) else { return Glance::Other };
        match buffer.get(channel.1..channel.1 + 3) {
            Some(b"\r\n$") => {}
            Some(_) => return Glance::Other,
            None => return partial(buffer, channel.1, b"\r\n$"),
        }
        let Some(payload) = bulk(channel.1 + 3) else { return Glance::Other };
        match buffer.get(payload.1..payload.1 + 2) {
            Some(b"\r\n") => Glance::Whole { channel, payload },
            Some(_) => Glance::Other,
            None => partial(buffer, payload.1, CRLF),
        }
    }

    fn decode_any(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, RespError> {
        loop {
            let mut frame = match self.element(buffer)? {
                None => return Ok(None),
                Some(Element::Array(missing)) => {
                    if self.open.is_empty() {
                        self.opened_at = self.taken;
                    }
                    self.open.push(OpenArray { items: Vec::with_capacity(missing), missing });
                    continue;
                }
                Some(Element::Frame(frame)) => frame,
            };
            loop {
                let Some(array) = self.open.last_mut() else { return Ok(Some(frame)) };
                array.items.push(frame);
                array.missing -= 1;
                if array.missing > 0 {
                    break;
                }
                let items = std::mem::take(&mut array.items);
                self.open.pop();
                frame = if self.open.is_empty() { message(items) } else { Frame::Array(items) };
            }
        }
    }

    /// Takes one element off the buffer, if it is whole.
    fn element(&mut self, buffer: &mut BytesMut) -> Result<Option<Element>, RespError> {
        let Some(kind) = buffer.first().copied() else { return Ok(None) };
        if !matches!(kind, b'+' | b'-' | b':' | b'$' | b'*') {
            return Err(self.error(0, RespErrorKind::Type { found: kind }));
        }
        let Some(end) = self.line_end(buffer)? else { return Ok(None) };
        let body = &buffer[1..end];
        let next = end + CRLF.len();
        self.check_array(next)?;
        let frame = match kind {
            b'+' => {
                let text = match std::str::from_utf8(body) {
                    Ok(text) => ByteString::from(text),
                    Err(error) => {
                        return Err(self.error(1 + error.valid_up_to(), RespErrorKind::Utf8));
                    }
                };
                self.take(next, buffer);
                Frame::Simple(text)
            }
            b'-' => {
                let text = String::from_utf8_lossy(body).into_owned();
                self.take(next, buffer);
                Frame::Error(text)
            }
            b':' => {
                let value = self.integer(body)?;
                self.take(next, buffer);
                Frame::Integer(value)
            }
            b'$' => match self.length(body)? {
                None => {
                    self.take(next, buffer);
                    Frame::Bulk(None)
                }
                Some(length) => {
                    let max = self.limits.bulk_bytes_max;
                    let Some(length) = within(length, max) else {
                        return Err(self.error(1, RespErrorKind::BulkTooLong { length, max }));
                    };
                    let data_end = next + length;
                    self.check_array(data_end)?;
                    match buffer.get(data_end..data_end + CRLF.len()) {
                        None => return Ok(None),
                        Some(CRLF) => {}
                        Some(_) => return Err(self.error(data_end, RespErrorKind::CrLf)),
                    }
                    let whole = self.take(data_end + CRLF.len(), buffer);
                    Frame::Bulk(Some(part(whole, next, data_end)))
                }
            },
            _ => match self.length(body)? {
                None => {
                    self.take(next, buffer);
                    Frame::NullArray
                }
                Some(length) => {
                    let max = self.limits.array_len_max;
                    let Some(missing) = within(length, max) else {
                        return Err(self.error(1, RespErrorKind::ArrayTooLong { length, max }));
                    };
                    let max = self.limits.depth_max;
                    if self.open.len() >= max {
                        return Err(self.error(0, RespErrorKind::TooDeep { max }));
                    }
                    self.take(next, buffer);
                    if missing > 0 {
                        return Ok(Some(Element::Array(missing)));
                    }
                    Frame::Array(Vec::new())
                }
            },
        };
        Ok(Some(Element::Frame(frame)))
    }

    /// The place of the CR of the first line; `None` until its LF has come.
    fn line_end(&mut self, buffer: &[u8]) -> Result<Option<usize>, RespError> {
        let max = self.limits.line_bytes_max;
        let window = buffer.len().min(max.saturating_add(1 + CRLF.len()));
        let scanned = self.scanned.min(window);
        match memchr(b'\n', &buffer[scanned..window]).map(|at| scanned + at) {
            Some(newline) if newline >= 2 && buffer[newline - 1] == b'\r' => Ok(Some(newline - 1)),
            Some(newline) => Err(self.error(newline, RespErrorKind::CrLf)),
            None if window == max.saturating_add(1 + CRLF.len()) => {
                Err(self.error(1, RespErrorKind::LineTooLong { max }))
            }
            None => {
                self.scanned = window;
                Ok(None)
            }
        }
    }

    /// Checks that the array to which an element belongs may go on up to this place of the buffer.
    fn check_array(&self, end: usize) -> Result<(), RespError> {
        let max = 2 * self.limits.bulk_bytes_max as u64 + ARRAY_ROOM_BYTES;
        if self.open.is_empty() || self.taken + end as u64 - self.opened_at <= max {
            return Ok(());
        }
        Err(self.error(0, RespErrorKind::FrameTooLong { max }))
    }

    fn integer(&self, body: &[u8]) -> Result<i64, RespError> {
        integer::parse(body).map_err(|_| self.error(1, RespErrorKind::Integer))
    }

    /// Parses a length; `None` is -1.
    fn length(&self, body: &[u8]) -> Result<Option<u64>, RespError> {
        match self.integer(body)? {
            -1 => Ok(None),
            length => match u64::try_from(length) {
                Ok(length) => Ok(Some(length)),
                Err(_) => Err(self.error(1, RespErrorKind::Length)),
            },
        }
    }

    /// Takes `length` bytes off the buffer; the bytes behind them have not been searched.
    #[inline]
    fn take(&mut self, length: usize, buffer: &mut BytesMut) -> Bytes {
        self.taken += length as u64;
        self.scanned = 0;
        buffer.split_to(length).freeze()
    }

    /// An error at a byte of the buffer.
    #[cold]
    const fn error(&self, at: usize, kind: RespErrorKind) -> RespError {
        RespError { kind, offset: self.taken + at as u64 }
    }
}

/// Judges a buffer that ends before all of `expected` has come. A fault in it must not wait for
/// more bytes, or it would depend on how they are cut.
#[cold]
fn partial(buffer: &[u8], start: usize, expected: &[u8]) -> Glance {
    match buffer.get(start..) {
        Some(rest) if !expected.starts_with(rest) => Glance::Other,
        Some(_) | None => Glance::Partial,
    }
}

/// A length of few digits and the place behind its CR LF; `None` for anything else.
#[inline]
fn short_length(buffer: &[u8], start: usize) -> Option<(usize, usize)> {
    let mut length = 0;
    for (index, byte) in buffer.get(start..)?.iter().take(SHORT_LENGTH_DIGITS + 1).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            length = length * 10 + usize::from(digit);
            continue;
        }
        let at = start + index;
        let ends = index > 0 && *byte == b'\r' && buffer.get(at + 1) == Some(&b'\n');
        return ends.then_some((length, at + CRLF.len()));
    }
    None
}

/// The announced length as a `usize`, if it is allowed.
fn within(length: u64, max: usize) -> Option<usize> {
    usize::try_from(length).ok().filter(|length| *length <= max)
}

/// The bytes from `start` up to `end`, made of the whole without another reference to it.
#[inline]
fn part(mut bytes: Bytes, start: usize, end: usize) -> Bytes {
    bytes.truncate(end);
    bytes.advance(start);
    bytes
}

/// An outermost array, as a published message if it has the form of one.
fn message(mut items: Vec<Frame>) -> Frame {
    match items.as_mut_slice() {
        [Frame::Bulk(Some(kind)), Frame::Bulk(Some(channel)), Frame::Bulk(Some(payload))]
            if kind == "message" =>
        {
            Frame::Message { channel: std::mem::take(channel), payload: std::mem::take(payload) }
        }
        _ => Frame::Array(items),
    }
}
