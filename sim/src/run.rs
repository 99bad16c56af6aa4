//! The entry points that play a scenario: a [`Scenario`] enters, a [`Report`], a [`Failure`] or an
//! [`Outcome`] leaves.

use crate::{
    choice::Choice,
    handler::Handler,
    logical::World,
    outcome::{Failure, Outcome, Report},
    scenario::Scenario,
};

/// Plays a scenario in which the shipped core plays every follower, and every writer of ours.
///
/// # Errors
/// [`Failure`] names the first broken promise.
pub fn run(scenario: &Scenario) -> Result<Report, Box<Failure>> {
    verdict(scenario, play(scenario, Choice::default()))
}

/// Plays a scenario with `handler` as the application of its first follower.
///
/// # Errors
/// [`Failure`] names the first broken promise, which may be one of the application's own.
pub fn run_with_handler<'a>(
    scenario: &'a Scenario,
    handler: &'a mut dyn Handler,
) -> Result<Report, Box<Failure>> {
    let choice = Choice { handler: Some(handler), ..Choice::default() };
    verdict(scenario, play(scenario, choice))
}

/// Plays a scenario with the options of `choice`. Without a writer or a follower the run is empty.
pub fn play<'a>(scenario: &'a Scenario, choice: Choice<'a>) -> Outcome {
    World::new(scenario, choice).play()
}

fn verdict(scenario: &Scenario, outcome: Outcome) -> Result<Report, Box<Failure>> {
    match outcome.violations.into_iter().next() {
        None => Ok(outcome.report),
        Some(violation) => Err(Box::new(Failure { violation, scenario: scenario.clone() })),
    }
}
