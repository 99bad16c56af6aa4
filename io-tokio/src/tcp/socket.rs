//! One connection of direct TCP. Bytes enter and leave as decoded lines; chunks of lines enter and
//! leave as bytes. Nothing is lost when a poll is pending.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use synrepl_core::wire::{Command, DecodeError, Decoder, LineDecoder};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use super::output::{Chunk, Output};

/// The reason why a connection cannot go on, in words for people.
pub(super) type Failure = String;

/// A line that was received.
#[derive(Debug)]
pub(super) enum Line {
    Command(Command),
    Malformed(DecodeError),
    /// The line is longer than any may be. Reported once; nothing comes after it.
    TooLong,
}

/// A connection of direct TCP. Nothing in it is lost when a poll is pending.
pub(super) struct LineSocket<S> {
    stream: S,
    input: BytesMut,
    /// The room that a read is offered, in bytes.
    read_bytes: usize,
    lines: LineDecoder,
    decoder: Decoder,
    /// Set once a line was too long, or a close was begun: what follows is not decoded.
    ignores_input: bool,
    output: Output,
    flushing: bool,
    /// The failure of a write. What the peer sent before may have the reason, so it is read first.
    broken: Option<Failure>,
    bytes_read: usize,
    shutdown: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> LineSocket<S> {
    /// Makes a connection whose reads are offered `read_bytes` of room.
    pub(super) fn new(stream: S, read_bytes: usize) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            read_bytes,
            lines: LineDecoder::new(),
            decoder: Decoder::new(),
            ignores_input: false,
            output: Output::default(),
            flushing: false,
            broken: None,
            bytes_read: 0,
            shutdown: false,
        }
    }

    /// Queues whole lines.
    pub(super) fn push(&mut self, chunk: Chunk) {
        self.output.push(chunk);
    }

    /// Returns the number of bytes that wait to be written.
    pub(super) const fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Returns the number of commands that have gone out since the last call.
    pub(super) const fn take_sent(&mut self) -> u32 {
        self.output.take_sent()
    }

    /// Returns the number of bytes read since the last call.
    pub(super) const fn take_bytes_read(&mut self) -> usize {
        std::mem::replace(&mut self.bytes_read, 0)
    }

    /// Returns the next line of what was read, without reading more.
    #[inline]
    pub(super) fn next_line(&mut self) -> Option<Line> {
        if self.ignores_input {
            return None;
        }
        match self.lines.decode(&mut self.input) {
            Ok(line) => line.map(|line| match self.decoder.decode(&line) {
                Ok(command) => Line::Command(command),
                Err(error) => Line::Malformed(error),
            }),
            Err(_) => {
                self.ignores_input = true;
                self.input = BytesMut::new();
                Some(Line::TooLong)
            }
        }
    }

    /// Reads once. Ready when something was received, or when nothing more will be.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.ignores_input {
            // The bytes are dropped, but a close still shows that the other side is gone.
            self.input.clear();
        }
        // A buffer is used up before the next is begun: what was decoded keeps it alive.
        if self.input.capacity() - self.input.len() < self.read_bytes / 8 {
            self.input.reserve(self.read_bytes);
        }
        match poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input) {
            Poll::Pending => match &self.broken {
                Some(failure) => Poll::Ready(Err(failure.clone())),
                None => Poll::Pending,
            },
            Poll::Ready(Ok(0)) => {
                Poll::Ready(Err("the other side closed the connection".to_owned()))
            }
            Poll::Ready(Ok(count)) => {
                self.bytes_read += count;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(broke(&error))),
        }
    }

    /// Writes what is queued. Ready when all of it is written, or nothing more will be: then
    /// [`LineSocket::poll_read`] returns the failure.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.broken.is_some() {
            return Poll::Ready(());
        }
        let written = ready!(self.poll_write_and_flush(cx));
        self.broken = written.err().map(|error| broke(&error));
        Poll::Ready(())
    }

    fn poll_write_and_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.output.len() > 0 {
            self.flushing = true;
        }
        ready!(self.output.poll_write(&mut self.stream, cx))?;
        if self.flushing {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.flushing = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Returns the failure of a write, if one failed.
    pub(super) const fn broken(&self) -> Option<&Failure> {
        self.broken.as_ref()
    }

    /// Writes what is queued, shuts the writing side down, and reads until the other side has
    /// closed too: were the connection dropped with bytes unread, the system would take back what
    /// the other side has not read yet.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_write(cx));
        if self.broken.is_some() {
            return Poll::Ready(());
        }
        if !self.shutdown {
            if ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            self.shutdown = true;
        }
        self.ignores_input = true;
        while ready!(self.poll_read(cx)).is_ok() {}
        Poll::Ready(())
    }
}

