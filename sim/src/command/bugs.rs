//! The `bugs` command: each engine that is requested looks for each planted bug, and what it finds
//! is printed or written as a table. It fails if a bug is not caught by an engine that must.

mod table;

use std::{fs, path::Path};

use serde::Serialize;
use synrepl_sim::{Kept, Level, Outcome, Scenario};

use super::{
    engine::Drawn,
    exit::{Ending, Refusal},
    flags::BugsFlags,
    interrupt::Interrupt,
    output::Output,
    planted::{Bench, Bug, Catalogue, Engine, NOTHING, Verdict},
    pool,
    progress::Progress,
    seeds::Seeds,
};
use table::Table;

/// The seeds that are played for each bug by default.
const SEEDS: Seeds = Seeds::new(0, 3_000);
#[cfg(feature = "network")]
const SEEDS_OF_NETWORK: Seeds = Seeds::new(0, 40);

/// A planted bug with its description and the engines that look for it.
struct Plan {
    bug: Bug,
    origin: String,
    description: String,
    caught_by: Vec<Engine>,
    /// The engines that look for it in this run.
    asked: Vec<Engine>,
}

#[derive(Serialize)]
struct Line<'a> {
    bug: &'a str,
    engine: String,
    origin: &'a str,
    description: &'a str,
    caught_in: u64,
    played: u64,
    first: Option<&'a str>,
    must: bool,
}

pub(super) fn run(
    flags: &BugsFlags,
    output: &mut Output,
    interrupt: &Interrupt,
) -> Result<Ending, Refusal> {
    let plans = plans(flags)?;
    // What an interrupt reaches as well, Cargo and the copy's processes, fails for no other reason.
    let unless_interrupted = |refusal| {
        if interrupt.requested() { Ok(None) } else { Err(refusal) }
    };
    let Some(bench) = bench(&plans, flags.seeds).map(Some).or_else(unless_interrupted)? else {
        return Ok(Ending::Interrupted);
    };
    let mut progress = Progress::new();
    let (mut survivors, mut done) = (Vec::new(), 0);
    let mut table = Table::default();
    output.say(
        || {
            format!(
                "{:<32}  {:<9}  {:>12}  what it does wrong",
                "planted bug", "engine", "caught in"
            )
        },
        "begin",
        serde_json::json!({"bugs": plans.len()}),
    );
    for plan in &plans {
        let name = plan.bug.to_string();
        let mut caught = false;
        for engine in plan.asked.iter().copied() {
            progress.tell(|| format!("{name}, {engine}: {done} of {} bugs done", plans.len()));
            let verdict = match &bench {
                Some(bench) if !plan.bug.is_here() => bench.run(engine, Some(&name), flags.seeds),
                _ => here(engine, &plan.bug, flags.seeds, interrupt),
            };
            progress.clear();
            if interrupt.requested() || output.is_gone() {
                break;
            }
            let verdict = verdict?;
            caught |= verdict.caught_in > 0;
            let must = plan.caught_by.contains(&engine);
            if must && verdict.caught_in == 0 {
                survivors.push(format!("{name} ({engine})"));
            }
            say(plan, &name, engine, &verdict, must, output);
            table.set(&name, engine, &verdict);
        }
        if interrupt.requested() || output.is_gone() {
            break;
        }
        done += 1;
        if !caught && plan.caught_by.is_empty() {
            survivors.push(name);
        }
    }
    let all = plans.len();
    output.say(
        || {
            let mut text = format!("{done} of {all} bugs tried");
            match survivors.is_empty() {
                true => text.push_str(", each caught by whoever must catch it"),
                false => text.push_str(&format!("; survived: {}", survivors.join(", "))),
            }
            text
        },
        "summary",
        serde_json::json!({"bugs": done, "survived": survivors, "complete": done == all}),
    );
    if let Some(path) = &flags.table {
        write_table(path, &table)?;
    }
    Ok(if !survivors.is_empty() {
        Ending::Broken
    } else if done < all {
        Ending::Interrupted
    } else {
        Ending::Fine
    })
}

/// Returns the bugs of shipped code and those of the simulated driver.
fn all_bugs(catalogue: &Catalogue) -> Vec<Bug> {
    let edits = catalogue.iter().map(|(name, _)| Bug::Edit(name.to_owned()));
    edits.chain(Bug::all_of_driver()).collect()
}

/// Puts the cells of this run into the table of a Markdown file.
fn write_table(path: &Path, table: &Table) -> Result<(), Refusal> {
    let failed =
        |error: &dyn std::fmt::Display| Refusal::new(format!("{}: {error}", path.display()));
    let names: Vec<_> = all_bugs(&Catalogue::here()?).iter().map(Bug::to_string).collect();
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    let text = table
        .put_into(&text, &names)
        .map_err(|mark| failed(&format!("the file has no line {mark}")))?;
    fs::write(path, text).map_err(|error| failed(&error))
}

