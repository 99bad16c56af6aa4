//! The machines that play the instances of a scenario: inputs enter, actions leave. A machine is
//! the shipped core, or a model in its place.

use std::fmt;

use synrepl_core::{
    Action, Config, ConfigError, Input, Misuse, Node, Timestamp, stream::Positions,
};

use crate::scenario::{FollowerPlan, Manners, WriterPlan};

/// A simulated instance: the shipped [`Node`], or a model in its place.
///
/// The contract is that of [`Node`], but a model may support a part only. A receiver has to handle
/// `Connected`, `Disconnected`, `Received`, `Fetched` and `Tick`, and emits `Connect`, `Send`,
/// `Fetch` and `Notify`; a sender also handles `Appended` and `LogRead`, and emits `ReadLog`. The
/// simulator drains the actions after each input, and ticks at [`Machine::poll_timeout`].
pub trait Machine: fmt::Debug {
    /// Handles an input. A model accepts every input.
    ///
    /// # Errors
    /// [`Misuse`] if the simulated driver broke the contract, which is an error of the simulator.
    fn handle(&mut self, now: Timestamp, input: Input) -> Result<(), Misuse>;

    /// Returns the next action; `None` when there is none left.
    fn poll_action(&mut self) -> Option<Action>;

    /// Returns the time at which a tick is next of use.
    fn poll_timeout(&self) -> Option<Timestamp>;

    /// Returns the position of each source.
    fn positions(&self) -> Positions;

    /// Returns the node, for its limits and counters; `None` for a model.
    fn as_node(&self) -> Option<&Node> {
        None
    }
}

impl Machine for Node {
    fn handle(&mut self, now: Timestamp, input: Input) -> Result<(), Misuse> {
        self.handle(now, input)
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.poll_action()
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.poll_timeout()
    }

    fn positions(&self) -> Positions {
        self.positions()
    }

    fn as_node(&self) -> Option<&Node> {
        Some(self)
    }
}

/// Makes the machines of a scenario's instances. Called each time an instance starts; the positions
/// to resume from are in its settings.
pub trait Cast {
    /// Makes the machine of a follower.
    ///
    /// # Errors
    /// [`ConfigError`] names a setting that cannot work.
    fn follower(
        &self,
        plan: &FollowerPlan,
        config: Config,
    ) -> Result<Box<dyn Machine>, ConfigError>;

    /// Makes the machine of a writer on the bus; `None` leaves it to the simulator's own writer,
    /// which sends by [`WriterPlan::manners`].
    ///
    /// # Errors
    /// [`ConfigError`] names a setting that cannot work.
    fn writer(
        &self,
        plan: &WriterPlan,
        config: Config,
    ) -> Result<Option<Box<dyn Machine>>, ConfigError>;
}

/// Lets the shipped core play every follower, and every writer whose manners are
/// [`Manners::Ours`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Shipped;

impl Cast for Shipped {
    fn follower(
        &self,
        _plan: &FollowerPlan,
        config: Config,
    ) -> Result<Box<dyn Machine>, ConfigError> {
        Ok(Box::new(Node::new(config)?))
    }

    fn writer(
        &self,
        plan: &WriterPlan,
        config: Config,
    ) -> Result<Option<Box<dyn Machine>>, ConfigError> {
        match plan.manners {
            Manners::Ours => Ok(Some(Box::new(Node::new(config)?))),
            Manners::Synapse | Manners::Hasty | Manners::Mute => Ok(None),
        }
    }
}
