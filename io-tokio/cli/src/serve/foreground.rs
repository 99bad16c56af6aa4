//! Whether stdin may be read. A job in the background of a terminal is stopped by the system when it
//! reads from the terminal, with all that it serves.

#[cfg(unix)]
use std::time::Duration;

/// The time between two looks whether the job has come to the foreground.
#[cfg(unix)]
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Whether stdin is a terminal whose foreground job is another one.
#[cfg(unix)]
pub(super) fn is_elsewhere() -> bool {
    let of_terminal = rustix::termios::tcgetpgrp(std::io::stdin());
    of_terminal.is_ok_and(|foreground| foreground != rustix::process::getpgrp())
}

#[cfg(not(unix))]
pub(super) const fn is_elsewhere() -> bool {
    false
}

/// Completes when stdin may be read: at once, if it is no terminal.
pub(super) async fn come() {
    #[cfg(unix)]
    while is_elsewhere() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
