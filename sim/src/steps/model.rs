//! Every interleaving of small worlds: the real follower, real writers, a bus and fetches, with a
//! budget of faults. In each state that can be reached no promise is broken, and from each, with
//! the faults gone, everything arrives.

use std::hash::{Hash, Hasher};

use stateright::{Checker as _, Model, Property};

use super::{
    oracle::Violation,
    scenario::{FetchFault, Scenario, Step, StreamPlan},
    world::World,
};

/// A world with what may still happen in it.
#[derive(Clone, Debug)]
struct State {
    world: World,
    budget: Budget,
    violation: Option<Violation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    writes: u8,
    losses: u8,
    failures: u8,
    restarts: u8,
    follower_restarts: u8,
    timeouts: u8,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.budget == other.budget && self.world.essence() == other.world.essence()
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.world.essence().hash(state);
        self.budget.hash(state);
    }
}

struct SmallWorld {
    stream: &'static str,
    writers: u8,
    budget: Budget,
    tight_limits: bool,
}

impl Model for SmallWorld {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let streams = vec![StreamPlan { name: self.stream.to_owned(), writers: self.writers }];
        let scenario = Scenario {
            seed: 0,
            streams,
            from_beginning: true,
            page_rows_max: 2,
            tight_limits: self.tight_limits,
            gives_up: false,
            steps: Vec::new(),
        };
        let mut world = World::new(&scenario);
        let violation = world.drain().err();
        vec![State { world, budget: self.budget, violation }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        let Budget { writes, losses, failures, restarts, follower_restarts, timeouts } =
            state.budget;
        let (messages, fetches) = state.world.pending();
        let (up, wanted) = state.world.connection();
        for writer in 0..self.writers {
            if writes > 0 {
                actions.push(Step::Write { source: writer, rows: 2 });
            }
            if restarts > 0 {
                actions.push(Step::RestartWriter { writer });
            }
            actions.push(Step::Flush { writer });
        }
        if messages > 0 {
            actions.push(Step::Deliver { count: 1 });
        }
        for fetch in 0..u8::try_from(fetches).unwrap_or(u8::MAX) {
            actions.push(Step::Answer { fetch, fault: None });
            if failures > 0 {
                actions.push(Step::Answer { fetch, fault: Some(FetchFault::Status) });
            }
        }
        if wanted {
            actions.push(Step::Connect { works: true });
        }
        if up && losses > 0 {
            actions.push(Step::Lose);
        }
        if follower_restarts > 0 {
            actions.push(Step::RestartFollower);
        }
        if timeouts > 0
            && let Some(ms) = state.world.until_timeout_ms()
        {
            actions.push(Step::Wait { ms });
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        if state.violation.is_some() {
            return None;
        }
        let mut next = state.clone();
        next.budget.spend(step);
        next.violation = next.world.step(step).err();
        // Steps that change nothing, such as a flush with nothing to send, lead nowhere.
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no promise is broken", |_, state: &State| state.violation.is_none()),
            Property::always("everything arrives once the faults end", |_, state: &State| {
                state.violation.is_some() || state.world.clone().converge().is_ok()
            }),
        ]
    }
}

impl Budget {
    #[expect(clippy::wildcard_enum_match_arm, reason = "other steps are free")]
    fn spend(&mut self, step: Step) {
        match step {
            Step::Write { .. } => self.writes -= 1,
            Step::Lose => self.losses -= 1,
            Step::Answer { fault: Some(_), .. } => self.failures -= 1,
            Step::RestartWriter { .. } => self.restarts -= 1,
            Step::RestartFollower => self.follower_restarts -= 1,
            Step::Wait { .. } => self.timeouts -= 1,
            _ => {}
        }
    }
}

const NONE: Budget =
    Budget { writes: 0, losses: 0, failures: 0, restarts: 0, follower_restarts: 0, timeouts: 0 };

/// Visits every state and returns how many there are.
fn check(world: SmallWorld) -> usize {
    let stream = world.stream;
    let checker = world.checker().threads(2).spawn_bfs().join();
    let broken = checker.discoveries().into_iter().next();
    if let Some((property, path)) = broken {
        let last = path.last_state().clone();
        let outcome = last.violation.or_else(|| last.world.clone().converge().err());
        let steps: Vec<_> = path.into_actions();
        panic!("{stream}: not true that {property}: {outcome:?}\nafter {steps:?}");
    }
    println!("{stream}: {} states", checker.unique_state_count());
    checker.unique_state_count()
}

#[test]
fn a_rising_stream_of_two_writers_under_a_lost_connection() {
    let budget = Budget { writes: 2, losses: 1, ..NONE };
    let states = check(SmallWorld { stream: "events", writers: 2, budget, tight_limits: false });
    assert!(states > 1_000, "{states} states");
}

#[test]
fn a_rising_stream_under_a_lost_connection_and_failing_fetches() {
    let budget = Budget { writes: 3, losses: 1, failures: 1, timeouts: 1, ..NONE };
    let states = check(SmallWorld { stream: "receipts", writers: 1, budget, tight_limits: true });
    assert!(states > 1_000, "{states} states");
}

#[test]
fn a_burst_stream_under_a_lost_connection() {
    let budget = Budget { writes: 3, losses: 1, timeouts: 1, ..NONE };
    let states = check(SmallWorld { stream: "backfill", writers: 1, budget, tight_limits: false });
    assert!(states > 1_000, "{states} states");
}

#[test]
fn a_resettable_stream_under_restarts_and_a_lost_connection() {
    let budget = Budget { writes: 3, losses: 1, failures: 1, restarts: 2, ..NONE };
    let states = check(SmallWorld { stream: "typing", writers: 1, budget, tight_limits: false });
    assert!(states > 1_000, "{states} states");
}

#[test]
fn a_loose_stream_of_two_writers_under_a_lost_connection() {
    let budget = Budget { writes: 2, losses: 1, ..NONE };
    let states = check(SmallWorld { stream: "caches", writers: 2, budget, tight_limits: true });
    assert!(states > 1_000, "{states} states");
}

#[test]
fn a_shared_stream_of_two_writers_under_a_restarted_follower() {
    let budget = Budget { writes: 2, follower_restarts: 1, ..NONE };
    let states =
        check(SmallWorld { stream: "device_lists", writers: 2, budget, tight_limits: false });
    assert!(states > 1_000, "{states} states");
}
