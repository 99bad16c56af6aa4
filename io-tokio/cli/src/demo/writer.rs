//! The writer: `synrepl serve` as a process of its own, which can be killed. Orders enter; rows go
//! to its stdin, and each acknowledgement of it is recorded.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{BufMut as _, BytesMut};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::account::{RowId, Written};

/// The streams that are written, in turn.
pub(super) const STREAMS: [&str; 3] = ["events", "receipts", "presence"];
/// The instance name of the writer.
pub(super) const NAME: &str = "writer";
/// The time between two portions of rows.
const HELPING_EVERY: Duration = Duration::from_millis(10);
/// The most rows of a batch; batches have 1 to this many.
const BATCH_ROWS_MAX: u64 = 5;
/// The most batches without an acknowledgement; a writer that is slow is waited for.
const OUTSTANDING_MAX: usize = 20_000;
/// The text in every row: with it, a row has about the size of an event's.
const TEXT: &str = "all work and no play makes a dull row; all work and no play makes a dull row; \
                    all work and no play makes a dull row; all work and no play makes a dull row; \
                    all work and no play makes a dull row; all work and no play makes a dull row";

/// An order to the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The number of batches to hand over per second, from now on.
    Rate(u32),
    /// The process is killed without warning.
    Kill,
    /// The process is started again, on the same log.
    Start,
}

/// The program of the writer, its directory, and the addresses at which it offers its rows.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) program: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) redis: String,
    pub(super) server_name: &'static str,
    pub(super) tcp: SocketAddr,
    pub(super) http: SocketAddr,
}

/// The process, and the batches that it has not acknowledged.
pub(super) struct Writer {
    plan: Plan,
    process: Option<Process>,
    written: Arc<Mutex<Written>>,
    /// The batches handed over and not acknowledged, oldest first.
    outstanding: VecDeque<Vec<RowId>>,
    next: [u64; STREAMS.len()],
    batches: u64,
}

struct Process {
    child: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Lines on their way into the process.
    buffer: BytesMut,
}

/// One line of the process on stdout.
#[derive(Deserialize)]
struct Answer {
    error: Option<String>,
}

impl Plan {
    fn start(&self) -> io::Result<Process> {
        let log =
            File::options().create(true).append(true).open(self.directory.join("writer.stderr"))?;
        let mut child = Command::new(&self.program)
            .arg("serve")
            .arg("--log")
            .arg(self.directory.join("writer.db"))
            .args(["--name", NAME, "--server-name", self.server_name])
            .args(["--redis", &self.redis])
            .args(["--tcp", &self.tcp.to_string(), "--http", &self.http.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("the process has no pipes");
        let input = child.stdin.take().ok_or_else(missing)?;
        let answers = BufReader::new(child.stdout.take().ok_or_else(missing)?).lines();
        Ok(Process { child, input, answers, buffer: BytesMut::new() })
    }
}

impl Writer {
    /// Starts the process.
    pub(super) fn start(plan: Plan, written: Arc<Mutex<Written>>) -> io::Result<Self> {
        let process = Some(plan.start()?);
        Ok(Self {
            plan,
            process,
            written,
            outstanding: VecDeque::new(),
            next: [0; STREAMS.len()],
            batches: 0,
        })
    }

    /// Carries out orders until there are no more and everything is acknowledged. The process runs
    /// on until the writer is dropped, so that missed rows can be fetched.
    ///
    /// # Errors
    /// Fails if the process cannot be started, ends by itself, refuses a batch, or acknowledges one
    /// that it was not given.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) -> Result<Self, String> {
        let mut helpings = interval(HELPING_EVERY);
        helpings.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut rate, mut owed, mut told_all) = (0, 0, false);
        loop {
            if told_all && self.outstanding.is_empty() {
                return Ok(self);
            }
            let Some(process) = &mut self.process else {
                match orders.recv().await {
                    Some(Order::Start) => {
                        let failed = |error| format!("the writer does not start: {error}");
                        self.process = Some(self.plan.start().map_err(failed)?);
                    }
                    Some(Order::Rate(new)) => rate = new,
                    Some(Order::Kill) => {}
                    None => return Err("the writer was left dead".to_owned()),
                }
                continue;
            };
            tokio::select! {
                biased;
                answer = process.answers.next_line() => self.on_answer(answer)?,
                written = process.input.write_buf(&mut process.buffer),
                    if !process.buffer.is_empty() =>
                {
                    written.map_err(|error| format!("the writer takes no rows: {error}"))?;
                }
                order = orders.recv(), if !told_all => match order {
                    Some(Order::Rate(new)) => rate = new,
                    Some(Order::Kill) => self.kill().await?,
                    Some(Order::Start) => {}
                    None => told_all = true,
                },
                _ = helpings.tick(), if !told_all => {
                    owed += rate;
                    let per_helping = 1_000 / u32::try_from(HELPING_EVERY.as_millis()).unwrap_or(1);
                    self.hand_over(owed / per_helping);
                    owed %= per_helping;
                }
            }
        }
    }

