//! `synrepl follow`: flags enter; events leave on stdout, diagnostics on stderr, positions and a
//! trace in files. Positions are saved only once every event that they cover was written to stdout.

mod instances;
mod setup;

use std::{io, process::ExitCode, time::Duration};

use synrepl::{DriverError, Positions, Replication};
use synrepl_core::{Event, Printable};
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout, timeout_at},
};

use self::setup::Setup;
use crate::{
    acknowledged::Acknowledged,
    diagnostics::Diagnostics,
    exit::{FAILED, Failure, OK},
    flags::FollowFlags,
    printer::{Printer, Written},
    progress::Progress,
    record::TraceFile,
    saver::Saver,
    stderr::Stderr,
    stop::{GRACE, Stop, exit_on_interrupt},
    unheard::Unheard,
    warning::{Circumstances, Kind},
};

/// The time between two checks of progress, positions and the trace.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
/// The number of housekeeping rounds between two flushes of the trace.
const TRACE_FLUSH_EVERY: u32 = 4;
/// The number of housekeeping rounds between two progress lines where stderr is no terminal.
const PROGRESS_LINE_EVERY: u32 = 20;

type Driver = JoinHandle<Result<(), DriverError>>;

/// Follows until a signal, the end of `--for`, a stdout that takes no more, or the end of the
/// driver.
///
/// # Errors
/// Fails on wrong flags or files, or if signals cannot be listened for; nothing is connected
/// before.
pub(super) async fn run(flags: FollowFlags) -> Result<ExitCode, Failure> {
    let now = Instant::now();
    let until = match flags.duration {
        Some(duration) => now.checked_add(duration),
        None => None,
    };
    let acknowledges = flags.acknowledge;
    let Setup { builder, positions, trace, mut diagnostics, printer, circumstances, tell_twice } =
        setup::set_up(flags)?;
    let acknowledged = positions
        .as_ref()
        .filter(|_| acknowledges)
        .map(|(_, positions)| Acknowledged::of_stdin(positions.clone()));
    let stop = Stop::new(until)
        .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
    let (replication, driver) =
        builder.driver().map_err(|error| Failure::usage(error.to_string()))?;
    let driver = tokio::spawn(driver.run());
    if circumstances.instances.is_empty() && !circumstances.server_sends_missed_rows {
        diagnostics.note(
            "no --instance is given: rows that were missed cannot be fetched, and are reported as \
             gaps",
        );
    }
    let unheard = Unheard::new(circumstances.instances.clone());
    let follow = Follow {
        replication,
        printer,
        stop,
        saver: positions.map(|(file, positions)| Saver::new(file, positions, now)),
        acknowledged,
        trace,
        diagnostics,
        circumstances,
        progress: Progress::new(now),
        unheard,
        tell_twice,
        deadline: None,
        rounds: 0,
        failed: false,
    };
    Ok(follow.run(driver).await)
}

struct Follow {
    replication: Replication,
    printer: Printer<tokio::io::Stdout>,
    stop: Stop,
    saver: Option<Saver>,
    acknowledged: Option<Acknowledged>,
    trace: Option<TraceFile>,
    diagnostics: Diagnostics<Stderr>,
    circumstances: Circumstances,
    progress: Progress,
    unheard: Unheard,
    /// Whether events about connections, which stdout shows, are reported on stderr as well.
    tell_twice: bool,
    /// The latest time to stop; set once a stop was requested.
    deadline: Option<Instant>,
    rounds: u32,
    failed: bool,
}

/// The reason why the loop ended.
enum End {
    /// The driver has stopped, and all its events were written.
    Drained,
    /// The driver did not stop in time; all events taken from it were written.
    TimedOut,
    /// Stdout is closed or cannot be written to, its reader is too slow, or it acknowledges nothing
    /// any more. How much of the last events it got is unknown.
    NoReader,
}

