//! The trace file of `--record`. Inputs and actions enter from the driver; the lines of a trace
//! leave. An error ends the recording, and nothing else.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use synrepl::{Config, Recorder, Timestamp};
use synrepl_core::{Action, Input, trace::TraceLine};

use crate::{
    exit::Failure,
    outlet::{Full, Outlet},
};

/// The number of bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 64 << 10;
/// The bytes that may wait for the file. If it takes nothing for so long, the recording ends: a
/// trace with a hole is of no use, and neither is a program that stands still.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// The driver's end: takes lines, and writes them once [`BUFFER_BYTES`] have gathered.
pub(super) struct TraceWriter(Arc<Mutex<Trace>>);

/// The command's end: flushes the lines, and returns the error that ended the recording.
#[derive(Clone)]
pub(super) struct TraceFile(Arc<Mutex<Trace>>);

/// The file and its buffer, which both ends share. After an error `file` is `None`, and lines are
/// dropped.
struct Trace {
    file: Option<Outlet>,
    buffer: Vec<u8>,
    error: Option<io::Error>,
}

/// Creates the file, or empties it.
///
/// # Errors
/// Fails if the system cannot create the file.
pub(super) fn create(path: &Path) -> Result<(TraceWriter, TraceFile), Failure> {
    let file = File::create(path).map_err(|error| {
        Failure::usage(format!("--record {}: cannot be created: {error}", path.display()))
    })?;
    over(file, WAITING_BYTES_MAX).map_err(|error| Failure::failed(format!("no thread: {error}")))
}

fn over(
    file: impl Write + Send + 'static,
    waiting_bytes_max: usize,
) -> io::Result<(TraceWriter, TraceFile)> {
    let buffer = Vec::with_capacity(BUFFER_BYTES);
    let file = Some(Outlet::start(file, waiting_bytes_max)?);
    let trace = Arc::new(Mutex::new(Trace { file, buffer, error: None }));
    Ok((TraceWriter(Arc::clone(&trace)), TraceFile(trace)))
}

impl TraceFile {
    /// Writes the gathered lines. Returns the error that ended the recording, once.
    pub(super) fn flush(&self) -> Option<io::Error> {
        let mut trace = lock(&self.0);
        trace.flush();
        trace.error.take()
    }

    /// Writes the gathered lines and waits until they are in the file, at most for `time`. Returns
    /// the error that ended the recording, once.
    pub(super) fn finish(&self, time: Duration) -> Option<io::Error> {
        let mut trace = lock(&self.0);
        trace.flush();
        if let Some(file) = &trace.file {
            let told = if file.drain(time) {
                file.take_error()
            } else {
                Some(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("it took no more within {time:?}, so its end is missing"),
                ))
            };
            if let Some(error) = told {
                trace.stop(error);
            }
        }
        trace.error.take()
    }
}

impl TraceWriter {
    fn line(&self, line: &TraceLine<'_>) {
        let mut trace = lock(&self.0);
        if trace.file.is_none() {
            return;
        }
        if let Err(error) = line.append_to(&mut trace.buffer) {
            trace.stop(error.into());
        } else if trace.buffer.len() >= BUFFER_BYTES {
            trace.flush();
        }
    }
}

impl Recorder for TraceWriter {
    fn start(&mut self, config: &Config) {
        self.line(&TraceLine::header(config));
    }

    fn input(&mut self, now: Timestamp, input: &Input) {
        self.line(&TraceLine::input(now, input));
    }

    fn action(&mut self, action: &Action) {
        self.line(&TraceLine::action(action));
    }

    fn finish(&mut self) {
        lock(&self.0).flush();
    }
}

impl Trace {
    fn flush(&mut self) {
        let Some(file) = &self.file else { return };
        let gathered = std::mem::replace(&mut self.buffer, Vec::with_capacity(BUFFER_BYTES));
        let told = match file.offer(gathered) {
            Ok(()) => file.take_error(),
            Err(Full) => Some(io::Error::new(
                io::ErrorKind::TimedOut,
                "it takes nothing, and more than may wait is waiting",
            )),
        };
        if let Some(error) = told {
            self.stop(error);
        }
    }

    fn stop(&mut self, error: io::Error) {
        self.file = None;
        self.buffer = Vec::new();
        self.error = Some(error);
    }
}

/// Locks the trace. No code panics while holding the lock, so a poisoned one guards a whole value.
fn lock(trace: &Mutex<Trace>) -> MutexGuard<'_, Trace> {
    trace.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use synrepl_core::ConnectionId;

    use super::*;

    #[test]
    fn lines_are_in_the_file_after_a_flush() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.trace");
        std::fs::write(&path, "an older and longer run").unwrap();
        let (mut writer, file) = create(&path).unwrap();
        writer.start(&Config::default());
        writer.action(&Action::Connect { conn: ConnectionId::new(0) });
        assert!(file.finish(LIMIT).is_none());
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.starts_with("{\"synrepl_trace\":1,"), "{text}");
    }

    #[test]
    fn a_full_buffer_is_written_without_a_flush() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.trace");
        let (mut writer, file) = create(&path).unwrap();
        for _ in 0..BUFFER_BYTES {
            writer.input(Timestamp::ZERO, &Input::Tick);
        }
        // What was gathered since is dropped with the trace.
        assert!(lock(&file.0).file.as_ref().unwrap().drain(LIMIT));
        assert!(std::fs::metadata(&path).unwrap().len() >= BUFFER_BYTES as u64);
    }

    const LIMIT: Duration = Duration::from_secs(30);

    /// A file on a server that does not answer.
    struct Stuck;

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            loop {
                std::thread::park();
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_file_that_takes_nothing_ends_the_recording_and_holds_nobody_up() {
        let (mut writer, file) = over(Stuck, 2 * BUFFER_BYTES).unwrap();
        let error = loop {
            writer.input(Timestamp::ZERO, &Input::Tick);
            if let Some(error) = file.flush() {
                break error;
            }
        };
        assert!(error.to_string().contains("it takes nothing"), "{error}");
        assert!(lock(&file.0).buffer.is_empty());
        let (mut writer, file) = over(Stuck, 2 * BUFFER_BYTES).unwrap();
        writer.input(Timestamp::ZERO, &Input::Tick);
        let error = file.finish(Duration::ZERO).unwrap();
        assert!(error.to_string().contains("its end is missing"), "{error}");
    }

    struct FullDisk;

    impl Write for FullDisk {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_error_ends_the_recording_and_is_told_once() {
        let (mut writer, file) = over(FullDisk, 100).unwrap();
        writer.input(Timestamp::ZERO, &Input::Tick);
        assert_eq!(file.finish(LIMIT).unwrap().kind(), io::ErrorKind::StorageFull);
        writer.input(Timestamp::ZERO, &Input::Tick);
        assert!(file.flush().is_none());
        assert!(lock(&file.0).buffer.is_empty(), "lines are dropped, not gathered");
    }

    #[test]
    fn a_file_that_cannot_be_created_is_a_wrong_flag() {
        let Err(failure) = create(Path::new("/dev/null/run.trace")) else { panic!() };
        assert!(failure.to_string().starts_with("--record /dev/null/run.trace: cannot be created"));
    }
}
