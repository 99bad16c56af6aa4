//! Splits a reader into lines of a limited length. Bytes enter, lines leave; of a line that is too
//! long only the length is kept, so memory is bounded.

use std::{io, mem};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The number of bytes that are requested of the reader at once.
const READ_BYTES: usize = 64 << 10;

/// The mark in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One line, without its line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The bytes of the line.
    Whole(Bytes),
    /// The line was longer than allowed; it is skipped.
    TooLong {
        /// The length of the line.
        bytes: u64,
    },
}

impl Line {
    /// Takes off the byte order mark with which some editors begin a file. It is no part of the
    /// text.
    pub(super) fn without_byte_order_mark(&mut self) {
        if let Self::Whole(text) = self
            && text.starts_with(BYTE_ORDER_MARK)
        {
            text.advance(BYTE_ORDER_MARK.len());
        }
    }
}

/// Splits a reader into lines. Of a line that is too long only the length is kept.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    bytes_max: usize,
    buffer: BytesMut,
    /// The number of bytes at the front of the buffer that hold no line end.
    searched: usize,
    /// The number of bytes dropped so far of a line that is too long.
    skipped: u64,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Splits `reader` into lines of at most `bytes_max` bytes.
    pub(super) fn new(reader: R, bytes_max: usize) -> Self {
        let buffer = BytesMut::new();
        Self { reader, bytes_max, buffer, searched: 0, skipped: 0, ended: false }
    }

    /// The next line; `None` at the end. The last line needs no line end.
    ///
    /// # Errors
    /// Returns the error of the reader.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.next_buffered() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(self.last());
            }
            self.buffer.reserve(READ_BYTES);
            self.ended = self.reader.read_buf(&mut self.buffer).await? == 0;
        }
    }

    /// The next line, if the buffer holds it whole.
    pub(super) fn next_buffered(&mut self) -> Option<Line> {
        let unsearched = &self.buffer[self.searched..];
        let Some(at) = unsearched.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            if self.searched > self.bytes_max {
                self.skip(self.searched);
            }
            return None;
        };
        let end = self.searched + at;
        let line = self.cut(end);
        self.buffer.advance(1);
        Some(line)
    }

    /// The rest behind the last line end; `None` if there is none.
    fn last(&mut self) -> Option<Line> {
        let rest = self.buffer.len();
        (rest > 0 || self.skipped > 0).then(|| self.cut(rest))
    }

    /// Takes the line that ends before `end` out of the buffer.
    fn cut(&mut self, end: usize) -> Line {
        if self.skipped > 0 || end > self.bytes_max {
            self.skip(end);
            self.searched = 0;
            return Line::TooLong { bytes: mem::take(&mut self.skipped) };
        }
        self.searched = 0;
        let mut line = self.buffer.split_to(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        Line::Whole(line.freeze())
    }

    fn skip(&mut self, count: usize) {
        self.buffer.advance(count);
        self.searched = 0;
        self.skipped += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use tokio::io::ReadBuf;

    use super::*;

    /// A reader that gives so many bytes at a time.
    struct Pieces<'a>(&'a [u8], usize);

    impl AsyncRead for Pieces<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let (now, later) = self.0.split_at(self.0.len().min(self.1));
            buffer.put_slice(now);
            self.0 = later;
            Poll::Ready(Ok(()))
        }
    }

    async fn lines(text: &[u8], piece: usize, bytes_max: usize) -> Vec<Line> {
        let mut lines = Lines::new(Pieces(text, piece), bytes_max);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            assert!(lines.buffer.len() <= bytes_max + piece, "{} are kept", lines.buffer.len());
            all.push(line);
        }
        all
    }

    fn whole(text: &'static str) -> Line {
        Line::Whole(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn lines_are_the_same_however_they_arrive() {
        let text = b"one\n\ntwo\r\nfour5\nmuch too long\nsix";
        for piece in 1..text.len() + 1 {
            let expected = [
                whole("one"),
                whole(""),
                whole("two"),
                whole("four5"),
                Line::TooLong { bytes: 13 },
                whole("six"),
            ];
            assert_eq!(lines(text, piece, 5).await, expected, "pieces of {piece}");
        }
    }

    #[tokio::test]
    async fn the_limit_is_the_longest_line() {
        for piece in [1, 3, 100] {
            let expected = [whole("12345"), Line::TooLong { bytes: 6 }, whole("1")];
            assert_eq!(lines(b"12345\n123456\n1\n", piece, 5).await, expected);
            assert_eq!(lines(b"123456", piece, 5).await, [Line::TooLong { bytes: 6 }]);
            assert_eq!(lines(b"", piece, 5).await, []);
        }
    }

    #[tokio::test]
    async fn a_line_without_end_is_not_kept() {
        let text = vec![b'x'; 4 << 20];
        let expected = [Line::TooLong { bytes: 4 << 20 }];
        assert_eq!(lines(&text, 1_000, 5_000).await, expected);
    }
}
