//! The commands of a writer on the bus, one by one, against a simple model of a writer (promises P1
//! to P4). The store answers at once; slow and failing ones are in `publish_faults.rs`.

use std::collections::VecDeque;

use crate::writer::{Writer, unconnected};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

/// In the order in which they are announced. Tokens of the second can start over.
const STREAMS: [&str; 2] = ["s", "typing"];

#[derive(Clone, Debug)]
enum Step {
    /// Tokens move on by one and `skip`; no rows: they went elsewhere.
    Append {
        stream: usize,
        rows: usize,
        skip: i64,
    },
    /// So many commands are confirmed, as far as there are.
    Confirm {
        count: usize,
    },
    /// Another instance asks where everyone stands.
    Ask,
    Lose,
    Connect,
}

#[derive(Clone, Debug, Default)]
struct Own {
    log: Vec<(i64, Vec<String>)>,
    end: i64,
    sent: i64,
    confirmed: i64,
    highest: i64,
    told: i64,
    /// Something is confirmed.
    heard: bool,
}

/// One command that was sent and not confirmed: the stream, and the token that it completes.
type Unconfirmed = Option<(usize, i64)>;

#[derive(Clone, Debug)]
struct Model {
    streams: [Own; STREAMS.len()],
    connections: u64,
    up: bool,
    unconfirmed: VecDeque<Unconfirmed>,
    /// How many of these there are up to the beginning of the last announcement of everything.
    announcing: usize,
    serial: u64,
    said: Vec<String>,
}

impl Model {
    fn say(&mut self, line: &str, completes: Unconfirmed) {
        self.said.push(format!("c{}< {line}", self.connections));
        self.unconfirmed.push_back(completes);
    }

    fn announce(&mut self) {
        self.announcing = self.unconfirmed.len() + 1;
        for (stream, name) in STREAMS.iter().enumerate() {
            let at = self.streams[stream].sent;
            self.say(&format!("POSITION {name} me {at} {at}"), Some((stream, at)));
        }
    }

    /// Everything above what was sent.
    fn catch_up(&mut self, stream: usize) {
        let name = STREAMS[stream];
        let mut at = self.streams[stream].sent;
        for (token, rows) in self.streams[stream].log.clone() {
            if token <= at {
                continue;
            }
            at = token;
            let Some((last, batch)) = rows.split_last() else { continue };
            for row in batch {
                self.say(&format!("RDATA {name} me batch {row}"), None);
            }
            self.say(&format!("RDATA {name} me {token} {last}"), Some((stream, token)));
        }
        let end = self.streams[stream].end;
        if at < end {
            self.say(&format!("POSITION {name} me {at} {end}"), Some((stream, end)));
        }
        let own = &mut self.streams[stream];
        own.sent = end;
        own.highest = own.highest.max(end);
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self {
            streams: Default::default(),
            connections: 1,
            up: false,
            unconfirmed: VecDeque::new(),
            announcing: 0,
            serial: 0,
            said: Vec::new(),
        })
        .boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        prop_oneof![
            6 => (0..STREAMS.len(), 0_usize..4, 0_i64..3)
                .prop_map(|(stream, rows, skip)| Step::Append { stream, rows, skip }),
            4 => (1_usize..6).prop_map(|count| Step::Confirm { count }),
            2 => Just(Step::Ask),
            1 => Just(Step::Lose),
            4 => Just(Step::Connect),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        match step {
            Step::Append { .. } => true,
            Step::Confirm { .. } => state.up && !state.unconfirmed.is_empty(),
            Step::Ask | Step::Lose => state.up,
            Step::Connect => !state.up,
        }
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.said.clear();
        match *step {
            Step::Append { stream, rows, skip } => {
                let rows: Vec<_> = (0..rows)
                    .map(|_| {
                        state.serial += 1;
                        format!("[{}]", state.serial)
                    })
                    .collect();
                let own = &mut state.streams[stream];
                own.end += 1 + skip;
                if !rows.is_empty() {
                    own.log.push((own.end, rows));
                }
                if state.up {
                    state.catch_up(stream);
                }
            }
            Step::Confirm { count } => {
                let count = count.min(state.unconfirmed.len());
                state.announcing = state.announcing.saturating_sub(count);
                for (stream, token) in state.unconfirmed.drain(..count).flatten() {
                    let own = &mut state.streams[stream];
                    own.confirmed = own.confirmed.max(token);
                    own.heard = true;
                }
                for (own, name) in state.streams.iter_mut().zip(STREAMS) {
                    if own.told < own.confirmed {
                        own.told = own.confirmed;
                        state.said.push(format!("published {name} {}", own.told));
                    }
                }
            }
            Step::Ask if state.announcing == 0 => state.announce(),
            // Whoever asks hears the announcement of which nothing has gone out yet.
            Step::Ask => {}
            Step::Lose => {
                state.up = false;
                state.connections += 1;
                state.unconfirmed.clear();
            }
            Step::Connect => {
                state.up = true;
                for (own, name) in state.streams.iter_mut().zip(STREAMS) {
                    let beyond = name == "typing" && own.heard;
                    own.sent = if beyond { own.highest } else { own.confirmed };
                }
                state.say("REPLICATE", None);
                state.announce();
                (0..STREAMS.len()).for_each(|stream| state.catch_up(stream));
            }
        }
        state
    }
}

struct Publishing;

impl StateMachineTest for Publishing {
    type SystemUnderTest = (Writer, Model);
    type Reference = Model;

    fn init_test(model: &Model) -> (Writer, Model) {
        (unconnected(&STREAMS.map(|name| (name, 0)), |_| {}), model.clone())
    }

    fn apply((mut writer, before): (Writer, Model), model: &Model, step: Step) -> (Writer, Model) {
        let mut said = match step {
            Step::Append { stream, .. } => {
                let Own { log, end, .. } = &model.streams[stream];
                let rows = log.last().filter(|(token, _)| token == end);
                let rows: Vec<_> =
                    rows.iter().flat_map(|(_, rows)| rows).map(String::as_str).collect();
                writer.append(STREAMS[stream], *end, &rows)
            }
            Step::Confirm { .. } => {
                let count = before.unconfirmed.len() - model.unconfirmed.len();
                let mut said = writer.sent(u32::try_from(count).expect("a few"));
                // In the order of the confirmations, which is nobody's concern.
                said.sort();
                said
            }
            Step::Ask => writer.hear("REPLICATE "),
            Step::Lose => {
                writer.lose();
                writer.wait(10_000);
                Vec::new()
            }
            Step::Connect => writer.connect(),
        };
        said.retain(|line| !line.starts_with("connect "));
        assert_eq!(said, model.said);
        (writer, model.clone())
    }
}

prop_state_machine! {
    #![proptest_config(crate::cases::kept(200))]

    #[test]
    fn a_writer_says_what_its_log_and_the_confirmations_demand(sequential 1..60 => Publishing);
}
