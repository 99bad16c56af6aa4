//! `bugs`: the table of planted bugs.

use serde::Serialize;
use synrepl_sim::Planted;

use super::{
    engine::{self, Drawn},
    exit::{Ending, Refusal},
    flags::{BugsFlags, Level},
    interrupt::Interrupt,
    output::Output,
    pool,
    progress::Progress,
    seeds::Seeds,
};

/// Seeds that are played for each bug if none are named.
const SEEDS: Seeds = Seeds::new(0, 3_000);
const SEEDS_OF_NETWORK: Seeds = Seeds::new(0, 40);

#[derive(Serialize)]
struct Line {
    bug: String,
    origin: &'static str,
    description: &'static str,
    caught_in: u64,
    played: u64,
    first_seed: Option<u64>,
}

pub(super) fn run(
    flags: &BugsFlags,
    output: &mut Output,
    interrupt: &Interrupt,
) -> Result<Ending, Refusal> {
    let level = flags.level;
    let bugs: Vec<Planted> = if flags.bug.is_empty() { level.bugs() } else { flags.bug.clone() };
    let default = if level == Level::Logical { SEEDS } else { SEEDS_OF_NETWORK };
    let all_seeds = flags.seeds.unwrap_or(default);
    let mut progress = Progress::new();
    let (mut survivors, mut done) = (Vec::new(), 0);
    output.say(
        || format!("{:>9}  {:<34}  what it does wrong (known from)", "caught in", "planted bug"),
        "begin",
        serde_json::json!({"bugs": bugs.len(), "seeds": all_seeds.count()}),
    );
    for bug in &bugs {
        let name = engine::bug_name(*bug);
        let (mut caught, mut played, mut first) = (0_u64, 0_u64, None::<u64>);
        for scenario in engine::orders(level) {
            played += 1;
            caught += u64::from(!engine::play(level, &scenario, Some(*bug)).violations.is_empty());
        }
        let work = |seed| {
            let scenario = Drawn::Mixed.scenario(level, seed);
            !engine::play(level, &scenario, Some(*bug)).violations.is_empty()
        };
        let each = |seed, is_caught| {
            played += 1;
            if is_caught {
                caught += 1;
                first = Some(first.map_or(seed, |first| first.min(seed)));
            }
            !output.is_gone()
        };
        pool::over(all_seeds, interrupt, work, each, || {
            progress.tell(|| format!("{name}: {done} of {} bugs done", bugs.len()));
        });
        progress.clear();
        if interrupt.requested() || output.is_gone() {
            break;
        }
        done += 1;
        let (origin, description) = (bug.origin(), bug.description());
        let line = Line {
            bug: name.clone(),
            origin,
            description,
            caught_in: caught,
            played,
            first_seed: first,
        };
        output.say(|| format!("{caught:>9}  {:<34}  {description} ({origin})", name), "bug", &line);
        if caught == 0 {
            survivors.push(name);
        }
    }
    let (all, seeds) = (bugs.len(), all_seeds.count());
    output.say(
        || {
            let mut text = format!(
                "{} of {done} bugs caught, each played with {seeds} seeds",
                done - survivors.len()
            );
            if !survivors.is_empty() {
                text.push_str(&format!("; survived: {}", survivors.join(", ")));
            }
            if done < all {
                text.push_str(&format!("; {} not tried", all - done));
            }
            text
        },
        "summary",
        serde_json::json!({
            "bugs": done,
            "survived": survivors,
            "seeds": seeds,
            "complete": done == all,
        }),
    );
    Ok(if !survivors.is_empty() {
        Ending::Broken
    } else if done < all {
        Ending::Interrupted
    } else {
        Ending::Fine
    })
}
