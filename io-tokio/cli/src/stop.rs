//! The requests to stop: Ctrl-C, SIGTERM, SIGHUP and the end of `--for`.

use std::io;

use tokio::{
    signal,
    time::{Instant, sleep_until},
};

use crate::exit::INTERRUPTED;

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

/// Makes the next Ctrl-C end the program at once, whatever it waits for.
pub(super) fn exit_on_interrupt() {
    tokio::spawn(async {
        if signal::ctrl_c().await.is_ok() {
            std::process::exit(i32::from(INTERRUPTED));
        }
    });
}
