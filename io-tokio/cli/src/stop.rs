//! The requests to stop: Ctrl-C, SIGTERM, SIGHUP and the end of `--for`.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use tokio::{
    signal,
    time::{Instant, sleep_until},
};

use crate::{
    exit::{FAILED, INTERRUPTED},
    stderr::{self, Stderr},
};

/// Waits for the first reason to stop.
#[derive(Debug)]
pub(super) struct Stop {
    #[cfg(unix)]
    terminate: signal::unix::Signal,
    #[cfg(unix)]
    interrupt: signal::unix::Signal,
    /// The terminal is gone.
    #[cfg(unix)]
    hangup: signal::unix::Signal,
    until: Option<Instant>,
}

impl Stop {
    /// Listens for signals, which from then on no longer end the program by themselves.
    ///
    /// # Errors
    /// Fails if the system does not let the program listen for signals.
    pub(super) fn new(until: Option<Instant>) -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            terminate: signal::unix::signal(signal::unix::SignalKind::terminate())?,
            #[cfg(unix)]
            interrupt: signal::unix::signal(signal::unix::SignalKind::interrupt())?,
            #[cfg(unix)]
            hangup: signal::unix::signal(signal::unix::SignalKind::hangup())?,
            until,
        })
    }

    /// Completes on Ctrl-C, on SIGTERM and SIGHUP (Unix), and when the time of `--for` is over. Cancel safe.
    pub(super) async fn requested(&mut self) {
        let over = async {
            match self.until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        #[cfg(unix)]
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
            () = over => {}
        }
        #[cfg(not(unix))]
        tokio::select! {
            biased;
            _ = signal::ctrl_c() => {}
            () = over => {}
        }
    }
}

/// The time that each part of a stop has once it was requested, such as a reader of stdout to take
/// the last lines.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// The time after a request to stop at which the program ends whatever it waits for: each part of a
/// stop has [`GRACE`], and there are four (answers, acknowledgements, the connections, the files).
const LAST: Duration = GRACE.saturating_mul(4);

/// Makes the next Ctrl-C end the program at once, whatever it waits for, and time end it at last.
pub(super) fn exit_on_interrupt() {
    // A thread of the system's own: those of the runtime may all stand still. Without one the program
    // ends as well as it can.
    let _thread = std::thread::Builder::new().spawn(|| {
        #[expect(clippy::disallowed_methods, reason = "the time is what is waited for")]
        std::thread::sleep(LAST);
        let told = "error: something did not end in time, and is left as it is\n";
        let _ = Stderr.write_all(told.as_bytes());
        stderr::finish();
        std::process::exit(i32::from(FAILED));
    });
    tokio::spawn(async {
        if signal::ctrl_c().await.is_ok() {
            std::process::exit(i32::from(INTERRUPTED));
        }
    });
}
