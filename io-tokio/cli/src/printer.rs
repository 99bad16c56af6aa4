//! The output of events to stdout. Events enter; chunks of JSON or text lines leave. A reader that
//! does not read cannot keep the program from stopping.

use std::{
    io::{self, IsTerminal as _},
    pin::pin,
};

use synrepl_core::Event;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    time::{Instant, sleep_until},
};

use crate::{
    clock::TimeOfDay,
    flags::Format,
    json,
    stdout_file::StdoutFile,
    stop::{GRACE, Stop},
    text::TextFormat,
};

/// The number of bytes that are gathered before they are written, while more events wait.
const CHUNK_BYTES: usize = 64 << 10;

/// Gathers the lines of events, and writes them in chunks.
#[derive(Debug)]
pub(super) struct Printer<W> {
    out: W,
    format: Lines,
    chunk: Vec<u8>,
    file: StdoutFile,
}

#[derive(Clone, Copy, Debug)]
enum Lines {
    Json,
    Text(TextFormat),
}

/// The outcome of writing a chunk.
#[derive(Debug)]
pub(super) enum Written {
    /// The chunk was written whole.
    Whole,
    /// The pipe is closed: nobody reads.
    NobodyReads,
    /// The chunk was not written within [`GRACE`] after a stop was requested; a part of it may be.
    Stuck,
    /// The system reported an error.
    Failed(io::Error),
}

impl Printer<tokio::io::Stdout> {
    /// A printer to stdout. By default it prints text to a terminal, JSON elsewhere.
    pub(super) fn stdout(format: Option<Format>) -> Self {
        let terminal = io::stdout().is_terminal();
        let wants_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let format = match format {
            Some(Format::Json) => Lines::Json,
            None if !terminal => Lines::Json,
            Some(Format::Text) | None => {
                Lines::Text(TextFormat { colour: terminal && wants_colour })
            }
        };
        Self { file: StdoutFile::of_stdout(), ..Self::new(tokio::io::stdout(), format) }
    }
}

impl<W: AsyncWrite + Unpin> Printer<W> {
    const fn new(out: W, format: Lines) -> Self {
        Self { out, format, chunk: Vec::new(), file: StdoutFile::none() }
    }

    /// Whether events are printed as text.
    pub(super) const fn is_text(&self) -> bool {
        matches!(self.format, Lines::Text(_))
    }

    /// Adds the line of an event; returns whether it has one.
    pub(super) fn add(&mut self, event: &Event) -> bool {
        let before = self.chunk.len();
        match self.format {
            Lines::Json => json::append(&mut self.chunk, event),
            Lines::Text(text) => text.append(&mut self.chunk, TimeOfDay::now(), event),
        }
        self.chunk.len() > before
    }

    /// Adds the JSON line of an event, with its number; returns whether it has one.
    pub(super) fn add_numbered(&mut self, event: &Event, number: u64) -> bool {
        let has_line = self.add(event);
        if has_line {
            json::number(&mut self.chunk, number);
        }
        has_line
    }

    /// Whether enough lines are gathered to be written although more events wait.
    pub(super) const fn is_full(&self) -> bool {
        self.chunk.len() >= CHUNK_BYTES
    }

    /// Whether there is nothing to write.
    pub(super) const fn is_empty(&self) -> bool {
        self.chunk.is_empty()
    }

    /// Writes and flushes the gathered lines. If that fails and stdout is a file, none of them stays
    /// there. Waits without limit for a slow reader until `stop` is
    /// requested; then calls `stopping`, once, and waits until `deadline`.
    pub(super) async fn write(
        &mut self,
        stop: &mut Stop,
        deadline: &mut Option<Instant>,
        mut stopping: impl FnMut(),
    ) -> Written {
        let end = self.file.end();
        let result = {
            let (out, chunk) = (&mut self.out, &self.chunk);
            let mut written = pin!(async move {
                out.write_all(chunk).await?;
                out.flush().await
            });
            loop {
                let until = *deadline;
                tokio::select! {
                    biased;
                    result = &mut written => break result,
                    () = stop.requested(), if until.is_none() => {
                        *deadline = Some(Instant::now() + GRACE);
                        stopping();
                    }
                    () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                        return Written::Stuck;
                    }
                }
            }
        };
        let length = self.chunk.len();
        self.chunk.clear();
        match result {
            Ok(()) => Written::Whole,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Written::NobodyReads,
            Err(error) => {
                self.file.cut(end, length);
                Written::Failed(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use synrepl_core::ConnectionId;

    use super::*;

    fn connected() -> Event {
        Event::Connected { conn: ConnectionId::new(1) }
    }

    #[tokio::test]
    async fn gathered_lines_go_out_together() {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, Lines::Json);
        printer.add(&connected());
        printer.add(&connected());
        assert!(!printer.is_empty() && !printer.is_full());
        let mut stop = Stop::new(None).unwrap();
        assert!(matches!(printer.write(&mut stop, &mut None, || {}).await, Written::Whole));
        assert!(printer.is_empty());
        assert_eq!(out, b"{\"type\":\"connected\",\"connection\":1}\n".repeat(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stopped_reading_does_not_stop_the_stop() {
        let (out, _unread) = tokio::io::duplex(8);
        let mut printer = Printer::new(out, Lines::Json);
        printer.add(&connected());
        let start = Instant::now();
        let mut stop = Stop::new(Some(start + Duration::from_secs(60))).unwrap();
        let (mut deadline, mut told) = (None, 0);
        let written = printer.write(&mut stop, &mut deadline, || told += 1).await;
        assert!(matches!(written, Written::Stuck), "{written:?}");
        assert_eq!(told, 1);
        assert_eq!(start.elapsed().as_secs(), 60 + GRACE.as_secs());
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_is_no_failure() {
        let (out, reader) = tokio::io::duplex(8);
        drop(reader);
        let mut printer = Printer::new(out, Lines::Json);
        printer.add(&connected());
        let mut stop = Stop::new(None).unwrap();
        let written = printer.write(&mut stop, &mut None, || {}).await;
        assert!(matches!(written, Written::NobodyReads), "{written:?}");
    }
}
