//! The planted bugs. Those of shipped code are edits of a copy of the workspace, which is built by
//! itself and run with one of them on; those of the simulated driver are options of the library.

mod catalogue;
mod copy;
mod edit;
mod engines;

use std::{env, fmt, os::unix::process::CommandExt as _, str::FromStr};

use synrepl_sim::DriverBug;

pub(super) use self::{
    catalogue::{Catalogue, EditBug},
    engines::{Bench, Engine, NOTHING, Verdict},
};
use super::exit::Refusal;

/// Whether this program is built from the copy, which has every edit.
const IS_COPY: bool = false;

/// The environment variable that names the bug that is on in the copy.
const SWITCH: &str = "SYNREPL_PLANTED";

/// A planted bug, as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// A bug of the simulated driver.
    Driver(DriverBug),
    /// A bug of shipped code, by the name of its file.
    Edit(String),
}

impl Bug {
    /// Returns all bugs of the simulated driver.
    pub(super) fn all_of_driver() -> impl Iterator<Item = Self> {
        DriverBug::ALL.iter().copied().map(Self::Driver)
    }

    /// Returns the option for the library, if this is a bug of the simulated driver.
    pub(super) const fn in_driver(&self) -> Option<DriverBug> {
        match self {
            Self::Driver(bug) => Some(*bug),
            Self::Edit(_) => None,
        }
    }

    /// Returns whether this process has the bug, or can have it. Other bugs are left to the copy.
    pub(super) fn is_here(&self) -> bool {
        match self {
            Self::Driver(_) => true,
            Self::Edit(name) => IS_COPY && env::var(SWITCH).is_ok_and(|on| on == *name),
        }
    }

    /// Returns the file of a bug of shipped code.
    ///
    /// # Errors
    /// [`Refusal`] if there is no such bug.
    pub(super) fn find<'a>(name: &str, catalogue: &'a Catalogue) -> Result<&'a EditBug, Refusal> {
        catalogue.get(name).ok_or_else(|| {
            let names = catalogue.iter().map(|(name, _)| name.to_owned());
            let names: Vec<_> = names.chain(Self::all_of_driver().map(|b| b.to_string())).collect();
            let all = names.join(", ");
            Refusal::new(format!("there is no planted bug {name:?}; there are {all}"))
        })
    }
}

impl FromStr for Bug {
    type Err = std::convert::Infallible;

    /// Parses the name of a file, such as `never_resets`; `NeverResets` means the same.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let mut snake = String::new();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() && !snake.is_empty() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        }
        let driver = DriverBug::ALL.iter().find(|bug| bug.name() == snake);
        Ok(driver.map_or(Self::Edit(snake), |bug| Self::Driver(*bug)))
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Driver(bug) => f.write_str(bug.name()),
            Self::Edit(name) => f.write_str(name),
        }
    }
}

/// Replaces this process by the copy's program, which has the bug, with the same arguments. Returns
/// only if that fails.
pub(super) fn leave_to_copy(bug: &Bug) -> Refusal {
    let made = || {
        let catalogue = Catalogue::here()?;
        let name = bug.to_string();
        Bug::find(&name, &catalogue)?;
        Ok(Bench::build(&catalogue, &[Engine::Kept])?.command(&name))
    };
    match made() {
        Ok(mut command) => {
            let error = command.args(env::args_os().skip(1)).exec();
            Refusal::new(format!("the copy's program cannot be run: {error}"))
        }
        Err(refusal) => refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_is_found_by_the_name_of_its_file_or_type() {
        let bug = |name: &str| name.parse::<Bug>().unwrap();
        assert_eq!(bug("never_ticks"), Bug::Driver(DriverBug::NeverTicks));
        assert_eq!(bug("NeverTicks"), Bug::Driver(DriverBug::NeverTicks));
        assert_eq!(bug("NeverResets"), Bug::Edit("never_resets".to_owned()));
        assert!(Bug::all_of_driver().all(|driver| bug(&driver.to_string()) == driver));
    }
}
