//! `synrepl serve`: rows enter on stdin and over HTTP, are kept in a log, and leave to followers
//! over Redis, direct TCP and HTTP. Every line that was read is answered on stdout, or an error
//! reports that there was no time.

mod foreground;
mod intake;
mod lines;
mod setup;
mod taken;

use std::{
    collections::BTreeMap, fmt::Write as _, future::pending, io, process::ExitCode, sync::Arc,
    time::Duration,
};

use synrepl::{DriverError, Replication, log::LogStore};
use synrepl_core::{ByteString, Event, Printable, stream::Token};
use tokio::{
    task::{JoinError, JoinHandle},
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{
    intake::{Acknowledgements, End},
    setup::Setup,
    taken::Taken,
};
use crate::{
    diagnostics::Diagnostics,
    exit::{FAILED, Failure, OK},
    flags::serve::ServeFlags,
    stderr::Stderr,
    stdout_file::StdoutFile,
    stop::{GRACE, Stop, exit_on_interrupt},
    warning::{Circumstances, Kind},
};

/// The time between two checks of progress.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
/// The most streams that the progress line names.
const NAMED_MAX: usize = 3;

type Driver = JoinHandle<Result<(), DriverError>>;
type Intake = JoinHandle<(End, io::Result<()>)>;

/// Serves until a signal, the end of `--for`, an end of stdin or stdout that is a reason to stop,
/// or the end of the driver.
///
/// # Errors
/// Fails on wrong flags or files, or if signals cannot be listened for; nothing is taken or sent
/// before.
pub(super) async fn run(flags: ServeFlags) -> Result<ExitCode, Failure> {
    let now = Instant::now();
    let until = flags.duration.and_then(|duration| now.checked_add(duration));
    let Setup { log, taken, builder, http, mut diagnostics, circumstances, until_eof } =
        setup::set_up(flags).await?;
    let stop = Stop::new(until)
        .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
    let (replication, driver) =
        builder.driver().map_err(|error| Failure::usage(error.to_string()))?;
    let driver = tokio::spawn(driver.run());
    let ending = CancellationToken::new();
    let http = http.map(|(server, listener)| {
        tokio::spawn(server.run(listener, ending.clone().cancelled_owned()))
    });
    if foreground::is_elsewhere() {
        diagnostics.note(
            "stdin is a terminal that belongs to another job: no rows are read there until this \
             one is in the foreground (</dev/null if none are to be)",
        );
    }
    let intake = tokio::spawn(take_in(Arc::clone(&log), Arc::clone(&taken), ending.clone()));
    let mut ticks = interval(HOUSEKEEPING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let serve = Serve {
        replication,
        stop,
        intake: Some(intake),
        http,
        diagnostics,
        circumstances,
        taken,
        until_eof,
        ticks,
        ending,
        must_stop: false,
        driver_ended: false,
        deadline: None,
        connected: false,
        peers: 0,
        published: BTreeMap::new(),
        failed: false,
    };
    let code = serve.run(driver).await;
    // Dropping the log waits until it is closed.
    drop(log);
    Ok(code)
}

/// Takes lines on stdin, from when that may be read.
async fn take_in(
    log: Arc<dyn LogStore>,
    taken: Arc<Taken>,
    ending: CancellationToken,
) -> (End, io::Result<()>) {
    if ending.run_until_cancelled(foreground::come()).await.is_none() {
        return (End::Stopped, Ok(()));
    }
    let out = tokio::io::stdout();
    let output = Acknowledgements { out, file: StdoutFile::of_stdout(), taken };
    intake::run(tokio::io::stdin(), output, log, ending).await
}

struct Serve {
    replication: Replication,
    stop: Stop,
    /// The running intake; `None` once stdin has ended or nobody reads stdout.
    intake: Option<Intake>,
    http: Option<JoinHandle<()>>,
    diagnostics: Diagnostics<Stderr>,
    circumstances: Circumstances,
    taken: Arc<Taken>,
    until_eof: bool,
    ticks: Interval,
    /// Cancelled to end the intake and HTTP.
    ending: CancellationToken,
    must_stop: bool,
    driver_ended: bool,
    /// The latest time to stop; set once a stop was requested.
    deadline: Option<Instant>,
    connected: bool,
    peers: u64,
    published: BTreeMap<ByteString, Token>,
    failed: bool,
}

/// The reason why a wait ends.
enum Wakeup {
    Stop,
    TimeIsUp,
    Intake(Result<(End, io::Result<()>), JoinError>),
    HttpEnded(Result<(), JoinError>),
    Tick,
    Event(Option<Event>),
}

/// The condition that is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// There is a reason to stop.
    Stop,
    /// Every line and every HTTP request that was taken is answered.
    Answered,
    /// The driver has sent everything and closed its connections.
    Closed,
}

/// The error that the time for stopping is over.
struct TimedOut;

impl Serve {
    async fn run(mut self, driver: Driver) -> ExitCode {
        // Without a request to stop there is no deadline that could be over.
        let _ = self.wait(Until::Stop).await;
        let by_itself = self.driver_ended;
        self.ending.cancel();
        let answered = self.wait(Until::Answered).await;
        self.replication.handle().shutdown();
        let closed = self.wait(Until::Closed).await;
        self.diagnostics.make_room();
        if by_itself {
            self.failed = true;
            self.diagnostics.error(&ended_by_itself(driver).await);
        }
        if answered.is_err() && self.intake.is_some() {
            self.failed = true;
            self.diagnostics.error(
                "not every line could be answered in time: the log or the reader of stdout is too \
                 slow. What was not answered may be in the log all the same",
            );
        } else if closed.is_err() {
            self.diagnostics.note("not everything was sent in time; followers will fetch it");
        }
        if self.until_eof {
            self.tell_of_refused_lines();
        }
        let (batches, rows, refused) =
            (self.taken.batches(), self.taken.rows(), self.taken.refused());
        self.diagnostics
            .note(&format!("stopped after {batches} batches of {rows} rows, {refused} refused"));
        self.diagnostics.finish();
        ExitCode::from(if self.failed { FAILED } else { OK })
    }

    /// With `--until-eof` the lines are a whole: one that was refused is a failure of the run.
    fn tell_of_refused_lines(&mut self) {
        let (count, first) = (self.taken.lines_refused(), self.taken.first_refusal());
        let Some(first) = first else { return };
        self.failed = true;
        let first = Printable::foreign(first);
        self.diagnostics.error(&format!(
            "{count} lines of stdin are not in the log; each has its error on stdout, the first \
             is: {first}"
        ));
    }

    const fn has_come(&self, until: Until) -> bool {
        match until {
            Until::Stop => self.must_stop || self.driver_ended,
            Until::Answered => self.intake.is_none() && self.http.is_none(),
            Until::Closed => self.driver_ended,
        }
    }

    async fn wait(&mut self, until: Until) -> Result<(), TimedOut> {
        while !self.has_come(until) {
            match self.wakeup().await {
                Wakeup::Stop => {
                    exit_on_interrupt();
                    self.must_stop = true;
                    self.deadline = Some(Instant::now() + GRACE);
                }
                Wakeup::TimeIsUp => return Err(TimedOut),
                Wakeup::Intake(ended) => {
                    self.intake = None;
                    self.must_stop |= self.must_stop_after(ended);
                }
                Wakeup::HttpEnded(ended) => {
                    self.http = None;
                    if let Err(error) = ended {
                        self.failed = true;
                        self.diagnostics.error(&format!("HTTP broke off: {error}"));
                    }
                }
                Wakeup::Tick => self.keep_house(),
                Wakeup::Event(Some(event)) => self.take(&event),
                Wakeup::Event(None) => self.driver_ended = true,
            }
        }
        Ok(())
    }

    async fn wakeup(&mut self) -> Wakeup {
        let deadline = self.deadline;
        tokio::select! {
            biased;
            () = self.stop.requested(), if deadline.is_none() => Wakeup::Stop,
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                Wakeup::TimeIsUp
            }
            ended = joined(&mut self.intake) => Wakeup::Intake(ended),
            ended = joined(&mut self.http) => Wakeup::HttpEnded(ended),
            _ = self.ticks.tick() => Wakeup::Tick,
            event = self.replication.next(), if !self.driver_ended => Wakeup::Event(event),
        }
    }

    /// Reports the end of the intake, and returns whether it is a reason to stop.
    fn must_stop_after(&mut self, ended: Result<(End, io::Result<()>), JoinError>) -> bool {
        match ended {
            Err(error) => {
                self.failed = true;
                self.diagnostics.error(&format!("reading stdin broke off: {error}"));
                true
            }
            Ok((_, Err(error))) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.failed = true;
                self.diagnostics.error("nobody reads the tokens on stdout any more");
                true
            }
            Ok((_, Err(error))) => {
                self.failed = true;
                self.diagnostics.error(&format!("stdout cannot be written to: {error}"));
                true
            }
            Ok((End::Failed(error), Ok(()))) => {
                self.failed = true;
                self.diagnostics.error(&format!("stdin cannot be read: {error}"));
                self.until_eof
            }
            Ok((End::Eof, Ok(()))) => {
                if !self.until_eof {
                    self.diagnostics.note("stdin has ended; serving goes on");
                }
                self.until_eof
            }
            Ok((End::Stopped | End::NoReader, Ok(()))) => false,
        }
    }

    fn take(&mut self, event: &Event) {
        let now = Instant::now();
        match event {
            Event::Connected { .. } => {
                self.connected = true;
                self.diagnostics.note("connected");
            }
            Event::Disconnected { reason, retry_at, .. } => {
                self.connected = false;
                if let Some(retry_at) = retry_at {
                    let wait = retry_at.saturating_since(self.replication.now()).as_secs_f64();
                    let reason = Printable::foreign(reason);
                    let told = format!("no connection: {reason}; next attempt in {wait:.1} s");
                    self.diagnostics.problem(Kind::Connection, now, &told);
                }
            }
            Event::Published { stream, token } => {
                self.published.insert(stream.clone(), *token);
            }
            Event::PeerConnected { .. } => {
                self.peers += 1;
                self.tell_of_peer(event, now);
            }
            Event::PeerDisconnected { .. } => {
                self.peers = self.peers.saturating_sub(1);
                self.tell_of_peer(event, now);
            }
            Event::PeerNamed { .. } => self.tell_of_peer(event, now),
            Event::Warning(warning) => {
                let (kind, told) = self.circumstances.sentence(warning);
                self.diagnostics.problem(kind, now, &told);
            }
            // A writer follows nothing, and the commands of others do not concern it.
            Event::Rows { .. }
            | Event::Position { .. }
            | Event::Gap { .. }
            | Event::Reset { .. }
            | Event::Discontinuity { .. }
            | Event::Rewound { .. }
            | Event::CatchingUp { .. }
            | Event::NotLive { .. }
            | Event::Live { .. }
            | Event::Command { .. }
            | Event::PeerCommand { .. }
            | Event::UserSyncing { .. }
            | Event::SyncingCleared { .. }
            | Event::FederationAcked { .. }
            | Event::WaitEnded { .. }
            | Event::Stopped
            | _ => {}
        }
    }

    fn tell_of_peer(&mut self, event: &Event, now: Instant) {
        self.diagnostics.news(Kind::Peers, now, &event.to_string());
    }

    fn keep_house(&mut self) {
        self.diagnostics.tell_ended(Instant::now());
        if self.diagnostics.is_terminal() {
            let line = self.progress();
            self.diagnostics.progress(Some(&line));
        }
    }

    fn progress(&self) -> String {
        let mut line = format!(
            "{} batches of {} rows taken, {} peers",
            self.taken.batches(),
            self.taken.rows(),
            self.peers
        );
        if self.connected {
            line.push_str(", published:");
            for (stream, token) in self.published.iter().take(NAMED_MAX) {
                // Writing to memory does not fail.
                let _ = write!(line, " {} {token}", Printable::new(stream, 20));
            }
        }
        line
    }
}

/// Waits for the end of a task; never completes if there is none.
async fn joined<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(task) => task.await,
        None => pending().await,
    }
}

/// The reason why the driver stopped without a request.
async fn ended_by_itself(driver: Driver) -> String {
    match driver.await {
        Ok(Ok(())) => "publishing ended by itself".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => format!("publishing broke off: {error}"),
    }
}
