//! The models in the places of a scenario's instances.

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

/// Plays followers by the rules of a release, or by ours, and keeps a [`Tally`] of each either way.
///
/// Writers are played as [`Shipped`] plays them, unless [`senders`](Self::senders) are asked for.
#[derive(Debug, Default)]
pub struct Company {
    receivers: Option<Rules>,
    senders: Option<Rules>,
    tallies: RefCell<BTreeMap<String, Rc<RefCell<Tally>>>>,
}

impl Company {
    /// The shipped core plays every follower.
    pub fn ours() -> Self {
        Self::default()
    }

    /// Synapse plays every follower.
    pub fn of(rules: Rules) -> Self {
        Self { receivers: Some(rules), ..Self::default() }
    }

    /// Synapse plays the writers as well, in place of the simulator's own writers and of ours.
    #[must_use]
    pub fn senders(mut self, rules: Rules) -> Self {
        self.senders = Some(rules);
        self
    }

    /// What all followers together lost, repeated and mixed of what is in these logs. Streams that
    /// no release of Synapse has are left out: its receiver cannot know what to do with them.
    pub fn losses(&self, logs: &[Log]) -> Losses {
        let mut written = Written::of(logs);
        written.retain(|it| is_known(it.source.stream()));
        let mut losses = Losses::default();
        for (name, tally) in self.tallies() {
            // Rows under its own name are nobody's to a receiver.
            let others: Vec<_> =
                written.iter().filter(|it| it.source.instance() != name).cloned().collect();
            losses.add(tally.losses(&others));
        }
        losses
    }

    /// The tallies so far, by the name of the follower.
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

/// A follower whose events are counted as they come out.
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

impl Machine for Receiver {
    fn handle(&mut self, now: Timestamp, input: Input) -> Result<(), Misuse> {
        self.handle(now, input);
        Ok(())
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.poll_action()
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.poll_timeout()
    }

    fn positions(&self) -> Positions {
        self.positions().clone()
    }
}

impl Machine for Sender {
    fn handle(&mut self, now: Timestamp, input: Input) -> Result<(), Misuse> {
        self.handle(now, input);
        Ok(())
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.poll_action()
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.poll_timeout()
    }

    fn positions(&self) -> Positions {
        Positions::new()
    }
}