fn broke(error: &io::Error) -> Failure {
    format!("the connection broke: {error}")
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use bytes::Bytes;
    use synrepl_core::wire::LINE_BYTES_MAX;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    fn pair(buffer: usize) -> (LineSocket<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(buffer);
        (LineSocket::new(near, 256), far)
    }

    fn chunk(lines: &'static str) -> Chunk {
        let commands = u32::try_from(lines.matches('\n').count()).unwrap();
        Chunk { lines: Bytes::from_static(lines.as_bytes()), commands }
    }

    async fn line(socket: &mut LineSocket<DuplexStream>) -> Result<Line, Failure> {
        loop {
            if let Some(line) = socket.next_line() {
                return Ok(line);
            }
            poll_fn(|cx| socket.poll_read(cx)).await?;
        }
    }

    #[tokio::test]
    async fn lines_are_found_whatever_pieces_they_come_in() {
        let text = b"NAME w\n\nPING 1\nGARBAGE\nREPLICATE\n";
        for step in 1..=text.len() {
            let (mut socket, mut far) = pair(1024);
            for piece in text.chunks(step) {
                far.write_all(piece).await.unwrap();
                // The piece is alone in the buffer, so that reads end where it ends.
                while poll_fn(|cx| Poll::Ready(socket.poll_read(cx))).await.is_ready() {}
            }
            let mut found = Vec::new();
            while let Some(line) = socket.next_line() {
                found.push(match line {
                    Line::Command(command) => command.name().to_owned(),
                    Line::Malformed(_) => "?".to_owned(),
                    Line::TooLong => "too long".to_owned(),
                });
            }
            assert_eq!(found, ["NAME", "?", "PING", "?", "REPLICATE"], "pieces of {step}");
            assert_eq!(socket.take_bytes_read(), text.len());
            assert_eq!(socket.take_bytes_read(), 0);
        }
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_said_once_and_ends_the_hearing() {
        let (mut socket, mut far) = pair(1 << 16);
        far.write_all(b"PING 1\n").await.unwrap();
        far.write_all(&vec![b'x'; LINE_BYTES_MAX + 1]).await.unwrap();
        far.write_all(b"\nPING 2\n").await.unwrap();
        drop(far);
        assert!(matches!(line(&mut socket).await, Ok(Line::Command(Command::Ping(_)))));
        assert!(matches!(line(&mut socket).await, Ok(Line::TooLong)));
        let end = line(&mut socket).await.unwrap_err();
        assert_eq!(end, "the other side closed the connection");
    }

    #[tokio::test]
    async fn what_the_other_side_said_is_heard_though_writing_fails() {
        let (mut socket, mut far) = pair(1024);
        far.write_all(b"ERROR why\n").await.unwrap();
        drop(far);
        socket.push(chunk("PING 1\n"));
        poll_fn(|cx| socket.poll_write(cx)).await;
        assert!(socket.broken().is_some());
        assert_eq!(socket.take_sent(), 0);
        assert!(matches!(line(&mut socket).await, Ok(Line::Command(Command::Error(_)))));
        line(&mut socket).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_close_lets_out_what_was_queued_and_waits_for_the_other_side() {
        let (mut socket, mut far) = pair(4);
        socket.push(chunk("ERROR Failed to keep up\n"));
        // This is never decoded, as it comes after the close.
        far.write_all(b"PIN").await.unwrap();
        let closing = tokio::spawn(async move {
            poll_fn(|cx| socket.poll_close(cx)).await;
            socket.take_sent()
        });
        let mut heard = String::new();
        far.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "ERROR Failed to keep up\n");
        assert!(!closing.is_finished());
        drop(far);
        assert_eq!(closing.await.unwrap(), 1);
    }
}