/// Returns the requested bugs with the descriptions in their files.
fn plans(flags: &BugsFlags) -> Result<Vec<Plan>, Refusal> {
    let catalogue = Catalogue::here();
    let bugs = match &*flags.bug {
        [] => all_bugs(catalogue.as_ref().map_err(Refusal::copied)?),
        bugs => bugs.to_vec(),
    };
    let plan = |bug: Bug| {
        let (origin, description, caught_by) = match &bug {
            Bug::Driver(driver) => {
                let (origin, does) = (driver.origin().to_owned(), driver.description().to_owned());
                (origin, does, vec![Engine::Kept, Engine::Logical])
            }
            // The copy only counts; the descriptions and the verdict are the caller's.
            Bug::Edit(_) if bug.is_here() => (String::new(), String::new(), Vec::new()),
            Bug::Edit(name) => {
                let known = Bug::find(name, catalogue.as_ref().map_err(Refusal::copied)?)?;
                (known.origin.clone(), known.does.clone(), known.caught_by.clone())
            }
        };
        let mut asked: Vec<_> = match &*flags.engine {
            [] if flags.matrix => Engine::all().collect(),
            [] if flags.must => caught_by.clone(),
            [] => caught_by.iter().take(1).copied().collect(),
            engines => engines.to_vec(),
        };
        if flags.must {
            asked.retain(|engine| caught_by.contains(engine));
        }
        if flags.matrix || flags.bug.is_empty() {
            // Not every engine has every bug, and not every bug has a kept scenario.
            asked.retain(|engine| {
                let may_be_left_out = *engine == Engine::Kept || matches!(bug, Bug::Driver(_));
                !may_be_left_out || caught_by.contains(engine)
            });
        }
        Ok(Plan { bug, origin, description, caught_by, asked })
    };
    bugs.into_iter().map(plan).collect()
}

/// Builds the engines for the bugs that this process cannot have, and checks that they catch
/// nothing when no bug is on, so that what they catch is the bug.
fn bench(plans: &[Plan], seeds: Option<Seeds>) -> Result<Option<Bench>, Refusal> {
    let mut engines: Vec<_> = plans
        .iter()
        .filter(|plan| !plan.bug.is_here())
        .flat_map(|plan| plan.asked.iter().copied())
        .collect();
    engines.sort_unstable();
    engines.dedup();
    if engines.is_empty() {
        return Ok(None);
    }
    let bench = Bench::build(&Catalogue::here()?, &engines)?;
    for engine in engines {
        let verdict = bench.run(engine, None, seeds)?;
        if verdict.caught_in > 0 {
            let first = verdict.first.unwrap_or_default();
            return Err(Refusal::new(format!("{engine} fails without a bug: {first}")));
        }
    }
    Ok(Some(bench))
}

/// Lets an engine of this process look for a bug that this process has.
fn here(
    engine: Engine,
    bug: &Bug,
    seeds: Option<Seeds>,
    interrupt: &Interrupt,
) -> Result<Verdict, Refusal> {
    let is_caught = |outcome: Outcome| !outcome.violations.is_empty();
    let (level, default) = match engine {
        Engine::Kept => {
            let mut verdict = Verdict::default();
            for name in kept_for(bug)? {
                verdict.played += 1;
                if is_caught(kept(&name)?.play(bug.in_driver())) {
                    verdict.caught_in += 1;
                    verdict.first.get_or_insert(name);
                }
            }
            return Ok(verdict);
        }
        Engine::Logical => (Level::Logical, SEEDS),
        #[cfg(feature = "network")]
        Engine::Turmoil => (Level::Turmoil, SEEDS_OF_NETWORK),
        _ => return Err(Refusal::new(format!("{engine} plays bugs of shipped code only"))),
    };
    let driver_bug = bug.in_driver();
    let play = |scenario: &Scenario| is_caught(level.play(scenario, driver_bug, false));
    let mut verdict = Verdict::default();
    for scenario in level.orders() {
        verdict.played += 1;
        verdict.caught_in += u64::from(play(&scenario));
    }
    let mut first = None::<u64>;
    let seeds = seeds.unwrap_or(default);
    let work = |seed| play(&Drawn::Mixed.scenario(level, seed));
    let each = |seed: u64, is_caught| {
        verdict.played += 1;
        if is_caught {
            verdict.caught_in += 1;
            first = Some(first.map_or(seed, |first| first.min(seed)));
        }
        true
    };
    pool::over(seeds, interrupt, work, each, || {});
    verdict.first = first.map(|seed| seed.to_string());
    Ok(verdict)
}

/// Returns the names of the kept scenarios that are to be played with a bug: its own, or those of
/// all bugs of shipped code if none is on.
fn kept_for(bug: &Bug) -> Result<Vec<String>, Refusal> {
    let name = bug.to_string();
    if name != NOTHING {
        return Ok(vec![name]);
    }
    let catalogue = Catalogue::here()?;
    let has_one = catalogue.iter().filter(|(_, bug)| bug.caught_by.contains(&Engine::Kept));
    Ok(has_one.map(|(name, _)| name.to_owned()).collect())
}

/// Returns the scenario that is kept for the bug of this name.
fn kept(name: &str) -> Result<Kept, Refusal> {
    let path = Catalogue::here()?.kept(name);
    let failed = |error: &dyn std::fmt::Display| {
        Refusal::new(format!("{} cannot be read: {error}", path.display()))
    };
    let text = fs::read(&path).map_err(|error| failed(&error))?;
    serde_json::from_slice(&text).map_err(|error| failed(&error))
}

fn say(plan: &Plan, bug: &str, engine: Engine, verdict: &Verdict, must: bool, output: &mut Output) {
    let Verdict { caught_in, played, first } = verdict;
    let (origin, description) = (&*plan.origin, &*plan.description);
    let line = Line {
        bug,
        engine: engine.name(),
        origin,
        description,
        caught_in: *caught_in,
        played: *played,
        first: first.as_deref(),
        must,
    };
    let share = format!("{caught_in}/{played}");
    output.say(
        || format!("{bug:<32}  {engine:<9}  {share:>12}  {description} ({origin})"),
        "bug",
        &line,
    );
}
