//! Runs the model checker, and says how much it has seen.

use std::{fmt, fs, hash::Hash, path::Path, time::Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// If this variable is set to `large`, the worlds are larger and take minutes instead of seconds.
const BOUNDS: &str = "SYNREPL_MODEL_BOUNDS";

/// Whether the larger worlds are asked for.
pub(super) fn bounds_are_large() -> bool {
    std::env::var_os(BOUNDS).is_some_and(|bounds| bounds == "large")
}

/// A property that does not hold, and the steps that show it.
#[derive(Debug)]
pub(super) struct Found {
    property: &'static str,
    why: String,
    steps: Vec<String>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not true that {}: {}\nafter", self.property, self.why)?;
        self.steps.iter().try_for_each(|step| write!(f, "\n  {step}"))
    }
}

/// Visits every state and prints how many there are; returns it. Depth first, which keeps in
/// memory only one path and its neighbours.
///
/// # Panics
/// If a property does not hold in one of them, with the steps that lead there.
#[expect(clippy::disallowed_methods, reason = "how long it takes is told, and decides nothing")]
pub(super) fn visit_all<M>(name: &str, model: M, why: fn(&M::State) -> String) -> usize
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + fmt::Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + fmt::Debug + PartialEq + Send + Sync,
{
    let started = Instant::now();
    let checker =
        model.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
    let (unique, reached) = (checker.unique_state_count(), checker.state_count());
    let (depth, seconds) = (checker.max_depth(), started.elapsed().as_secs_f32());
    println!("{name}: {unique} states, reached {reached} times, depth {depth}, {seconds:.1} s");
    if let Some(found) = first(&checker, why) {
        panic!("{name}: {found}");
    }
    for property in checker.model().properties() {
        let never = is_example(&property.expectation) && checker.discovery(property.name).is_none();
        assert!(!never, "{name}: never {}", property.name);
    }
    unique
}

/// The shortest way to a state in which a property does not hold, if there is one.
pub(super) fn shortest<M>(name: &str, model: M, why: fn(&M::State) -> String) -> Option<Found>
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + fmt::Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + fmt::Debug + PartialEq + Send + Sync,
{
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = first(&checker, why);
    match &found {
        Some(found) => {
            let (states, steps) = (checker.unique_state_count(), found.steps.len());
            println!("{name}: found in {states} states, {steps} steps: {}", found.why);
        }
        None => println!("{name}: not in {} states", checker.unique_state_count()),
    }
    found
}

/// Whether the world that shows this bug is to be played: where a bug is planted, only its own.
///
/// # Panics
/// If the file of the bug does not say that the model checker must catch it.
#[track_caller]
pub(super) fn is_wanted(bug: &str) -> bool {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("bugs/{bug}.toml"));
    let text = fs::read_to_string(&file).unwrap_or_default();
    assert!(text.contains(r#""model""#), "{} does not name the model checker", file.display());
    std::env::var("SYNREPL_PLANTED").map_or(true, |planted| planted == bug)
}

fn first<M>(checker: &impl Checker<M>, why: fn(&M::State) -> String) -> Option<Found>
where
    M: Model,
    M::State: Clone + fmt::Debug + Hash + PartialEq,
    M::Action: Clone + fmt::Debug + PartialEq,
{
    let broken = checker
        .model()
        .properties()
        .into_iter()
        .filter(|property| !is_example(&property.expectation));
    let (property, path) = broken
        .into_iter()
        .find_map(|property| Some((property.name, checker.discovery(property.name)?)))?;
    let why = why(path.last_state());
    let steps = path.into_actions().iter().map(|step| format!("{step:?}")).collect();
    Some(Found { property, why, steps })
}

fn is_example(expectation: &Expectation) -> bool {
    match expectation {
        Expectation::Sometimes => true,
        Expectation::Always | Expectation::Eventually => false,
    }
}
