//! The target for the node: any list of inputs that its contract allows enters, and the promises
//! are judged from its actions.

mod accepted;
mod driver;
mod logs;
mod settings;
mod watch;
mod world;

use std::time::Duration;

use synrepl_core::{
    Action, Config, Input, Node, Timestamp,
    trace::{End, Replayer, TraceLine},
};

use self::{
    driver::{Driver, Link},
    settings::Settings,
    watch::Watch,
};
use crate::choices::Choices;

/// The most inputs of the first part of a run.
const INPUTS_MAX: usize = 300;

/// The most inputs without faults within which a node must have nothing left to do.
const FAULTLESS_INPUTS_MAX: usize = 2_000;

/// The upper bits of the byte for the end of a run that turn the audit on, whose settings follow.
const WITH_AUDIT: u8 = 0b010;

/// A time longer than every delay after which a node tries again by itself.
const LONG: Duration = Duration::from_secs(60);

/// One input with its time and the actions that followed.
struct Step {
    now: Timestamp,
    input: Input,
    actions: Vec<Action>,
}

/// Decodes settings, then inputs one by one, because their ids come from the node. Checks that
/// after each step the rules of `Watch` hold; that an input which the contract forbids is refused
/// and changes nothing; that without further faults everything is sent and a shutdown completes;
/// and that a second node, given the same inputs or the recorded trace, emits the same actions and
/// ends in the same state (promise C1).
pub fn core_inputs(data: &[u8]) {
    if let Err(broken) = checked(data) {
        panic!("{broken}");
    }
}

