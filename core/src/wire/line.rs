//! Line framing of direct TCP (`protocol.md` 1.2).
//!
//! The bytes of a connection enter in pieces of any size, whole lines leave. A line that is too
//! long is an error before its end has come, so that no peer makes a buffer grow without limit
//! (promises C2 and F9).

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memchr;
use thiserror::Error;

/// The longest line of direct TCP in bytes, delimiter not counted: the most that Synapse accepts.
pub const LINE_BYTES_MAX: usize = 16_384;

/// The length of the command's name, the tokens and the delimiter of a line, about, in bytes.
pub(crate) const LINE_OVERHEAD_BYTES: usize = 32;

/// Cuts a byte stream into lines at each line feed. A carriage return is part of its line.
///
/// A decoder belongs to one buffer, to which the caller only appends between calls. Bytes that were
/// searched are not searched again, however small the pieces in which they come.
///
/// # Examples
/// ```
/// use bytes::BytesMut;
/// use synrepl_core::wire::LineDecoder;
///
/// let mut lines = LineDecoder::new();
/// let mut buffer = BytesMut::from(&b"PING 1\nPI"[..]);
/// assert_eq!(lines.decode(&mut buffer)?.as_deref(), Some(&b"PING 1"[..]));
/// assert_eq!(lines.decode(&mut buffer)?, None);
/// buffer.extend_from_slice(b"NG 2\n");
/// assert_eq!(lines.decode(&mut buffer)?.as_deref(), Some(&b"PING 2"[..]));
/// # Ok::<(), synrepl_core::wire::LineTooLong>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct LineDecoder {
    /// Bytes at the front of the buffer that are known to hold no delimiter.
    scanned: usize,
}

/// A line is longer than [`LINE_BYTES_MAX`], whether or not its end has come. The connection
/// cannot go on; Synapse sends `ERROR Line length exceeded` and closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("a line of more than {LINE_BYTES_MAX} bytes")]
#[non_exhaustive]
pub struct LineTooLong;

impl LineDecoder {
    /// Creates a decoder at the start of a line.
    pub const fn new() -> Self {
        Self { scanned: 0 }
    }

    /// Takes the next whole line off the front of `buffer`, without its delimiter and without a
    /// copy.
    ///
    /// Returns `None` while no whole line has come: append more bytes, and call again.
    ///
    /// # Errors
    /// [`LineTooLong`] as soon as more than [`LINE_BYTES_MAX`] bytes stand without a delimiter,
    /// and at every call from then on; nothing is taken off the buffer.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, LineTooLong> {
        let scanned = self.scanned.min(buffer.len());
        let window = buffer.len().min(LINE_BYTES_MAX + 1);
        let Some(length) = memchr(b'\n', &buffer[scanned..window]) else {
            if buffer.len() > LINE_BYTES_MAX {
                return Err(LineTooLong);
            }
            self.scanned = buffer.len();
            return Ok(None);
        };
        let line = buffer.split_to(scanned + length).freeze();
        buffer.advance(1);
        self.scanned = 0;
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the lines of a stream that comes in `pieces`, and whether an error ended it.
    fn lines(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
        let (mut decoder, mut buffer) = (LineDecoder::new(), BytesMut::new());
        let mut lines = Vec::new();
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut buffer) {
                    Ok(Some(line)) => lines.push(line.to_vec()),
                    Ok(None) => break,
                    Err(LineTooLong) => {
                        assert_eq!(decoder.decode(&mut buffer), Err(LineTooLong));
                        return (lines, true);
                    }
                }
            }
        }
        (lines, false)
    }

    #[test]
    fn a_line_ends_at_a_line_feed_alone() {
        let (found, failed) = lines(&[b"PING 1\r\n\n  \nlast"]);
        assert_eq!(found, [&b"PING 1\r"[..], b"", b"  "]);
        assert!(!failed);
    }

    #[test]
    fn exactly_the_longest_line_is_accepted_and_one_byte_more_is_not() {
        let longest = vec![b'x'; LINE_BYTES_MAX];
        assert_eq!(lines(&[&longest, b"\n"]), (vec![longest.clone()], false));
        assert_eq!(lines(&[&longest]), (vec![], false));
        for too_long in [&b"x"[..], b"x\n", b"x\nPING 1\n"] {
            assert_eq!(lines(&[&longest, too_long]), (vec![], true));
            assert_eq!(lines(&[&[&longest, too_long].concat()]), (vec![], true));
        }
        assert_eq!(lines(&[&vec![b'x'; 200_005], b"\n"]), (vec![], true));
    }

    #[test]
    fn lines_are_slices_of_the_buffer() {
        let mut buffer = BytesMut::from(&b"one\ntwo\n"[..]);
        let start = buffer.as_ptr();
        let mut decoder = LineDecoder::new();
        assert_eq!(decoder.decode(&mut buffer).unwrap().unwrap().as_ptr(), start);
        let second = decoder.decode(&mut buffer).unwrap().unwrap();
        assert_eq!(second.as_ptr() as usize - start as usize, 4);
    }

    #[test]
    fn bytes_that_were_searched_are_not_searched_again() {
        let (mut decoder, mut buffer) = (LineDecoder::new(), BytesMut::from(&b"abc"[..]));
        assert_eq!(decoder.decode(&mut buffer), Ok(None));
        // Only a decoder that searches the first bytes again could find this line feed.
        buffer[1] = b'\n';
        assert_eq!(decoder.decode(&mut buffer), Ok(None));
    }

    proptest! {
        #[test]
        fn the_way_the_bytes_are_cut_changes_nothing(
            parts in prop::collection::vec(
                ("[a\r ]{0,9}|\n|\n\n", prop_oneof![9 => Just(1_usize), 1 => Just(6_000)]), 0..9),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
        ) {
            let bytes: Vec<u8> =
                parts.iter().flat_map(|(text, times)| text.repeat(*times).into_bytes()).collect();
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            ends.push(bytes.len());
            ends.sort_unstable();
            let mut start = 0;
            let pieces: Vec<&[u8]> = ends
                .into_iter()
                .map(|end| &bytes[std::mem::replace(&mut start, end)..end])
                .collect();
            prop_assert_eq!(lines(&pieces), lines(&[&bytes]));
        }
    }
}
