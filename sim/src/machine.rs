//! What a simulated instance is: something that takes inputs and gives actions.

use std::fmt;

use synrepl_core::{
    Action, Config, ConfigError, Input, Misuse, Node, Timestamp, stream::Positions,
};

use crate::scenario::{FollowerPlan, Manners, WriterPlan};

/// An instance under simulation: the shipped [`Node`], or a model in its place.
///
/// The contract is that of [`Node`], with what a model may leave out: a receiver need not answer
/// more than `Connected`, `Disconnected`, `Received`, `Fetched` and `Tick`, and asks with `Connect`,
/// `Send`, `Fetch` and `Notify`; a sender gets `Appended` and `LogRead` as well and asks with
/// `ReadLog`. The simulator drains after each input and ticks at [`Machine::poll_timeout`].
pub trait Machine: fmt::Debug {
    /// Takes what happened. A model refuses nothing.
    ///
    /// # Errors
    /// The simulated driver broke the contract, which is an error of the simulator.
    fn handle(&mut self, now: Timestamp, input: Input) -> Result<(), Misuse>;

    /// The next thing to do; `None` when there is nothing left.
    fn poll_action(&mut self) -> Option<Action>;

    /// When a tick is next of use.
    fn poll_timeout(&self) -> Option<Timestamp>;

    /// Where each source stands.
    fn positions(&self) -> Positions;

    /// The core's own limits and figures, where it is the shipped one.
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

/// Who plays the instances of a scenario. Asked again each time an instance starts; positions to
/// resume from stand in the settings.
pub trait Cast {
    /// Plays a follower.
    ///
    /// # Errors
    /// Settings that cannot work.
    fn follower(
        &self,
        plan: &FollowerPlan,
        config: Config,
    ) -> Result<Box<dyn Machine>, ConfigError>;

    /// Plays a writer on the bus; `None` leaves it to the simulator's own writer, which sends by
    /// [`WriterPlan::manners`].
    ///
    /// # Errors
    /// Settings that cannot work.
    fn writer(
        &self,
        plan: &WriterPlan,
        config: Config,
    ) -> Result<Option<Box<dyn Machine>>, ConfigError>;
}

/// The shipped core plays every follower, and every writer whose manners are ours.
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
