//! The cast of a run against the reference: models of Synapse play the instances of a scenario, and
//! a tally counts what each follower loses.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use synrepl_core::{
    Action, Config, ConfigError, Input, Misuse, Node, Timestamp, stream::Positions,
};

use super::{Losses, Receiver, Rules, Sender, Tally, Written, receiver::is_known};
use crate::{
    machine::{Cast, Machine, Shipped},
    scenario::{FollowerPlan, WriterPlan},
    world::Log,
};

/// A cast whose followers are models of a release of Synapse, or the shipped core, with a [`Tally`]
/// of each.
///
/// Writers are played as [`Shipped`] plays them, unless [`senders`](Self::senders) is called.
#[derive(Debug, Default)]
pub struct Company {
    receivers: Option<Rules>,
    senders: Option<Rules>,
    tallies: RefCell<BTreeMap<String, Rc<RefCell<Tally>>>>,
}

impl Company {
    /// Creates a cast in which the shipped core plays every follower.
    pub fn ours() -> Self {
        Self::default()
    }

    /// Creates a cast in which the model of Synapse, with these rules, plays every follower.
    pub fn of(rules: Rules) -> Self {
        Self { receivers: Some(rules), ..Self::default() }
    }

    /// Lets the model of Synapse play the writers, too, in place of the simulator's and of ours.
    #[must_use]
    pub fn senders(mut self, rules: Rules) -> Self {
        self.senders = Some(rules);
        self
    }

    /// Returns the rows of these logs that all followers together lost, repeated or mixed. Streams
    /// that no release of Synapse has are left out, because its receiver does not handle them.
    pub fn losses(&self, logs: &[Log]) -> Losses {
        let mut written = Written::of(logs);
        written.retain(|it| is_known(it.source.stream()));
        let mut losses = Losses::default();
        for (name, tally) in self.tallies() {
            // A receiver ignores rows under its own name.
            let others: Vec<_> =
                written.iter().filter(|it| it.source.instance() != name).cloned().collect();
            losses.add(tally.losses(&others));
        }
        losses
    }

    /// Returns the tallies so far, by the name of the follower.
    pub fn tallies(&self) -> BTreeMap<String, Tally> {
        let tallies = self.tallies.borrow();
        tallies.iter().map(|(name, tally)| (name.clone(), tally.borrow().clone())).collect()
    }
}

impl Cast for Company {
    fn follower(
        &self,
        _plan: &FollowerPlan,
        config: Config,
    ) -> Result<Box<dyn Machine>, ConfigError> {
        let tally = {
            let mut tallies = self.tallies.borrow_mut();
            Rc::clone(tallies.entry(config.instance.clone()).or_default())
        };
        tally.borrow_mut().on_start();
        let machine: Box<dyn Machine> = match self.receivers {
            Some(rules) => {
                config.validate()?;
                Box::new(Receiver::new(rules, &config))
            }
            None => Box::new(Node::new(config)?),
        };
        Ok(Box::new(Tallied { machine, tally }))
    }

    fn writer(
        &self,
        plan: &WriterPlan,
        config: Config,
    ) -> Result<Option<Box<dyn Machine>>, ConfigError> {
        match self.senders {
            Some(rules) => {
                config.validate()?;
                Ok(Some(Box::new(Sender::new(rules, &config))))
            }
            None => Shipped.writer(plan, config),
        }
    }
}

/// A follower whose events are tallied as it emits them.
#[derive(Debug)]
struct Tallied {
    machine: Box<dyn Machine>,
    tally: Rc<RefCell<Tally>>,
}

impl Machine for Tallied {
    fn handle(&mut self, now: Timestamp, input: Input) -> Result<(), Misuse> {
        self.machine.handle(now, input)
    }

    fn poll_action(&mut self) -> Option<Action> {
        let action = self.machine.poll_action();
        if let Some(Action::Notify(event)) = &action {
            self.tally.borrow_mut().on_event(event);
        }
        action
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.machine.poll_timeout()
    }

    fn positions(&self) -> Positions {
        self.machine.positions()
    }

    fn as_node(&self) -> Option<&Node> {
        self.machine.as_node()
    }
}
