//! The queue of what waits to be written to one connection. Chunks of lines enter, bytes leave in
//! order; a command counts as sent when its last byte is written.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;

/// The most pieces that are handed to one write. More gain nothing: a write of this many fills a
/// socket's buffer.
const PIECES_MAX: usize = 32;

/// Whole lines, and the number of commands that they stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    pub(super) lines: Bytes,
    /// The number of commands: at least one per line, and more if some could not be sent. Those
    /// count as sent with the end of the chunk.
    pub(super) commands: u32,
}

/// A queue of chunks, which counts the commands that were written.
#[derive(Debug, Default)]
pub(super) struct Output {
    chunks: VecDeque<Chunk>,
    /// The number of bytes that wait.
    len: usize,
    /// The number of bytes of the first chunk that were written.
    written: usize,
    /// The number of commands of the first chunk that are counted in `sent` already.
    counted: u32,
    sent: u32,
}

impl Output {
    pub(super) fn push(&mut self, chunk: Chunk) {
        self.len += chunk.lines.len();
        self.chunks.push_back(chunk);
    }

    /// Returns the number of bytes that wait to be written.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of commands that were wholly written since the last call.
    pub(super) const fn take_sent(&mut self) -> u32 {
        std::mem::replace(&mut self.sent, 0)
    }

    /// Writes what waits. Ready when nothing waits any more.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            self.advance(0);
            if self.chunks.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
            let mut count = 0;
            for (piece, chunk) in pieces.iter_mut().zip(&self.chunks) {
                let from = if count == 0 { self.written } else { 0 };
                *piece = IoSlice::new(&chunk.lines[from..]);
                count += 1;
            }
            // A stream that writes one piece at a time takes the first.
            let written = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &pieces[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
    }

    /// Counts `written` more bytes, and removes the chunks that are at their end.
    fn advance(&mut self, mut written: usize) {
        self.len -= written;
        while let Some(chunk) = self.chunks.front() {
            let left = chunk.lines.len() - self.written;
            if written < left {
                let piece = &chunk.lines[self.written..self.written + written];
                let lines = piece.iter().filter(|&&byte| byte == b'\n').count();
                let lines = u32::try_from(lines).unwrap_or(u32::MAX);
                let lines = lines.min(chunk.commands - self.counted);
                self.sent += lines;
                self.counted += lines;
                self.written += written;
                return;
            }
            written -= left;
            self.sent += chunk.commands - self.counted;
            self.written = 0;
            self.counted = 0;
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// A stream that takes as many bytes as it has room for, then nothing.
    #[derive(Default)]
    struct Narrow {
        room: usize,
        taken: Vec<u8>,
        vectored: bool,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Poll::Pending;
            }
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let count = if self.vectored { pieces.len() } else { 1 };
            let bytes: Vec<u8> =
                pieces[..count].iter().flat_map(|piece| piece.iter().copied()).collect();
            self.as_mut().poll_write(cx, &bytes)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    const CHUNKS: [(&str, u32); 4] =
        [("one\ntwo\nthree\n", 3), ("", 1), ("four\n", 1), ("five\nsix\n", 3)];

    fn output() -> Output {
        let mut output = Output::default();
        for (lines, commands) in CHUNKS {
            output.push(Chunk { lines: Bytes::from_static(lines.as_bytes()), commands });
        }
        output
    }

    #[test]
    fn a_command_counts_as_sent_when_its_last_byte_is_out_however_writes_are_cut() {
        let all: String = CHUNKS.iter().map(|(lines, _)| *lines).collect();
        for vectored in [false, true] {
            for step in 1..=all.len() {
                let mut output = output();
                let mut stream = Narrow { vectored, ..Narrow::default() };
                let mut cx = Context::from_waker(Waker::noop());
                let mut sent = 0;
                while output.len() > 0 {
                    stream.room = step;
                    let polled = output.poll_write(&mut stream, &mut cx);
                    assert!(!matches!(polled, Poll::Ready(Err(_))));
                    sent += output.take_sent();
                    let out = std::str::from_utf8(&stream.taken).unwrap();
                    let lines = u32::try_from(out.matches('\n').count()).unwrap();
                    // The command left out in the middle counts once what stood before it is
                    // written; the one among the last chunk's lines with that chunk.
                    let mut expected = lines;
                    expected += u32::from(lines >= 3);
                    expected += u32::from(lines >= 6);
                    assert_eq!(sent, expected, "step {step}, out {out:?}");
                    assert_eq!(output.len(), all.len() - out.len());
                }
                assert_eq!(sent, 8);
                assert_eq!(stream.taken, all.as_bytes());
            }
        }
    }

    #[test]
    fn commands_that_have_no_line_count_without_a_write() {
        let mut output = Output::default();
        output.push(Chunk { lines: Bytes::new(), commands: 2 });
        let mut cx = Context::from_waker(Waker::noop());
        assert!(output.poll_write(&mut Narrow::default(), &mut cx).is_ready());
        assert_eq!(output.take_sent(), 2);
        assert_eq!(output.take_sent(), 0);
    }
}
