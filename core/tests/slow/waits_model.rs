//! Waits for a position against a model of three lines: a wait ends with the first of its source
//! reaching the token, its deadline and its cancellation (`protocol.md` 8.3).

use std::{collections::BTreeMap, time::Duration};

use crate::bench::Bench;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use synrepl_core::{
    Action, Config, Event, Input, Timestamp, WaitId, WaitOutcome,
    stream::{Source, Token},
};

/// The last two never speak: one is a stranger, one is ourselves.
const SOURCES: [(&str, &str); 5] = [
    ("events", "p1"),
    ("events", "p2"),
    ("typing", "p1"),
    ("receipts", "nobody"),
    ("events", "synrepl"),
];
const SPEAKING: usize = 3;
const OURSELVES: usize = 4;
const WAITS_MAX: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Wait { wait: u64, source: usize, token: i64, within_ms: u64 },
    Cancel { wait: u64 },
    Row { source: usize, ahead: i64 },
    Announce { source: usize, ahead: i64 },
    StartOver,
    Pass { ms: u64 },
}

/// What is open, where everyone stands, and which waits the last step ended.
#[derive(Clone, Debug)]
struct Model {
    now_ms: u64,
    positions: [Option<i64>; SOURCES.len()],
    open: BTreeMap<u64, (usize, i64, u64)>,
    ended: Vec<(u64, WaitOutcome)>,
}

impl Model {
    fn new() -> Self {
        let positions = [Some(5), Some(5), Some(5), None, None];
        Self { now_ms: 0, positions, open: BTreeMap::new(), ended: Vec::new() }
    }

    /// The waits that `ends` names, in the order of the keys that it gives.
    fn end(&mut self, ends: impl Fn(usize, i64, u64) -> Option<(u64, i64)>) -> Vec<(u64, usize)> {
        let mut ended: Vec<_> = self
            .open
            .iter()
            .filter_map(|(wait, (source, token, until))| {
                Some((ends(*source, *token, *until)?, *wait, *source))
            })
            .collect();
        ended.sort_unstable();
        self.open.retain(|wait, _| ended.iter().all(|(_, ended, _)| ended != wait));
        ended.into_iter().map(|(_, wait, source)| (wait, source)).collect()
    }

    fn reach(&mut self, source: usize, position: i64) {
        self.positions[source] = Some(position);
        let ended =
            self.end(|of, token, _| (of == source && token <= position).then_some((0, token)));
        let outcome = WaitOutcome::Reached { position: Token::new(position) };
        self.ended.extend(ended.into_iter().map(|(wait, _)| (wait, outcome)));
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::new()).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        prop_oneof![
            6 => (0_u64..6, 0..SOURCES.len(), 3_i64..16, 0_u64..3_000).prop_map(
                |(wait, source, token, within_ms)| Step::Wait { wait, source, token, within_ms }),
            1 => (0_u64..6).prop_map(|wait| Step::Cancel { wait }),
            3 => (0..SPEAKING, 1_i64..4).prop_map(|(source, ahead)| Step::Row { source, ahead }),
            2 => (0..SPEAKING, 0_i64..4)
                .prop_map(|(source, ahead)| Step::Announce { source, ahead }),
            1 => Just(Step::StartOver),
            3 => (0_u64..2_000).prop_map(|ms| Step::Pass { ms }),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        !matches!(step, Step::Wait { wait, .. } if state.open.contains_key(wait))
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.ended.clear();
        match *step {
            Step::Wait { wait, source, token, within_ms } => {
                let position = state.positions[source];
                let at = position.map(Token::new);
                let outcome = match position {
                    _ if source == OURSELVES => WaitOutcome::Refused,
                    Some(position) if position >= token => {
                        WaitOutcome::Reached { position: Token::new(position) }
                    }
                    _ if state.open.len() == WAITS_MAX => WaitOutcome::Refused,
                    _ if within_ms == 0 => WaitOutcome::TimedOut { position: at },
                    _ => {
                        state.open.insert(wait, (source, token, state.now_ms + within_ms));
                        return state;
                    }
                };
                state.ended.push((wait, outcome));
            }
            Step::Cancel { wait } => {
                state.open.remove(&wait);
            }
            Step::Row { source, ahead } | Step::Announce { source, ahead } => {
                let position = state.positions[source].unwrap_or_default() + ahead;
                state.reach(source, position);
            }
            Step::StartOver => state.reach(2, 0),
            Step::Pass { ms } => {
                state.now_ms += ms;
                let now = state.now_ms;
                for (wait, source) in state.end(|_, _, until| (until <= now).then_some((until, 0)))
                {
                    let position = state.positions[source].map(Token::new);
                    state.ended.push((wait, WaitOutcome::TimedOut { position }));
                }
            }
        }
        state
    }
}

