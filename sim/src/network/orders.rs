//! Orders of events that are seldom drawn, each hard for a driver.

use crate::scenario::{FetchFault, Happening, Mode, Scenario, StreamPlan, Timed, Via};

/// Returns these orders as scenarios. Each has one follower on the bus, and one writer of a stream
/// whose tokens can start over. A search for planted bugs plays them before scenarios that are
/// drawn.
pub fn orders() -> Vec<Scenario> {
    vec![
        a_fetch_that_a_lost_connection_ends(),
        a_call_that_nothing_comes_back_of(),
        a_writer_that_is_heard_after_its_death(),
    ]
}

const WRITE: Happening = Happening::Write { source: 0, tokens: 4, rows: 2 };
const CUT: Happening = Happening::Cut { follower: 0, after: 2 };

fn scenario(events: &[(u32, Happening)]) -> Scenario {
    let mut scenario = Scenario::draw(Mode::Calm, 0);
    scenario.streams = vec![StreamPlan { name: "typing".to_owned(), writers: vec![0] }];
    scenario.writers.truncate(1);
    scenario.followers.truncate(1);
    for plan in &mut scenario.followers {
        (plan.via, plan.from_beginning) = (Via::Bus, true);
    }
    scenario.events = events.iter().map(|&(at_ms, what)| Timed { at_ms, what }).collect();
    scenario.faults_end_ms = 6_000;
    scenario
}

/// After the first cut the follower fetches the stream from its start. The second cut ends that
/// fetch, and the next one begins before the first would have timed out.
fn a_fetch_that_a_lost_connection_ends() -> Scenario {
    let fault = FetchFault::TimedOut;
    let spoil = Happening::SpoilFetches { follower: 0, fault, count: 4 };
    scenario(&[(200, CUT), (200, WRITE), (300, spoil), (1_700, CUT), (1_700, WRITE)])
}

/// A call waits for the writer's log when the way between them is lost, so that no answer comes.
fn a_call_that_nothing_comes_back_of() -> Scenario {
    let stall = Happening::StallWriter { writer: 0, ms: 3_000 };
    let fault = FetchFault::NoEndpoint;
    let no_way = Happening::SpoilFetches { follower: 0, fault, count: 1 };
    scenario(&[(200, CUT), (200, WRITE), (500, stall), (1_700, no_way)])
}

/// The rows that a writer has published are held back, and arrive only after it has died and come
/// back.
fn a_writer_that_is_heard_after_its_death() -> Scenario {
    let delay = Happening::DelayWriter { writer: 0, ms: 2_000 };
    let crash = Happening::CrashWriter { writer: 0, down_ms: 100 };
    scenario(&[(1_000, delay), (1_100, WRITE), (1_500, crash), (1_700, WRITE)])
}
