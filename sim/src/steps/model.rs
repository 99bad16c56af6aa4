//! Every interleaving of small worlds: the real follower, scripted writers, a bus and fetches, with
//! a budget of faults. In each state that can be reached no promise is broken, and from each, with
//! the faults gone, everything arrives.

use stateright::{Model, Property};

use super::{follower::Answer, world::World};
use crate::oracle::Violation;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A source appends two rows under one token.
    Write { source: usize },
    /// A writer's send loop runs: what it has not said goes to the bus.
    Flush { writer: usize },
    /// The follower receives a message.
    Deliver,
    /// The message that the follower receives next is damaged.
    Damage,
    /// A fetch is answered.
    Answer { fetch: usize, answer: Answer },
    /// The follower's connection ends, and what was on its way is lost.
    Lose,
    /// The connection that the follower wants is made.
    Connect,
    /// The next REPLICATE reaches nobody.
    LoseReplicate,
    /// Time passes until the follower wants to be woken.
    Wait,
    /// A writer dies and comes back: what lives in its memory starts over.
    RestartWriter { writer: usize },
    /// A writer loses the bus, and what it would have sent is not sent.
    WriterOffline { writer: usize },
    /// A writer is back on the bus and announces itself.
    WriterOnline { writer: usize },
    /// The follower stops and is started again from the positions that went with its events.
    RestartFollower,
}

/// A world with what may still happen in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    world: World,
    budget: Budget,
    violation: Option<Violation>,
}

/// How often each kind of fault may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// Batches of two rows.
    pub(super) writes: u8,
    /// Ends of the follower's connection.
    pub(super) losses: u8,
    /// Fetches that fail.
    pub(super) failures: u8,
    /// Fetches answered with what was there when they were asked.
    pub(super) stale: u8,
    /// Restarts of a writer.
    pub(super) restarts: u8,
    /// Times that a writer loses the bus, and with it what it sends meanwhile.
    pub(super) outages: u8,
    /// REPLICATEs that reach nobody.
    pub(super) lost_asks: u8,
    /// Rows that arrive damaged.
    pub(super) damages: u8,
    pub(super) follower_restarts: u8,
    /// Deadlines of the follower that pass while something is under way.
    pub(super) timeouts: u8,
}

pub(super) const NONE: Budget = Budget {
    writes: 0,
    losses: 0,
    failures: 0,
    stale: 0,
    restarts: 0,
    outages: 0,
    lost_asks: 0,
    damages: 0,
    follower_restarts: 0,
    timeouts: 0,
};

#[derive(Clone, Copy, Debug)]
pub(super) struct SmallWorld {
    /// The streams, each with the number of its writers. The first writers of all streams are one
    /// instance, the second ones another.
    pub(super) streams: &'static [(&'static str, usize)],
    pub(super) budget: Budget,
    pub(super) tight_limits: bool,
}

impl SmallWorld {
    fn faults(&self, state: &State, steps: &mut Vec<Step>) {
        let State { world, budget, .. } = state;
        if budget.writes > 0 {
            let sources = self.streams.iter().map(|(_, writers)| writers).sum();
            steps.extend((0..sources).map(|source| Step::Write { source }));
        }
        for writer in 0..world.writers() {
            if budget.restarts > 0 {
                steps.push(Step::RestartWriter { writer });
            }
            if budget.outages > 0 {
                steps.push(Step::WriterOffline { writer });
            }
        }
        if world.follower.has_mail() && budget.damages > 0 {
            steps.push(Step::Damage);
        }
        for (fetch, (_, is_stale)) in world.follower.fetches(&world.logs).enumerate() {
            if budget.failures > 0 {
                steps.push(Step::Answer { fetch, answer: Answer::Failed });
            }
            if budget.stale > 0 && is_stale {
                steps.push(Step::Answer { fetch, answer: Answer::Stale });
            }
        }
        let up = world.follower.member.up;
        if up && budget.losses > 0 {
            steps.push(Step::Lose);
        }
        if !up && budget.lost_asks > 0 {
            steps.push(Step::LoseReplicate);
        }
        if budget.follower_restarts > 0 {
            steps.push(Step::RestartFollower);
        }
    }
}

impl Model for SmallWorld {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let (world, outcome) = World::new(self.streams, self.tight_limits);
        vec![State { world, budget: self.budget, violation: outcome.err() }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let State { world, budget, .. } = state;
        let wanted = world.follower.member.wants_connection();
        for writer in 0..world.writers() {
            steps.push(Step::Flush { writer });
            if self.budget.outages > 0 {
                steps.push(Step::WriterOnline { writer });
            }
        }
        if world.follower.has_mail() {
            steps.push(Step::Deliver);
        }
        let pending = world.follower.pending();
        steps.extend((0..pending).map(|fetch| Step::Answer { fetch, answer: Answer::Now }));
        if wanted {
            steps.push(Step::Connect);
        }
        // Without a connection, time passes until there is one.
        if (budget.timeouts > 0 || is_down(world)) && world.until_timeout().is_some() {
            steps.push(Step::Wait);
        }
        self.faults(state, steps);
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        if state.violation.is_some() {
            return None;
        }
        let mut next = state.clone();
        if !(is_down(&state.world) && matches!(step, Step::Wait)) {
            next.budget.spend(step);
        }
        next.violation = next.world.step(step).err();
        // Steps that change nothing, such as a flush with nothing to send, lead nowhere.
        (next.violation.is_some() || next.world != state.world).then_some(next)
    }

    /// Liveness as a property of each state by itself: from here, the faults gone and every step
    /// taken in turn, everything arrives. So neither cycles nor states that are reached by several
    /// ways can hide a state from which it does not.
    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no promise is broken", |_, state: &State| state.violation.is_none()),
            Property::always("everything arrives once the faults end", |_, state: &State| {
                state.violation.is_some() || state.world.clone().converge().is_ok()
            }),
        ]
    }
}

/// Whether the follower has no connection, and wants none yet.
const fn is_down(world: &World) -> bool {
    world.follower.member.conn.is_none()
}

impl Budget {
    const fn spend(&mut self, step: Step) {
        match step {
            Step::Write { .. } => self.writes -= 1,
            Step::Lose => self.losses -= 1,
            Step::Answer { answer: Answer::Stale, .. } => self.stale -= 1,
            Step::Answer { answer: Answer::Failed, .. } => self.failures -= 1,
            Step::RestartWriter { .. } => self.restarts -= 1,
            Step::WriterOffline { .. } => self.outages -= 1,
            Step::LoseReplicate => self.lost_asks -= 1,
            Step::Damage => self.damages -= 1,
            Step::RestartFollower => self.follower_restarts -= 1,
            Step::Wait => self.timeouts -= 1,
            Step::Flush { .. }
            | Step::Deliver
            | Step::Answer { answer: Answer::Now, .. }
            | Step::Connect
            | Step::WriterOnline { .. } => {}
        }
    }
}

/// What is wrong in a state.
pub(super) fn why(state: &State) -> String {
    let outcome = state.violation.clone().map_or_else(|| state.world.clone().converge(), Err);
    outcome.map_or_else(|violation| violation.to_string(), |()| "nothing is missing".to_owned())
}