fn checked(data: &[u8]) -> Result<(), String> {
    let mut choices = Choices::new(data);
    let mut settings = settings::decoded(&mut choices);
    let end = choices.byte();
    if end >> 5 == WITH_AUDIT {
        settings::audit(&mut settings.config, &mut choices);
    }
    let (recorded, abrupt) = (end % 8 == 7, end & 8 != 0);
    let mut run = Run::new(&settings, abrupt);
    run.play(choices).map_err(|broken| {
        format!("{broken}\n{:?}\n{}", settings.config, shown(&run.first, &run.list))
    })?;
    let (again, first_again) = started(&settings.config);
    assert_eq!(first_again, run.first);
    check_same(again, &run.list, &run.node);
    if recorded {
        check_trace(&settings.config, &run.first, &run.list);
    }
    Ok(())
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

/// A node under test, with the inputs so far.
struct Run {
    node: Node,
    driver: Driver,
    watch: Watch,
    is_wide: bool,
    /// Whether the shutdown comes before the node has nothing left to do.
    abrupt: bool,
    first: Vec<Action>,
    list: Vec<Step>,
    rows: usize,
}

impl Run {
    fn new(settings: &Settings, abrupt: bool) -> Self {
        let (node, first) = started(&settings.config);
        let driver = Driver::new(&settings.config, settings.is_wide);
        let watch = Watch::new(&settings.config);
        let is_wide = settings.is_wide;
        Self { node, driver, watch, is_wide, abrupt, first, list: Vec::new(), rows: 0 }
    }

    fn play(&mut self, mut choices: Choices<'_>) -> Result<(), String> {
        let first = self.first.clone();
        self.carry_out(&first)?;
        while !choices.is_done() && self.list.len() < INPUTS_MAX && !self.node.is_stopped() {
            let input = self.driver.next_input(&mut choices, self.node.poll_timeout());
            self.step(input)?;
            if self.is_wide && choices.below(16) == 15 {
                self.misuse(&mut choices)?;
            }
        }
        if self.is_wide { self.end() } else { Ok(()) }
    }

    fn carry_out(&mut self, actions: &[Action]) -> Result<(), String> {
        let logs = &self.driver.logs;
        actions.iter().try_for_each(|action| self.watch.on_action(action, logs))?;
        self.driver.on_actions(actions);
        Ok(())
    }

    fn step(&mut self, input: Input) -> Result<(), String> {
        let now = self.driver.now;
        self.watch.on_input(now, &input);
        // A received row may be held, and be requested again in another page.
        let page = rows_of(&input);
        self.rows += page.min(1);
        let actions_max = self.watch.actions_max(&self.node, self.rows + page);
        let verdict = self.node.handle(now, input.clone()).map_err(|misuse| misuse.to_string());
        let actions = drained(&mut self.node);
        self.list.push(Step { now, input: input.clone(), actions: actions.clone() });
        verdict?;
        self.carry_out(&actions)?;
        if actions.len() > actions_max {
            return Err(format!("{} actions for one input, not {actions_max}", actions.len()));
        }
        self.watch.check(&self.node, now, &input)
    }

    /// Checks that an input which breaks the contract is refused and leaves the node as it was.
    fn misuse(&mut self, choices: &mut Choices<'_>) -> Result<(), String> {
        let before = self.node.clone();
        let (now, input) = self.driver.misuse(choices);
        let verdict = self.node.handle(now, input.clone());
        match verdict {
            Ok(()) => Err(format!("taken, against the contract: {input:?}")),
            Err(_) if self.node != before => Err(format!("changed by what it refused: {input:?}")),
            Err(_) => Ok(()),
        }
    }

    /// Checks that without further faults everything goes out, and that a shutdown completes.
    fn end(&mut self) -> Result<(), String> {
        if !self.abrupt {
            for _ in 0..3 {
                self.settle()?;
                self.driver.now = self.driver.now + LONG;
                if !self.node.is_stopped() {
                    self.step(Input::Tick)?;
                }
            }
            self.settle()?;
        }
        if !self.node.is_stopped() {
            if !self.abrupt {
                let is_up = matches!(self.driver.link, Link::Up(_));
                self.watch.check_complete(is_up, &self.driver.logs)?;
            }
            self.step(Input::Shutdown)?;
        }
        self.settle()?;
        if self.node.is_stopped() { Ok(()) } else { Err("a shutdown that does not end".to_owned()) }
    }

    fn settle(&mut self) -> Result<(), String> {
        let mut dull = Choices::new(&[]);
        for _ in 0..FAULTLESS_INPUTS_MAX {
            if self.node.is_stopped() {
                return Ok(());
            }
            let Some(input) = self.driver.faultless_input(&mut dull) else { return Ok(()) };
            self.step(input)?;
        }
        Err("busy without an end, though everything is answered".to_owned())
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the others bring no rows")]
fn rows_of(input: &Input) -> usize {
    match input {
        Input::Received { .. } => 1,
        Input::Fetched { result: Ok(page), .. } | Input::LogRead { result: Ok(page), .. } => {
            page.updates.len()
        }
        _ => 0,
    }
}

fn shown(first: &[Action], list: &[Step]) -> String {
    let mut text = String::new();
    for action in first {
        text.push_str(&format!("  < {action:?}\n"));
    }
    for Step { now, input, actions } in list {
        text.push_str(&format!("{now} > {input:?}\n"));
        for action in actions {
            text.push_str(&format!("  < {action:?}\n"));
        }
    }
    text
}

fn check_same(mut again: Node, list: &[Step], node: &Node) {
    for (index, Step { now, input, actions }) in list.iter().enumerate() {
        assert_eq!(again.handle(*now, input.clone()), Ok(()), "input {index}");
        assert_eq!(&drained(&mut again), actions, "input {index}, {input:?}");
    }
    assert!(again == *node, "same actions, another state");
}

fn check_trace(config: &Config, first: &[Action], list: &[Step]) {
    let mut written = Vec::new();
    let mut write = |line: TraceLine<'_>| {
        if let Err(error) = line.append_to(&mut written) {
            panic!("{error}: {line:?}");
        }
    };
    write(TraceLine::header(config));
    first.iter().for_each(|action| write(TraceLine::action(action)));
    for Step { now, input, actions } in list {
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
