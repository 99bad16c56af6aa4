//! The node: one instance of a deployment as a state machine.

use crate::{
    action::Action,
    config::Config,
    error::{ConfigError, Misuse},
    input::Input,
    stats::Stats,
    stream::Positions,
    time::Timestamp,
};

/// One instance of a deployment.
#[derive(Clone, Debug)]
pub struct Node {
    stats: Stats,
}

impl Node {
    /// A node with these settings. Its first action is a `Connect`.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { stats: Stats::default() })
    }

    /// Takes what happened. Drain [`Node::poll_action`] before the next call.
    ///
    /// # Errors
    /// [`Misuse`] if the caller broke the contract. The state is then unchanged.
    pub fn handle(&mut self, _now: Timestamp, _input: Input) -> Result<(), Misuse> {
        Ok(())
    }

    /// The next thing to do, in order; `None` when there is nothing left.
    pub fn poll_action(&mut self) -> Option<Action> {
        None
    }

    /// When to hand in [`Input::Tick`]. Valid once the actions are drained.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }

    /// Where each source stands: the value to save.
    pub fn positions(&self) -> Positions {
        Positions::new()
    }

    /// Counters.
    pub const fn stats(&self) -> Stats {
        self.stats
    }
}
