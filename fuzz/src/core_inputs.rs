//! The node under any list of inputs that its contract allows.

mod driver;
mod settings;
mod watch;

use synrepl_core::{
    Action, Config, Input, Node, Timestamp,
    trace::{End, Replayer, TraceLine},
};

use self::{driver::Driver, watch::Watch};
use crate::choices::Choices;

/// Inputs of one run.
const INPUTS_MAX: usize = 300;

/// One input and what the node made of it.
struct Done {
    now: Timestamp,
    input: Input,
    actions: Vec<Action>,
}

/// Decodes settings and inputs as it goes, for ids come from the node. After each step the rules
/// of `Watch` hold; a second node that is given the same list does the same and ends in the same
/// state; and so does one that is given the recorded trace.
pub fn core_inputs(data: &[u8]) {
    let mut choices = Choices::new(data);
    let config = settings::decoded(&mut choices);
    let recorded = choices.below(8) == 7;
    let (node, first, list) = play(&config, choices);
    let (again, first_again) = started(&config);
    assert_eq!(first_again, first);
    check_same(again, &list, &node);
    if recorded {
        check_trace(&config, &first, &list);
    }
}

fn started(config: &Config) -> (Node, Vec<Action>) {
    match Node::new(config.clone()) {
        Ok(mut node) => {
            let first = drained(&mut node);
            (node, first)
        }
        Err(error) => panic!("{error}"),
    }
}

fn drained(node: &mut Node) -> Vec<Action> {
    std::iter::from_fn(|| node.poll_action()).collect()
}

fn play(config: &Config, mut choices: Choices<'_>) -> (Node, Vec<Action>, Vec<Done>) {
    let (mut driver, mut watch) = (Driver::default(), Watch::new(config));
    let (mut node, first) = started(config);
    let mut list: Vec<Done> = Vec::new();
    let mut verdict = first.iter().try_for_each(|action| watch.on_action(action));
    driver.on_actions(&first);
    while verdict.is_ok() && !choices.is_done() && list.len() < INPUTS_MAX && !node.is_stopped() {
        let (now, input) = driver.next_input(&mut choices, node.poll_timeout());
        watch.on_input(&input);
        verdict = node.handle(now, input.clone()).map_err(|misuse| misuse.to_string());
        let actions = drained(&mut node);
        driver.on_actions(&actions);
        verdict = verdict
            .and_then(|()| actions.iter().try_for_each(|action| watch.on_action(action)))
            .and_then(|()| watch.check(&node, now, &input));
        list.push(Done { now, input, actions });
    }
    if let Err(broken) = verdict {
        panic!("{broken}\n{config:?}\n{}", shown(&first, &list));
    }
    (node, first, list)
}

fn shown(first: &[Action], list: &[Done]) -> String {
    let mut text = String::new();
    for action in first {
        text.push_str(&format!("  < {action:?}\n"));
    }
    for Done { now, input, actions } in list {
        text.push_str(&format!("{now} > {input:?}\n"));
        for action in actions {
            text.push_str(&format!("  < {action:?}\n"));
        }
    }
    text
}

fn check_same(mut again: Node, list: &[Done], node: &Node) {
    for (index, Done { now, input, actions }) in list.iter().enumerate() {
        assert_eq!(again.handle(*now, input.clone()), Ok(()), "input {index}");
        assert_eq!(&drained(&mut again), actions, "input {index}, {input:?}");
    }
    assert!(again == *node, "same actions, another state");
}

fn check_trace(config: &Config, first: &[Action], list: &[Done]) {
    let mut written = Vec::new();
    let mut write = |line: TraceLine<'_>| {
        if let Err(error) = line.append_to(&mut written) {
            panic!("{error}: {line:?}");
        }
    };
    write(TraceLine::header(config));
    first.iter().for_each(|action| write(TraceLine::action(action)));
    for Done { now, input, actions } in list {
        write(TraceLine::input(*now, input));
        actions.iter().for_each(|action| write(TraceLine::action(action)));
    }
    let mut replayer = Replayer::new();
    for line in written.split_inclusive(|byte| *byte == b'\n') {
        if let Err(error) = replayer.line(line) {
            panic!("{error}: {}", String::from_utf8_lossy(line));
        }
    }
    match replayer.finish(b"") {
        Ok(replay) => assert_eq!((replay.inputs, replay.end), (list.len() as u64, End::Complete)),
        Err(error) => panic!("{error}"),
    }
}
