//! The target for following: the core and a plain follower are given the same inputs, and must
//! deliver the same rows (promises F1 to F10).

mod account;
mod naive;
mod starts;
mod world;
mod writers;

use std::time::Duration;

use synrepl_core::{Action, Config, Input, Node, Start, Timestamp};

use self::{
    account::{Account, Verdict},
    naive::Naive,
    world::World,
};
use crate::choices::Choices;

/// The most choices of one run.
const CHOICES_MAX: usize = 400;

/// The most inputs without faults within which everything must be delivered.
const FAULTLESS_INPUTS_MAX: usize = 4_000;

/// A time longer than every delay after which the core tries again by itself.
const LONG: Duration = Duration::from_secs(120);

/// Checks that the core delivers what a plain follower delivers, while writers that keep the rules
/// publish over a bus that breaks.
pub fn reference_follower(data: &[u8]) {
    if let Err(broken) = checked(data) {
        panic!("{broken}");
    }
}

fn checked(data: &[u8]) -> Result<(), String> {
    let mut choices = Choices::new(data);
    let mut config = decoded(&mut choices);
    let world = World::decoded(&mut config, &mut choices);
    let node = Node::new(config.clone()).map_err(|error| error.to_string())?;
    let (naive, account) = (Naive::new(&config), Account::default());
    let mut run = Run { node, naive, account, world, shown: format!("{config:?}\n") };
    run.play(choices).map_err(|broken| format!("{}{broken}", run.shown))
}

/// Decodes limits and starts; zeros give the defaults.
fn decoded(choices: &mut Choices<'_>) -> Config {
    let mut config = Config::default();
    // Each answer takes of the choices, and the plain follower asks for nothing twice.
    config.continuity.continuity = false;
    let flags = choices.byte();
    let is_set = |bit: u8| flags >> bit & 1 == 1;
    if is_set(0) {
        config.limits.held_rows_max = 3;
        config.limits.batch_rows_max = 2;
        config.limits.burst_rows_max = 3;
        config.catch_up.burst_window_max = 3;
    }
    if is_set(1) {
        config.start = Start::Beginning;
    }
    if is_set(2) {
        config.catch_up.fetches_in_flight_max = 1;
    }
    if is_set(3) {
        config.catch_up.fetch_attempts_max = Some(2);
    }
    if is_set(4) {
        config.streams = Some(["events", "typing", "backfill"].map(str::to_owned).into());
    }
    if is_set(5) {
        config.limits.held_bytes_max = 412;
    }
    config
}

struct Run {
    node: Node,
    naive: Naive,
    account: Account,
    world: World,
    /// The inputs and actions so far, for the report.
    shown: String,
}

impl Run {
    fn play(&mut self, mut choices: Choices<'_>) -> Verdict {
        self.drain()?;
        for _ in 0..CHOICES_MAX {
            if choices.is_done() {
                break;
            }
            if let Some(input) = self.world.next_input(&mut choices, self.node.poll_timeout()) {
                self.step(input)?;
            }
        }
        self.world.heal();
        self.settle()
    }

    /// Plays on without faults until everything must have been delivered, then compares.
    fn settle(&mut self) -> Verdict {
        let end = self.world.now + LONG;
        for _ in 0..FAULTLESS_INPUTS_MAX {
            let input = match self.world.faultless_input() {
                Some(input) => input,
                None => match self.node.poll_timeout().filter(|at| *at <= end) {
                    Some(at) => {
                        self.world.now = at.max(self.world.now);
                        Input::Tick
                    }
                    None => return self.account.check_same(&self.naive, &self.node.positions()),
                },
            };
            self.step(input)?;
        }
        Err("F7: busy without an end".to_owned())
    }

    fn step(&mut self, input: Input) -> Verdict {
        let now: Timestamp = self.world.now;
        self.shown.push_str(&format!("{now} > {input:?}\n"));
        self.naive.on_input(now, &input, &self.world.writers.logs);
        self.node.handle(now, input).map_err(|misuse| misuse.to_string())?;
        self.drain()?;
        self.account.check_behind(&self.naive)
    }

    fn drain(&mut self) -> Verdict {
        while let Some(action) = self.node.poll_action() {
            self.shown.push_str(&format!("  < {action:?}\n"));
            self.world.on_action(&action);
            if let Action::Notify(event) = &action {
                self.account.on_event(event, &self.world)?;
            }
        }
        Ok(())
    }
}
