//! Ctrl-C and SIGTERM: stop with what is known so far.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Whether the program was asked to stop.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// One that only [`Self::request`] can set.
    pub(crate) fn never() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    /// From now on a Ctrl-C or SIGTERM is only noted; the second one ends the program at once.
    ///
    /// # Errors
    /// The system refuses to tell of signals.
    pub(crate) fn listen() -> io::Result<Self> {
        let interrupt = Self::never();
        let flag = Arc::clone(&interrupt.0);
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // In this order: a second signal finds the flag set and ends the program.
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
