//! Whole simulated runs.

use synrepl_sim::{FetchFault, Scenario, Step, StreamPlan, run};

use crate::choices::Choices;

/// Steps of one run.
const STEPS_MAX: usize = 200;

const STREAMS: [&str; 10] = [
    "events",
    "backfill",
    "caches",
    "typing",
    "receipts",
    "device_lists",
    "profile_updates",
    "federation",
    "presence_federation",
    "from_the_future",
];

/// No schedule of writes, deliveries, faults and restarts breaks a promise.
pub fn scenario(data: &[u8]) {
    if let Err(failure) = run(&decoded(Choices::new(data))) {
        panic!("{failure}");
    }
}

fn decoded(mut choices: Choices<'_>) -> Scenario {
    let seed = u64::from(choices.byte());
    let streams = (0..=choices.below(3))
        .map(|_| StreamPlan {
            name: choices.one_of(&STREAMS).to_owned(),
            writers: 1 + choices.below(3),
        })
        .collect();
    let from_beginning = choices.below(2) == 1;
    let page_rows_max = choices.one_of(&[100, 1, 2, 3, 5]);
    let tight_limits = choices.below(2) == 1;
    let gives_up = seed % 8 == 7;
    let mut steps = Vec::new();
    while !choices.is_done() && steps.len() < STEPS_MAX {
        steps.push(step(&mut choices));
    }
    Scenario { seed, streams, from_beginning, page_rows_max, tight_limits, gives_up, steps }
}

fn step(choices: &mut Choices<'_>) -> Step {
    match choices.below(16) {
        0 | 1 => Step::Deliver { count: 1 + choices.below(6) },
        2 | 3 => Step::Write { source: choices.byte(), rows: 1 + choices.below(4) },
        4 | 5 => Step::Flush { writer: choices.byte() },
        6 => Step::Answer { fetch: choices.byte(), fault: fault(choices) },
        7 => Step::Connect { works: choices.below(4) != 3 },
        8 => Step::Wait { ms: choices.one_of(&[10, 200, 1_000, 3_000]) },
        9 => Step::Lose,
        10 => Step::Damage { at: choices.byte(), byte: choices.byte() },
        11 => Step::RestartWriter { writer: choices.byte() },
        12 => Step::WriterOffline { writer: choices.byte() },
        13 => Step::WriterOnline { writer: choices.byte() },
        14 => Step::Swap { at: choices.byte() },
        _ if choices.below(2) == 0 => Step::LoseReplicate,
        _ => Step::RestartFollower,
    }
}

fn fault(choices: &mut Choices<'_>) -> Option<FetchFault> {
    match choices.below(8) {
        1 => Some(FetchFault::Status),
        2 => Some(FetchFault::TimedOut),
        3 => Some(FetchFault::TooLarge),
        4 => Some(FetchFault::Beyond),
        5 => Some(FetchFault::Stuck),
        _ => None,
    }
}
