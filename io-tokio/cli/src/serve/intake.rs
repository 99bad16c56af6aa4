//! The intake of rows: lines enter on stdin, acknowledgements leave on stdout in the same order.
//! While the log or the reader of stdout is slow, nothing is read.

use std::{io, sync::Arc};

use bytes::Bytes;
use serde_json::json;
use synrepl::log::{AppendError, JsonBatch, LogStore};
use synrepl_core::{ByteString, stream::Token};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    lines::{Line, Lines},
    taken::Taken,
};
use crate::stdout_file::StdoutFile;

/// The longest line, in bytes: a batch of the core's limit of 8 MiB, and some for its form as JSON.
pub(super) const LINE_BYTES_MAX: usize = (8 << 20) + (64 << 10);
/// The most lines that were read and are not acknowledged. While there are so many, none is read.
const LINES_MAX: usize = 4_096;
/// The most bytes of these lines, besides one line that was read and waits for room.
const BYTES_MAX: usize = 32 << 20;
/// The number of bytes of acknowledgements that are written together.
const CHUNK_BYTES: usize = 16 << 10;

/// The reason why no more lines are read.
#[derive(Debug)]
pub(super) enum End {
    /// Stdin has ended.
    Eof,
    /// A stop was requested.
    Stopped,
    /// Nobody reads the acknowledgements, so nothing more is taken.
    NoReader,
    /// Stdin cannot be read.
    Failed(io::Error),
}

/// A line that is not acknowledged yet, with the outcome that it will have.
struct Pending {
    line: u64,
    outcome: Outcome,
    /// The line's share of [`BYTES_MAX`], given back when it is acknowledged.
    _share: OwnedSemaphorePermit,
}

enum Outcome {
    Refused(String),
    Append { stream: ByteString, task: JoinHandle<Result<Token, AppendError>> },
}

/// Reads lines from `input` until it ends or `stop` is cancelled; appends each as a batch, in
/// order; writes one line to `output` per batch, in the same order, once the batch is durable.
/// Every line that was read whole is answered before this returns. Blank lines are left out.
///
/// While appending or the reader of `output` is slow, nothing is read.
///
/// # Errors
/// Fails if `output` cannot be written to. Batches that were begun are appended all the same.
pub(super) async fn run(
    input: impl AsyncRead + Unpin,
    output: Acknowledgements<impl AsyncWrite + Unpin>,
    log: Arc<dyn LogStore>,
    stop: CancellationToken,
) -> (End, io::Result<()>) {
    let (pending, answers) = mpsc::channel(LINES_MAX);
    tokio::join!(read(input, log, stop, pending), acknowledge(answers, output))
}

/// The place where lines are acknowledged.
pub(super) struct Acknowledgements<W> {
    pub(super) out: W,
    /// What `out` is, if it is a file: what a failed write leaves there is cut off.
    pub(super) file: StdoutFile,
    /// Counts the lines that were refused.
    pub(super) taken: Arc<Taken>,
}

async fn read(
    input: impl AsyncRead + Unpin,
    log: Arc<dyn LogStore>,
    stop: CancellationToken,
    pending: mpsc::Sender<Pending>,
) -> End {
    let room = Arc::new(Semaphore::new(BYTES_MAX));
    let mut lines = Lines::new(input, LINE_BYTES_MAX);
    let mut number = 0;
    let end = loop {
        let line = tokio::select! {
            biased;
            () = stop.cancelled() => break End::Stopped,
            () = pending.closed() => return End::NoReader,
            line = lines.next() => line,
        };
        match line {
            Ok(Some(mut line)) => {
                number += 1;
                if number == 1 {
                    line.without_byte_order_mark();
                }
                if take(line, number, &log, &room, &pending).await.is_err() {
                    return End::NoReader;
                }
            }
            Ok(None) => return End::Eof,
            Err(error) => break End::Failed(error),
        }
    };
    // The sender of these lines cannot take them back, so they are taken as well.
    while let Some(line) = lines.next_buffered() {
        number += 1;
        if take(line, number, &log, &room, &pending).await.is_err() {
            return End::NoReader;
        }
    }
    end
}

/// The error that nobody takes acknowledgements any more.
struct NoReader;

