//! The interface to record a run, so that it can be replayed bit for bit (C1). All that enters and
//! leaves the core is handed to a [`Recorder`], in order.

use synrepl_core::{Action, Config, Input, Timestamp};

/// An observer of everything that enters and leaves the core, in order.
///
/// Called on the driver's task, so it must not block for long. An implementation that writes keeps
/// its own errors: recording never stops a run. Secrets redact themselves when serialized.
pub trait Recorder: Send + 'static {
    /// Receives the settings that the core is made with. Called once, first.
    fn start(&mut self, config: &Config);

    /// Receives an input that is about to enter the core, and the time at which it does.
    fn input(&mut self, now: Timestamp, input: &Input);

    /// Receives an action that left the core, after the last input.
    fn action(&mut self, action: &Action);

    /// Marks the end of the run. Called once, last; not called if the driver is dropped.
    fn finish(&mut self) {}
}
