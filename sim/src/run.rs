//! Ways to play a scenario.

use crate::{
    choice::Choice,
    handler::Handler,
    logical::World,
    outcome::{Failure, Outcome, Report},
    scenario::Scenario,
};

/// Plays a scenario with the shipped core in every part.
///
/// # Errors
/// The first promise that was broken.
pub fn run(scenario: &Scenario) -> Result<Report, Box<Failure>> {
    verdict(scenario, play(scenario, Choice::default()))
}

/// Plays a scenario with `handler` as the application of its first follower.
///
/// # Errors
/// The first promise that was broken, the application's own included.
pub fn run_with_handler<'a>(
    scenario: &'a Scenario,
    handler: &'a mut dyn Handler,
) -> Result<Report, Box<Failure>> {
    let choice = Choice { handler: Some(handler), ..Choice::default() };
    verdict(scenario, play(scenario, choice))
}

/// Plays a scenario as chosen. A scenario without a writer or a follower is an empty run.
pub fn play<'a>(scenario: &'a Scenario, choice: Choice<'a>) -> Outcome {
    World::new(scenario, choice).play()
}

fn verdict(scenario: &Scenario, outcome: Outcome) -> Result<Report, Box<Failure>> {
    match outcome.violations.into_iter().next() {
        None => Ok(outcome.report),
        Some(violation) => Err(Box::new(Failure { violation, scenario: scenario.clone() })),
    }
}
