//! A model of two holding queues that share an allowance of bytes: lists that are counted anew each
//! time.

use proptest::{prelude::*, test_runner::FileFailurePersistence};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use super::*;
use crate::{config::MemoryLimits, stream::Row};

const ROWS_MAX: u32 = 4;
/// Those of two entries with 20 bytes of text, and of three in two queues with 30.
const BYTES_MAX: usize = Cost::HOLDING.of(2) + 20;
const TOTAL_MAX: usize = Cost::HOLDING.of(2) + Cost::HOLDING.of(1) + 30;

#[derive(Clone, Debug)]
enum Step {
    Rows { queue: usize, token: i64, lengths: Vec<usize> },
    Position { queue: usize, prev: i64, new: i64 },
    Take { queue: usize },
}

#[derive(Clone, Debug, Default)]
struct Model {
    queues: [Vec<Held>; 2],
    /// The highest tokens of the rows that were accepted and of all announcements.
    highest: [Option<Token>; 2],
    /// The lowest tokens of all rows, accepted or not.
    lowest: [Option<Token>; 2],
    accepted: bool,
    taken: Vec<Held>,
}

fn rows(lengths: &[usize]) -> Rows {
    let row = |length: &usize| Row::from(format!("[{}]", " ".repeat(length - 2)).as_str());
    Rows::new(lengths.iter().map(row).collect()).expect("a batch has a row")
}

fn bytes(queue: &[Held]) -> usize {
    let of = |held: &Held| match held {
        Held::Rows { rows, .. } => text(&rows.iter().map(Row::len).collect::<Vec<_>>()),
        Held::Position(_) => 0,
    };
    Cost::HOLDING.of(queue.len()) + queue.iter().map(of).sum::<usize>()
}

/// The bytes of the rows of one token with these lengths.
fn text(lengths: &[usize]) -> usize {
    let list = if lengths.len() > 1 { lengths.len() * Cost::ROW_OF_BATCH } else { 0 };
    list + lengths.iter().sum::<usize>()
}

fn count(queue: &[Held]) -> usize {
    let of = |held: &Held| match held {
        Held::Rows { rows, .. } => rows.len(),
        Held::Position(_) => 1,
    };
    queue.iter().map(of).sum()
}

/// Whether one more entry of so many rows and bytes fits in this queue.
fn takes(queue: &[Held], total: usize, rows: usize, text: usize) -> bool {
    let more = Cost::HOLDING.of(queue.len() + 1) - Cost::HOLDING.of(queue.len()) + text;
    count(queue) + rows <= ROWS_MAX as usize
        && bytes(queue) + more <= BYTES_MAX
        && total + more <= TOTAL_MAX
}

impl Model {
    fn total(&self) -> usize {
        self.queues.iter().map(|queue| bytes(queue)).sum()
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        let (queue, token) = (0_usize..2, 0_i64..8);
        prop_oneof![
            4 => (queue.clone(), token.clone(), prop::collection::vec(2_usize..12, 1..4))
                .prop_map(|(queue, token, lengths)| Step::Rows { queue, token, lengths }),
            3 => (queue.clone(), token.clone(), token)
                .prop_map(|(queue, prev, new)| Step::Position { queue, prev, new }),
            1 => queue.prop_map(|queue| Step::Take { queue }),
        ]
        .boxed()
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.accepted = true;
        match step {
            Step::Rows { queue: index, token, lengths } => {
                let token = Token::new(*token);
                let total = state.total();
                let lowest = &mut state.lowest[*index];
                *lowest = Some(lowest.map_or(token, |lowest| lowest.min(token)));
                let queue = &mut state.queues[*index];
                state.accepted = takes(queue, total, lengths.len(), text(lengths));
                if state.accepted {
                    queue.push(Held::Rows { token, rows: rows(lengths) });
                    state.highest[*index] = state.highest[*index].max(Some(token));
                }
            }
            Step::Position { queue: index, prev, new } => {
                let (prev, new) = (Token::new(*prev), Token::new(*new));
                let total = state.total();
                state.highest[*index] = state.highest[*index].max(Some(new));
                let queue = &mut state.queues[*index];
                let goes_on = match queue.last() {
                    Some(Held::Position(Span { from: first, upto: last })) => {
                        (prev <= *last && *last <= new).then_some(prev.min(*first))
                    }
                    Some(Held::Rows { .. }) | None => None,
                };
                if let Some(first) = goes_on {
                    queue.pop();
                    queue.push(Held::Position(Span::new(first, new)));
                } else if takes(queue, total, 1, 0) {
                    queue.push(Held::Position(Span::new(prev, new)));
                } else {
                    state.accepted = false;
                }
            }
            Step::Take { queue } => {
                state.taken = std::mem::take(&mut state.queues[*queue]);
                state.highest[*queue] = None;
            }
        }
        state
    }
}

struct Queues {
    queues: [Holding; 2],
    total: u64,
    config: Config,
}

impl StateMachineTest for Queues {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        let config = Config {
            limits: MemoryLimits {
                held_rows_max: ROWS_MAX,
                held_bytes_max: u32::try_from(BYTES_MAX).expect("a small one"),
                held_bytes_total_max: TOTAL_MAX as u64,
                ..MemoryLimits::default()
            },
            ..Config::default()
        };
        Self { queues: Default::default(), total: 0, config }
    }

    fn apply(mut state: Self, model: &Model, step: Step) -> Self {
        let Self { queues, total, config } = &mut state;
        match step {
            Step::Rows { queue, token, lengths } => {
                let token = Token::new(token);
                let accepted = queues[queue].push_rows(token, &rows(&lengths), config, total);
                assert_eq!(accepted, model.accepted);
            }
            Step::Position { queue, prev, new } => {
                let (prev, new) = (Token::new(prev), Token::new(new));
                assert_eq!(
                    queues[queue].push_position(Span::new(prev, new), config, total),
                    model.accepted
                );
            }
            Step::Take { queue } => assert_eq!(queues[queue].take(total), model.taken),
        }
        state
    }

    fn check_invariants(state: &Self, model: &Model) {
        assert_eq!(state.total, model.total() as u64);
        for index in 0..2 {
            assert_eq!(state.queues[index].lowest_row(), model.lowest[index]);
            assert_eq!(state.queues[index].highest(), model.highest[index]);
        }
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_fits_is_held_in_order_and_the_allowance_is_given_back(sequential 1..60 => Queues);
}
