//! Recording of a run, so that it can be replayed bit for bit.

use synrepl_core::{Action, Config, Input, Timestamp};

/// Sees everything that goes into the core and comes out of it, in order.
///
/// Called on the driver's task, so it must not block for long. An implementation that writes keeps
/// its own errors: recording never stops a run. Secrets redact themselves when serialized.
pub trait Recorder: Send + 'static {
    /// The settings that the core was made with. Called once, first.
    fn start(&mut self, config: &Config);

    /// What the core is about to be told, and the time it is told.
    fn input(&mut self, now: Timestamp, input: &Input);

    /// What the core asked for, after the last input.
    fn action(&mut self, action: &Action);

    /// The run is over. Called once, last; not called if the driver is dropped.
    fn finish(&mut self) {}
}
