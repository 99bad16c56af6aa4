//! The shrinking of a failing scenario: a [`Failure`] enters, a smaller one that breaks the same
//! promise leaves.

use crate::{
    choice::Choice,
    outcome::{Failure, Outcome},
    planted::DriverBug,
    run::play,
    scenario::Scenario,
};

/// The most runs that one shrinking takes.
const RUNS_MAX: u32 = 2_000;

/// Returns the smallest scenario found that breaks the same promise as `failure`, with its
/// violation.
///
/// Removes events, first in halves and at last one by one, then followers, streams and writers, and
/// then simplifies what is left. Deterministic. `planted` is the bug that the run had, if any.
pub fn shrink(failure: &Failure, planted: Option<DriverBug>) -> Box<Failure> {
    shrink_by(failure, RUNS_MAX, |scenario| play(scenario, Choice { planted, ..Choice::default() }))
}

/// Shrinks as [`shrink`] does, with `play` as the way to play a scenario and at most `runs_max`
/// runs.
pub(crate) fn shrink_by(
    failure: &Failure,
    runs_max: u32,
    play: impl Fn(&Scenario) -> Outcome,
) -> Box<Failure> {
    let mut search = Search { best: Box::new(failure.clone()), play, runs: 0, runs_max };
    loop {
        let before = search.best.scenario.clone();
        search.remove_events();
        search.remove_parts();
        search.make_plainer();
        if search.best.scenario == before || search.runs >= runs_max {
            return search.best;
        }
    }
}

struct Search<P> {
    best: Box<Failure>,
    play: P,
    runs: u32,
    runs_max: u32,
}

impl<P: Fn(&Scenario) -> Outcome> Search<P> {
    fn remove_events(&mut self) {
        let mut chunk = self.best.scenario.events.len().div_ceil(2);
        while chunk > 0 {
            let mut at = 0;
            let mut removed = false;
            while at < self.best.scenario.events.len() {
                let better = self.better(|scenario| {
                    let end = (at + chunk).min(scenario.events.len());
                    scenario.events.drain(at..end);
                });
                removed |= better;
                if !better {
                    at += chunk;
                }
            }
            if !removed || chunk > 1 {
                chunk /= 2;
            }
        }
    }

    fn remove_parts(&mut self) {
        for at in (0..self.best.scenario.followers.len()).rev() {
            if self.best.scenario.followers.len() > 1 {
                self.better(|scenario| {
                    scenario.followers.remove(at);
                });
            }
        }
        for at in (0..self.best.scenario.streams.len()).rev() {
            if self.best.scenario.streams.len() > 1 {
                self.better(|scenario| {
                    scenario.streams.remove(at);
                });
            }
        }
        for stream in 0..self.best.scenario.streams.len() {
            for at in (0..self.best.scenario.streams[stream].writers.len()).rev() {
                if self.best.scenario.streams[stream].writers.len() > 1 {
                    self.better(|scenario| {
                        scenario.streams[stream].writers.remove(at);
                    });
                }
            }
        }
        if self.best.scenario.writers.len() > 1 {
            self.better(|scenario| {
                scenario.writers.pop();
            });
        }
    }

    fn make_plainer(&mut self) {
        self.better(|scenario| scenario.delay_us = (1_000, 1_000));
        self.better(|scenario| scenario.page_rows_max = 100);
        for at in 0..self.best.scenario.followers.len() {
            self.better(|scenario| scenario.followers[at].handler_us = 0);
            self.better(|scenario| scenario.followers[at].tight_limits = false);
            self.better(|scenario| scenario.followers[at].audit = false);
            self.better(|scenario| scenario.followers[at].gives_up = false);
            self.better(|scenario| scenario.followers[at].from_beginning = false);
            self.better(|scenario| scenario.followers[at].namesake_of = None);
        }
        for at in 0..self.best.scenario.writers.len() {
            self.better(|scenario| scenario.writers[at].starts_ms = 0);
        }
        for at in 0..self.best.scenario.events.len() {
            self.better(|scenario| scenario.events[at].what.make_plain());
        }
    }

    /// Keeps a change if the scenario still breaks the same promise with it. Returns whether it was
    /// kept.
    fn better(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut scenario = self.best.scenario.clone();
        change(&mut scenario);
        if scenario == self.best.scenario || self.runs >= self.runs_max {
            return false;
        }
        self.runs += 1;
        match (self.play)(&scenario).violations.into_iter().next() {
            Some(violation) if violation.promise == self.best.violation.promise => {
                *self.best = Failure { violation, scenario };
                true
            }
            Some(_) | None => false,
        }
    }
}