async fn take(
    line: Line,
    number: u64,
    log: &Arc<dyn LogStore>,
    room: &Arc<Semaphore>,
    pending: &mpsc::Sender<Pending>,
) -> Result<(), NoReader> {
    let bytes = match &line {
        Line::Whole(text) if text.trim_ascii().is_empty() => return Ok(()),
        Line::Whole(text) => text.len(),
        Line::TooLong { .. } => 0,
    };
    let share = u32::try_from(bytes.min(BYTES_MAX)).unwrap_or(u32::MAX);
    let (Ok(share), Ok(place)) =
        (Arc::clone(room).acquire_many_owned(share).await, pending.reserve().await)
    else {
        return Err(NoReader);
    };
    let outcome = match line {
        Line::Whole(text) => append(&text, log),
        Line::TooLong { bytes } => Outcome::Refused(format!(
            "the line has {bytes} bytes; at most {LINE_BYTES_MAX} are taken. Send fewer rows in a \
             batch"
        )),
    };
    place.send(Pending { line: number, outcome, _share: share });
    Ok(())
}

/// Begins to append a batch. The call alone fixes its place behind the batches before it.
fn append(text: &Bytes, log: &Arc<dyn LogStore>) -> Outcome {
    match JsonBatch::from_json(text) {
        Ok(JsonBatch { stream, rows, .. }) => {
            // Each append has a task of its own, so that all of them go on, not only the first in
            // line.
            let task = tokio::spawn(log.append(stream.clone(), rows));
            Outcome::Append { stream, task }
        }
        Err(error) => Outcome::Refused(error.to_string()),
    }
}

async fn acknowledge(
    mut answers: mpsc::Receiver<Pending>,
    mut output: Acknowledgements<impl AsyncWrite + Unpin>,
) -> io::Result<()> {
    let mut chunk = Vec::new();
    loop {
        let next = answers.try_recv().ok();
        // Gathered acknowledgements are written before anything is waited for.
        let waits = !next.as_ref().is_some_and(Pending::is_ready);
        if !chunk.is_empty() && (waits || chunk.len() >= CHUNK_BYTES) {
            if let Err(error) = output.write(&chunk).await {
                answers.close();
                finish(next, answers, &output.taken).await;
                return Err(error);
            }
            chunk.clear();
        }
        let next = match next {
            Some(next) => next,
            None => match answers.recv().await {
                Some(next) => next,
                None => return Ok(()),
            },
        };
        next.answer(&mut chunk, &output.taken).await;
    }
}

impl<W: AsyncWrite + Unpin> Acknowledgements<W> {
    async fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        let end = self.file.end();
        let written = match self.out.write_all(chunk).await {
            Ok(()) => self.out.flush().await,
            Err(error) => Err(error),
        };
        if written.is_err() {
            self.file.cut(end, chunk.len());
        }
        written
    }
}

/// Waits for every append that was begun: a batch dropped now might be in the log or not.
async fn finish(first: Option<Pending>, mut answers: mpsc::Receiver<Pending>, taken: &Taken) {
    let mut next = first;
    while let Some(pending) = next {
        pending.answer(&mut Vec::new(), taken).await;
        next = answers.recv().await;
    }
}

impl Pending {
    fn is_ready(&self) -> bool {
        match &self.outcome {
            Outcome::Refused(_) => true,
            Outcome::Append { task, .. } => task.is_finished(),
        }
    }

    /// Waits for the outcome, and appends the line's acknowledgement to `out`.
    async fn answer(self, out: &mut Vec<u8>, taken: &Taken) {
        let error = match self.outcome {
            Outcome::Refused(error) => {
                taken.on_no_batch();
                error
            }
            Outcome::Append { stream, task } => match task.await {
                Ok(Ok(token)) => {
                    return line(out, &json!({"stream": &*stream, "token": token.get()}));
                }
                Ok(Err(error)) => error.to_string(),
                Err(error) => format!("appending broke off: {error}"),
            },
        };
        taken.on_line_refused(self.line, &error);
        line(out, &json!({"error": error, "line": self.line}));
    }
}

fn line(out: &mut Vec<u8>, json: &serde_json::Value) {
    out.extend_from_slice(json.to_string().as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests;
