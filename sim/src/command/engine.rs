//! The command's calls to the library: how scenarios are drawn, played, compared and shrunk.

use std::{fmt, str::FromStr};

use synrepl_sim::{
    Choice, DriverBug, Failure, Level, Mode, Pattern, Scenario, Via, play,
    reference::{Company, Era, Losses},
    trace::Trace,
};

/// The way in which scenarios are drawn from seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drawn {
    /// The mode depends on the seed: of eight seeds, four are swarm, two storm, one calm and one a
    /// pattern.
    Mixed,
    /// All scenarios are drawn in this mode.
    In(Mode),
}

impl Drawn {
    /// Returns every value.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let modes = [Mode::Calm, Mode::Swarm, Mode::Storm].into_iter();
        let patterns = Pattern::ALL.into_iter().map(Mode::Pattern);
        std::iter::once(Self::Mixed).chain(modes.chain(patterns).map(Self::In))
    }

    /// Returns the names of all values, separated by commas.
    pub(super) fn names() -> String {
        Self::all().map(|drawn| drawn.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Returns the mode of this seed.
    fn mode(self, seed: u64) -> Mode {
        match (self, seed % 8) {
            (Self::In(mode), _) => mode,
            (Self::Mixed, 0..=3) => Mode::Swarm,
            (Self::Mixed, 4 | 5) => Mode::Storm,
            (Self::Mixed, 6) => Mode::Calm,
            (Self::Mixed, _) => {
                let count = Pattern::ALL.len() as u64;
                let index = usize::try_from(seed / 8 % count).unwrap_or_default();
                Mode::Pattern(Pattern::ALL[index])
            }
        }
    }

    /// Returns the scenario of this seed, with the faults that only this level has.
    pub(super) fn scenario(self, level: Level, seed: u64) -> Scenario {
        level.complete(Scenario::draw(self.mode(seed), seed))
    }
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mixed => f.write_str("mixed"),
            Self::In(mode) => f.write_str(&mode_name(*mode)),
        }
    }
}

impl FromStr for Drawn {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::all().find(|drawn| drawn.to_string() == name);
        found.ok_or_else(|| format!("there is no mode {name:?}; there are {}", Self::names()))
    }
}

/// Returns the name of a mode on the command line and in file names.
pub(super) fn mode_name(mode: Mode) -> String {
    synrepl_sim::report::mode_name(mode)
}

/// The results of our core and of the reference under one schedule.
#[derive(Clone, Debug)]
pub(super) struct Compared {
    pub(super) era: Era,
    pub(super) ours: Losses,
    pub(super) reference: Losses,
}

/// Plays a scenario up to the first broken promise and returns its trace.
pub(super) fn trace(level: Level, scenario: &Scenario, bug: Option<DriverBug>) -> Trace {
    level.play(scenario, bug, true).trace.unwrap_or_else(|| Trace::empty(scenario))
}

/// Plays a scenario to its end, once with our core, with `bug` if there is one, and once with the
/// reference. All followers are moved to the bus, which every era supports.
pub(super) fn compare(scenario: &Scenario, era: Era, bug: Option<DriverBug>) -> Compared {
    let mut scenario = scenario.clone();
    scenario.followers.iter_mut().for_each(|plan| plan.via = Via::Bus);
    let losses = |company: &Company, bug| {
        let mut choice = Choice::default();
        choice.cast = company;
        choice.planted = bug;
        choice.to_the_end = true;
        company.losses(&play(&scenario, choice).logs)
    };
    let ours = losses(&Company::ours(), bug);
    let reference = losses(&Company::of(era.rules()), None);
    Compared { era, ours, reference }
}

/// Returns the smallest scenario found that breaks the same promise; `None` if this one breaks
/// none.
pub(super) fn shrink(
    level: Level,
    scenario: &Scenario,
    bug: Option<DriverBug>,
) -> Option<Scenario> {
    let violation = level.play(scenario, bug, false).violations.into_iter().next()?;
    let failure = Failure { violation, scenario: scenario.clone() };
    Some(level.shrink(&failure, bug).scenario)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_has_a_name_of_its_own_by_which_it_is_found() {
        for drawn in Drawn::all() {
            assert_eq!(drawn.to_string().parse(), Ok(drawn));
        }
    }

    #[test]
    fn mixed_seeds_are_of_every_mode() {
        let seeds = 8 * Pattern::ALL.len() as u64;
        let seen: Vec<_> = (0..seeds).map(|seed| Drawn::Mixed.mode(seed)).collect();
        for drawn in Drawn::all() {
            if let Drawn::In(mode) = drawn {
                assert!(seen.contains(&mode), "{drawn}");
            }
        }
    }
}