    fn hand_over(&mut self, batches: u32) {
        let Some(process) = &mut self.process else { return };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..batches {
            if self.outstanding.len() >= OUTSTANDING_MAX {
                return;
            }
            self.batches += 1;
            let stream = usize::try_from(self.batches).unwrap_or_default() % STREAMS.len();
            let (name, next) = (STREAMS[stream], &mut self.next[stream]);
            let rows: Vec<u64> = (*next..).take(1 + batch_extra(self.batches)).collect();
            *next += rows.len() as u64;
            let texts: Vec<String> =
                rows.iter().map(|number| format!("[{number},\"{TEXT}\"]")).collect();
            let line = format!("{{\"stream\":\"{name}\",\"rows\":[{}]}}\n", texts.join(","));
            process.buffer.put_slice(line.as_bytes());
            let ids: Vec<RowId> =
                rows.into_iter().map(|number| (name.to_owned(), number)).collect();
            ids.iter().for_each(|id| written.hand_over(id.clone()));
            self.outstanding.push_back(ids);
        }
    }

    fn on_answer(&mut self, answer: io::Result<Option<String>>) -> Result<(), String> {
        let line = match answer {
            Ok(Some(line)) => line,
            Ok(None) => return Err(format!("the writer ended by itself{}", self.last_words())),
            Err(error) => return Err(format!("the writer cannot be read: {error}")),
        };
        let bad = |error| format!("the writer said {line:.200?}: {error}");
        let answer: Answer = serde_json::from_str(&line).map_err(bad)?;
        if let Some(error) = answer.error {
            return Err(format!("the writer refused a batch: {error}"));
        }
        let Some(rows) = self.outstanding.pop_front() else {
            return Err(format!("the writer acknowledged what it was not given: {line:.200?}"));
        };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        rows.into_iter().for_each(|row| written.acknowledge(row));
        Ok(())
    }

    /// Kills the process, as a crash would. Acknowledgements that it printed before still count; a
    /// batch without one may be in the log or not.
    async fn kill(&mut self) -> Result<(), String> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.child.kill().await.map_err(|error| format!("the writer lives on: {error}"))?;
        while let Ok(Some(line)) = process.answers.next_line().await {
            // A line that the kill cut is no acknowledgement.
            if serde_json::from_str::<Answer>(&line).is_ok() {
                self.on_answer(Ok(Some(line)))?;
            }
        }
        self.outstanding.clear();
        Ok(())
    }

    /// The last line of the process on stderr, behind a colon; empty if there is none.
    fn last_words(&self) -> String {
        let said = std::fs::read_to_string(self.plan.directory.join("writer.stderr"));
        let said = said.unwrap_or_default();
        said.lines().last().map(|line| format!(": {line}")).unwrap_or_default()
    }
}

/// The number of rows of a batch beyond its first: mostly none, as on a real server.
fn batch_extra(batch: u64) -> usize {
    if batch.is_multiple_of(4) {
        usize::try_from(batch / 4 % BATCH_ROWS_MAX).unwrap_or_default()
    } else {
        0
    }
}
