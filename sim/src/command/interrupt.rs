//! The handling of Ctrl-C and SIGTERM, which end a command with the results so far.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A flag that says whether the program is to stop.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Returns a flag that only [`Self::request`] sets.
    pub(crate) fn never() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    /// Returns a flag that Ctrl-C and SIGTERM set; the second signal ends the program at once.
    ///
    /// # Errors
    /// The error of the system if a signal handler cannot be installed.
    pub(crate) fn listen() -> io::Result<Self> {
        let interrupt = Self::never();
        let flag = Arc::clone(&interrupt.0);
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // The conditional shutdown comes first: only a second signal finds the flag set.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))?;
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(interrupt)
    }

    pub(crate) fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
