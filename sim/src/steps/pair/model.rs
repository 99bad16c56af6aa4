//! Every interleaving of a writer, a bus and a follower under a budget of faults.

use stateright::{Model, Property};

use super::world::{Manner, Side, World};
use crate::{oracle::Violation, steps::follower::Answer};

/// How often each kind of step may still happen, besides those that must.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// Batches of two rows that are appended, in all streams together.
    pub(super) batches: u8,
    /// Ends of the writer's connection.
    pub(super) writer_cuts: u8,
    /// Ends of the follower's connection.
    pub(super) follower_cuts: u8,
    /// Fetches and reads of a log that fail.
    pub(super) failures: u8,
    /// Fetches whose answer is older than it looks, or no longer wanted.
    pub(super) stale: u8,
    /// Restarts of the writer's process.
    pub(super) restarts: u8,
    /// Waits for a deadline when nothing else is under way. What still has not come after these
    /// never comes.
    pub(super) patience: u8,
}

pub(super) const NONE: Budget = Budget {
    batches: 0,
    writer_cuts: 0,
    follower_cuts: 0,
    failures: 0,
    stale: 0,
    restarts: 0,
    patience: 12,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Append { stream: usize },
    Read { fails: bool },
    Publish,
    Confirm,
    Deliver(Side),
    Answer { fetch: usize, answer: Answer },
    Cut(Side),
    Connect(Side),
    Restart,
    Wait,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    world: World,
    budget: Budget,
    violation: Option<Violation>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) streams: &'static [&'static str],
    pub(super) budget: Budget,
    pub(super) manner: Manner,
}

impl Pair {
    /// Adds the steps that happen by themselves, sooner or later.
    fn due(state: &State, steps: &mut Vec<Step>) {
        let world = &state.world;
        let sides = [Side::Writer, Side::Follower];
        let is_due = [
            (world.has_reads(), Step::Read { fails: false }),
            (world.has_outbound(), Step::Publish),
            (world.has_unanswered(), Step::Confirm),
        ];
        steps.extend(is_due.into_iter().filter(|(due, _)| *due).map(|(_, step)| step));
        steps.extend(sides.into_iter().filter(|side| world.has_mail(*side)).map(Step::Deliver));
        steps.extend(sides.into_iter().filter(|side| !world.is_up(*side)).map(Step::Connect));
        for (fetch, (wanted, _)) in world.fetches().enumerate() {
            if wanted {
                steps.push(Step::Answer { fetch, answer: Answer::Now });
            }
        }
        let patient = state.budget.patience > 0 && world.has_timeout();
        if steps.is_empty() && patient && world.check_complete().is_err() {
            steps.push(Step::Wait);
        }
    }

    /// Adds what may go wrong, while the budget lasts.
    fn faults(&self, state: &State, steps: &mut Vec<Step>) {
        let State { world, budget, .. } = state;
        if budget.batches > 0 {
            steps.extend((0..self.streams.len()).map(|stream| Step::Append { stream }));
        }
        if budget.writer_cuts > 0 && world.is_up(Side::Writer) {
            steps.push(Step::Cut(Side::Writer));
        }
        if budget.follower_cuts > 0 && world.is_up(Side::Follower) {
            steps.push(Step::Cut(Side::Follower));
        }
        if budget.restarts > 0 {
            steps.push(Step::Restart);
        }
        if budget.failures > 0 && world.has_reads() {
            steps.push(Step::Read { fails: true });
        }
        for (fetch, (wanted, differs)) in world.fetches().enumerate() {
            if budget.failures > 0 && wanted {
                steps.push(Step::Answer { fetch, answer: Answer::Failed });
            }
            if budget.stale > 0 && (differs || !wanted) {
                steps.push(Step::Answer { fetch, answer: Answer::Stale });
            }
        }
    }
}

impl Model for Pair {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let (world, outcome) = World::new(self.streams, self.manner);
        vec![State { world, budget: self.budget, violation: outcome.err() }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.violation.is_none() {
            Self::due(state, steps);
            self.faults(state, steps);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let State { mut world, mut budget, .. } = state.clone();
        budget.spend(step);
        let outcome = match step {
            Step::Append { stream } => world.append(stream),
            Step::Read { fails } => world.read(fails),
            Step::Publish => {
                world.publish();
                Ok(())
            }
            Step::Confirm => world.confirm(),
            Step::Deliver(side) => world.deliver(side),
            Step::Answer { fetch, answer } => world.answer(fetch, answer),
            Step::Cut(side) => world.cut(side),
            Step::Connect(side) => world.connect(side),
            Step::Restart => world.restart(),
            Step::Wait => world.wait(),
        };
        Some(State { world, budget, violation: outcome.err() })
    }

    /// `eventually` is checked on the path by which a state was first reached, so it is sound only
    /// if a state that meets it has no successor, and if there is no cycle. Both hold: the property
    /// asks whether anything can still happen, and every step spends something (a message, an
    /// answer, budget) that only an input of the node brings back, whose counters never go back.
    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no promise is broken", |_, state: &State| state.violation.is_none()),
            Property::eventually("every row is out and delivered", |model: &Self, state| {
                let mut steps = Vec::new();
                model.actions(state, &mut steps);
                steps.is_empty()
                    && (state.violation.is_some() || state.world.check_complete().is_ok())
            }),
            Property::sometimes("all faults have happened", |_, state: &State| {
                state.budget == Budget { patience: state.budget.patience, ..NONE }
            }),
        ]
    }
}

impl Budget {
    const fn spend(&mut self, step: Step) {
        match step {
            Step::Append { .. } => self.batches -= 1,
            Step::Cut(Side::Writer) => self.writer_cuts -= 1,
            Step::Cut(Side::Follower) => self.follower_cuts -= 1,
            Step::Read { fails: true } | Step::Answer { answer: Answer::Failed, .. } => {
                self.failures -= 1;
            }
            Step::Answer { answer: Answer::Stale, .. } => self.stale -= 1,
            Step::Restart => self.restarts -= 1,
            Step::Wait => self.patience -= 1,
            Step::Read { fails: false }
            | Step::Publish
            | Step::Confirm
            | Step::Deliver(_)
            | Step::Answer { answer: Answer::Now, .. }
            | Step::Connect(_) => {}
        }
    }
}

/// What is wrong in a state.
pub(super) fn why(state: &State) -> String {
    let outcome = state.violation.clone().map_or_else(|| state.world.check_complete(), Err);
    outcome.map_or_else(|violation| violation.to_string(), |()| "nothing is missing".to_owned())
}
