//! When to stop: signals and `--for`.

use std::io;

use tokio::{
    signal,
    time::{Instant, sleep_until},
};

use super::exit::INTERRUPTED;

/// Waits for the first reason to stop.
#[derive(Debug)]
pub(super) struct Stop {
    #[cfg(unix)]
    terminate: signal::unix::Signal,
    #[cfg(unix)]
    interrupt: signal::unix::Signal,
    until: Option<Instant>,
}

impl Stop {
    /// From now on signals no longer end the program by themselves.
    ///
    /// # Errors
    /// The system refuses to tell of signals.
    pub(super) fn new(until: Option<Instant>) -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            terminate: signal::unix::signal(signal::unix::SignalKind::terminate())?,
            #[cfg(unix)]
            interrupt: signal::unix::signal(signal::unix::SignalKind::interrupt())?,
            until,
        })
    }

    /// Ready on Ctrl-C, on SIGTERM, and when the time of `--for` is over. Cancel safe.
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

/// From now on a Ctrl-C ends the program at once, wherever it hangs.
pub(super) fn exit_on_interrupt() {
    tokio::spawn(async {
        if signal::ctrl_c().await.is_ok() {
            std::process::exit(i32::from(INTERRUPTED));
        }
    });
}