impl Follow {
    async fn run(mut self, driver: Driver) -> ExitCode {
        let end = self.follow().await;
        self.diagnostics.make_room();
        self.await_acknowledgements(&end).await;
        match end {
            End::Drained if self.deadline.is_none() => {
                self.failed = true;
                self.diagnostics.error(&ended_by_itself(driver).await);
                self.save_finally().await;
            }
            End::Drained | End::TimedOut => self.save_finally().await,
            // The positions of the last save stay: they cover only what was written. The driver is
            // stopped all the same, so that the trace is complete.
            End::NoReader => {
                let handle = self.replication.handle();
                handle.shutdown();
                let drain = async { while self.replication.next().await.is_some() {} };
                // If the driver takes longer, the trace ends early; nothing else depends on it.
                let _ = timeout(GRACE, drain).await;
                if self.acknowledged.is_some() {
                    self.save_finally().await;
                }
            }
        }
        self.finish_trace();
        let rows = self.progress.rows();
        self.diagnostics.note(&format!("stopped after {rows} rows"));
        self.diagnostics.finish();
        ExitCode::from(if self.failed { FAILED } else { OK })
    }

    /// Writes events to stdout until there is a reason to end.
    async fn follow(&mut self) -> End {
        let mut ticks = interval(HOUSEKEEPING);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while !self.printer.is_full()
                && self.may_take()
                && let Some(event) = self.replication.try_next()
            {
                self.take(&event);
            }
            if !self.printer.is_empty()
                && let Err(end) = self.write().await
            {
                return end;
            }
            self.offer_positions().await;
            let (deadline, may_take) = (self.deadline, self.may_take());
            tokio::select! {
                biased;
                () = self.stop.requested(), if deadline.is_none() => {
                    self.deadline = Some(Instant::now() + GRACE);
                    begin_stop(&self.replication);
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.diagnostics.note("the connections did not end in time; left as they are");
                    return End::TimedOut;
                }
                _ = ticks.tick() => self.keep_house(),
                answer = answer(&mut self.acknowledged), if self.acknowledged.is_some() => {
                    if let Err(told) = answer {
                        self.failed = true;
                        self.diagnostics.error(&format!("--acknowledge: {told}"));
                        return End::NoReader;
                    }
                }
                event = self.replication.next(), if may_take => match event {
                    Some(event) => self.take(&event),
                    None if self.printer.is_empty() => return End::Drained,
                    None => {}
                },
            }
        }
    }

    /// Whether the reader may be given one more line.
    fn may_take(&self) -> bool {
        self.acknowledged.as_ref().is_none_or(|acknowledged| !acknowledged.is_full())
    }

    /// Gives the reader time to acknowledge what it was given last.
    async fn await_acknowledgements(&mut self, end: &End) {
        let Some(acknowledged) = &mut self.acknowledged else { return };
        let deadline = Instant::now() + GRACE;
        while !matches!(end, End::NoReader) && acknowledged.waiting() > 0 {
            match timeout_at(deadline, acknowledged.answer()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => break,
            }
        }
        let waiting = acknowledged.waiting();
        if waiting > 0 {
            self.diagnostics.note(&format!(
                "{waiting} lines were not acknowledged; the next run prints them again"
            ));
        }
    }

    fn take(&mut self, event: &Event) {
        let now = Instant::now();
        self.progress.take(event, now);
        self.unheard.take(event, now);
        match &mut self.acknowledged {
            Some(acknowledged) => {
                let has_line = self.printer.add_numbered(event, acknowledged.next());
                acknowledged.on_taken(event, has_line, self.replication.now());
            }
            None => {
                self.printer.add(event);
            }
        }
        if let Event::Warning(warning) = event {
            let (kind, told) = self.circumstances.sentence(warning);
            self.diagnostics.problem(kind, now, &told);
        } else if let Some((kind, told)) = self.circumstances.no_rows(event) {
            self.diagnostics.problem(kind, now, &told);
        } else if self.tell_twice {
            self.tell_connection(event, now);
        }
    }

    fn tell_connection(&mut self, event: &Event, now: Instant) {
        if let Event::Connected { .. } = event {
            self.diagnostics.note("connected");
        } else if let Event::Disconnected { reason, retry_at: Some(retry_at), .. } = event {
            let wait = retry_at.saturating_since(self.replication.now()).as_secs_f64();
            let reason = Printable::foreign(reason);
            let told = format!("no connection: {reason}; next attempt in {wait:.1} s");
            self.diagnostics.problem(Kind::Connection, now, &told);
        }
    }

    async fn write(&mut self) -> Result<(), End> {
        self.diagnostics.make_room();
        let replication = &self.replication;
        let stopping = || begin_stop(replication);
        match self.printer.write(&mut self.stop, &mut self.deadline, stopping).await {
            Written::Whole => Ok(()),
            Written::NobodyReads => {
                self.failed = true;
                let told = "the reader of stdout is gone; what it had not read is not counted as \
                            delivered";
                self.diagnostics.error(told);
                Err(End::NoReader)
            }
            Written::Stuck => {
                self.failed = true;
                let told = "the reader of stdout did not take the last lines in time; they are not \
                            counted as delivered";
                self.diagnostics.error(told);
                Err(End::NoReader)
            }
            Written::Failed(error) => {
                self.failed = true;
                self.diagnostics.error(&format!("stdout cannot be written to: {error}"));
                Err(End::NoReader)
            }
        }
    }

    /// Offers the positions to the saver. Every event that was taken must have been written.
    async fn offer_positions(&mut self) {
        let Some(saver) = &mut self.saver else { return };
        let now = Instant::now();
        let positions = handled(self.acknowledged.as_ref(), &self.replication);
        if let Err(error) = saver.offer(positions, now).await {
            let told = format!("--positions {}: not saved: {error}; trying again", saver.path());
            self.diagnostics.problem(Kind::Positions, now, &told);
        }
    }

    async fn save_finally(&mut self) {
        let Some(saver) = &mut self.saver else { return };
        let positions = handled(self.acknowledged.as_ref(), &self.replication);
        if let Err(error) = saver.finish(positions).await {
            self.failed = true;
            let told = format!("--positions {}: not saved: {error}", saver.path());
            self.diagnostics.error(&told);
        }
    }

    fn keep_house(&mut self) {
        let now = Instant::now();
        self.rounds = self.rounds.wrapping_add(1);
        self.diagnostics.tell_ended(now);
        if let Some(news) = self.progress.news(now) {
            self.diagnostics.progress(None);
            self.diagnostics.note(&news);
        }
        if let Some(news) = self.unheard.news(now) {
            self.diagnostics.problem(Kind::Other, now, &news);
        }
        let line = self.progress.line();
        if self.diagnostics.is_terminal() || self.rounds.is_multiple_of(PROGRESS_LINE_EVERY) {
            self.diagnostics.progress(line.as_deref());
        }
        if self.rounds.is_multiple_of(TRACE_FLUSH_EVERY) {
            self.flush_trace();
        }
    }

    fn flush_trace(&mut self) {
        self.tell_of_trace(TraceFile::flush);
    }

    fn finish_trace(&mut self) {
        self.tell_of_trace(|trace| trace.finish(GRACE));
    }

    fn tell_of_trace(&mut self, write: impl FnOnce(&TraceFile) -> Option<io::Error>) {
        if let Some(error) = self.trace.as_ref().and_then(write) {
            self.failed = true;
            self.diagnostics.error(&format!(
                "--record: the trace cannot be written ({error}); recording has ended, following \
                 goes on"
            ));
        }
    }
}

/// Returns the positions up to which the reader counts as having handled everything.
fn handled<'a>(
    acknowledged: Option<&'a Acknowledged>,
    replication: &'a Replication,
) -> &'a Positions {
    acknowledged.map_or_else(|| replication.positions(), Acknowledged::positions)
}

async fn answer(acknowledged: &mut Option<Acknowledged>) -> Result<(), String> {
    match acknowledged {
        Some(acknowledged) => acknowledged.answer().await,
        None => Ok(()),
    }
}

fn begin_stop(replication: &Replication) {
    exit_on_interrupt();
    replication.handle().shutdown();
}

/// The reason why the driver stopped without a request.
async fn ended_by_itself(driver: Driver) -> String {
    match driver.await {
        Ok(Ok(())) => "following ended by itself".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => format!("following broke off: {error}"),
    }
}