struct Follower {
    bench: Bench,
    /// Where the writers stand.
    tokens: [i64; SPEAKING],
}

/// The waits that these actions end.
fn ended(actions: Vec<Action>) -> Vec<(u64, WaitOutcome)> {
    let end = |action| {
        let Action::Notify(Event::WaitEnded { wait, outcome }) = action else { return None };
        Some((wait.get(), outcome))
    };
    actions.into_iter().filter_map(end).collect()
}

struct Waits;

impl StateMachineTest for Waits {
    type SystemUnderTest = Follower;
    type Reference = Model;

    fn init_test(_: &Model) -> Follower {
        let mut config = Config::default();
        config.limits.waits_max = u32::try_from(WAITS_MAX).expect("a small number");
        let mut bench = Bench::connected(config);
        for (stream, writer) in &SOURCES[..SPEAKING] {
            bench.hear(&format!("POSITION {stream} {writer} 5 5"));
        }
        Follower { bench, tokens: [5; SPEAKING] }
    }

    fn apply(follower: Follower, model: &Model, step: Step) -> Follower {
        let Follower { mut bench, mut tokens } = follower;
        let actions = match step {
            Step::Wait { wait, source, token, within_ms } => {
                let (stream, writer) = SOURCES[source];
                let (wait, token) = (WaitId::new(wait), Token::new(token));
                let deadline = bench.now + Duration::from_millis(within_ms);
                let source = Source::new(stream, writer);
                bench.handle(Input::WaitFor { wait, source, token, deadline })
            }
            Step::Cancel { wait } => bench.handle(Input::CancelWait { wait: WaitId::new(wait) }),
            Step::Row { source, ahead } => {
                tokens[source] += ahead;
                let (stream, writer) = SOURCES[source];
                bench.hear(&format!("RDATA {stream} {writer} {} []", tokens[source]))
            }
            Step::Announce { source, ahead } => {
                let prev = tokens[source];
                tokens[source] += ahead;
                let (stream, writer) = SOURCES[source];
                bench.hear(&format!("POSITION {stream} {writer} {prev} {}", prev + ahead))
            }
            Step::StartOver => {
                tokens[2] = 0;
                bench.hear("POSITION typing p1 0 0")
            }
            Step::Pass { ms } => bench.pass(Duration::from_millis(ms)),
        };
        assert_eq!(ended(actions), model.ended);
        Follower { bench, tokens }
    }

    /// Whoever asks when to come back comes in time for every deadline.
    fn check_invariants(follower: &Follower, model: &Model) {
        if let Some(first) = model.open.values().map(|(_, _, until)| *until).min() {
            let due = follower.bench.node.poll_timeout().map(Timestamp::as_micros);
            assert!(due.is_some_and(|due| due <= first * 1_000), "{due:?}, not {first} ms");
        }
    }
}

prop_state_machine! {
    #![proptest_config(crate::cases::kept(200))]

    #[test]
    fn a_wait_ends_once_with_what_comes_first(sequential 1..60 => Waits);
}
