//! Orders of events that seldom come up by themselves, each hard for a driver.

use crate::scenario::{FetchFault, Happening, Mode, Scenario, StreamPlan, Timed, Via};

/// These orders, as scenarios with one writer of a stream whose tokens can start over and one
/// follower on the bus. A search for planted bugs plays them before what is drawn.
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

/// Back after the first cut, the stream is fetched from its start; the second one ends that, and
/// the next fetch begins before the first would have timed out.
fn a_fetch_that_a_lost_connection_ends() -> Scenario {
    let fault = FetchFault::TimedOut;
    let spoil = Happening::SpoilFetches { follower: 0, fault, count: 4 };
    scenario(&[(200, CUT), (200, WRITE), (300, spoil), (1_700, CUT), (1_700, WRITE)])
}

/// A call waits for its writer's log, and the way between them is lost: nothing ever comes.
fn a_call_that_nothing_comes_back_of() -> Scenario {
    let stall = Happening::StallWriter { writer: 0, ms: 3_000 };
    let fault = FetchFault::NoEndpoint;
    let no_way = Happening::SpoilFetches { follower: 0, fault, count: 1 };
    scenario(&[(200, CUT), (200, WRITE), (500, stall), (1_700, no_way)])
}

/// What a writer has published is held back, and it dies and comes back before that arrives.
fn a_writer_that_is_heard_after_its_death() -> Scenario {
    let delay = Happening::DelayWriter { writer: 0, ms: 2_000 };
    let crash = Happening::CrashWriter { writer: 0, down_ms: 100 };
    scenario(&[(1_000, delay), (1_100, WRITE), (1_500, crash), (1_700, WRITE)])
}
