//! The `run` command: plays many seeds, and reports the promises that they break.

use std::time::Duration;

use serde::Serialize;
use synrepl_sim::{Level, Report, Scenario, Violation};

use super::{
    engine::{self, Compared},
    exit::{Ending, Refusal},
    flags::RunFlags,
    interrupt::Interrupt,
    output::Output,
    planted::Bug,
    pool,
    progress::{Progress, thousands},
    reporter::{Reporter, say_compared},
    seeds::Seeds,
};

/// The seeds that are played by default.
const SEEDS: Seeds = Seeds::new(0, 1_000);

/// The result of one seed.
struct Played {
    scenario: Scenario,
    report: Report,
    violation: Option<Violation>,
    compared: Option<Compared>,
}

/// The sums over all seeds.
#[derive(Debug, Default)]
struct Total {
    seeds: u64,
    broken: u64,
    steps: u64,
    rows_written: u64,
    rows_delivered: u64,
    rows_fetched: u64,
    gaps: u64,
    resets: u64,
    overflows: u64,
    worse: [u64; 4],
}

#[derive(Serialize)]
struct Line<'a> {
    seed: u64,
    mode: &'a str,
    steps: u64,
    rows_written: u64,
    rows_delivered: u64,
    fingerprint: String,
    broken: bool,
}

pub(super) fn run(
    flags: &RunFlags,
    output: &mut Output,
    interrupt: &Interrupt,
) -> Result<Ending, Refusal> {
    let seeds = flags.draw.seeds_or(SEEDS);
    let (mode, level) = (flags.draw.mode, flags.draw.level);
    let (bug, reference) = (flags.play.bug.as_ref(), flags.play.reference());
    let driver_bug = bug.and_then(Bug::in_driver);
    let mut total = Total::default();
    let mut progress = Progress::new();
    let single = seeds.count() == 1;
    let work = |seed| {
        let scenario = mode.scenario(level, seed);
        let outcome = level.play(&scenario, driver_bug, false);
        let compared = reference.map(|era| engine::compare(&scenario, era, driver_bug));
        let violation = outcome.violations.into_iter().next();
        Played { scenario, report: outcome.report, violation, compared }
    };
    let told = std::cell::Cell::new((0, 0));
    let each = |seed: u64, played: Played| {
        total.add(&played);
        told.set((total.seeds, total.broken));
        let mode = engine::mode_name(played.scenario.mode);
        let Report { steps, rows_written, rows_delivered, fingerprint, .. } = played.report;
        let fingerprint = format!("{fingerprint:016x}");
        let broken = played.violation.is_some();
        let line =
            Line { seed, mode: &mode, steps, rows_written, rows_delivered, fingerprint, broken };
        output.note("run", &line);
        let name = file_name(level, &mode, seed);
        if broken {
            let out = flags.out.as_deref();
            let reporter = Reporter { name, out, level, bug, reference };
            reporter.report(&played.scenario, output);
        } else if let Some(compared) = &played.compared
            && (single || !compared.reference.is_empty() || !compared.ours.is_empty())
            && total.seeds <= COMPARISONS_MAX
        {
            say_compared(seed, &mode, compared, output);
        }
        total.broken < u64::from(flags.failures) && !output.is_gone()
    };
    let complete = pool::over(seeds, interrupt, work, each, || {
        let (done, broken) = told.get();
        progress.tell(|| {
            let (done, all) = (thousands(done), thousands(seeds.count()));
            format!("{done} of {all} seeds, {broken} broken")
        });
    });
    progress.clear();
    total.say(seeds, reference.map(|era| era.name()), progress.elapsed(), complete, output);
    Ok(if total.broken > 0 {
        Ending::Broken
    } else if complete || !interrupt.requested() {
        Ending::Fine
    } else {
        Ending::Interrupted
    })
}

/// The most seeds whose comparisons are printed one by one. The sums are over all.
const COMPARISONS_MAX: u64 = 20;

/// Returns the rate per second as text.
fn rate_of(count: u64, elapsed: Duration) -> String {
    let millis = elapsed.as_millis().max(1);
    thousands(u64::try_from(u128::from(count) * 1_000 / millis).unwrap_or(u64::MAX))
}

impl Total {
    fn add(&mut self, played: &Played) {
        let Played { report, violation, compared, .. } = played;
        self.seeds += 1;
        self.broken += u64::from(violation.is_some());
        self.steps += report.steps;
        self.rows_written += report.rows_written;
        self.rows_delivered += report.rows_delivered;
        self.rows_fetched += report.rows_fetched;
        self.gaps += report.gaps;
        self.resets += report.resets;
        self.overflows += report.overflows;
        if let Some(Compared { reference: it, .. }) = compared {
            let counts = [it.lost.len(), it.repeated.len(), it.mixed.len(), it.torn.len()];
            for (sum, count) in self.worse.iter_mut().zip(counts) {
                *sum += count as u64;
            }
        }
    }

    fn say(
        &self,
        seeds: Seeds,
        reference: Option<&str>,
        elapsed: Duration,
        complete: bool,
        output: &mut Output,
    ) {
        let seconds = elapsed.as_secs_f64();
        let rate = self.steps as f64 / seconds.max(1e-9);
        let text = || {
            let of = if complete { "" } else { ", not all of them played" };
            let mut text = format!(
                "{} of {} seeds ({seeds}{of}) broke a promise\n{} steps in {seconds:.1} s, {} a \
                 second; {} rows written, {} delivered, {} of them fetched; {} gaps, {} resets, \
                 {} overflows",
                thousands(self.broken),
                thousands(self.seeds),
                thousands(self.steps),
                rate_of(self.steps, elapsed),
                thousands(self.rows_written),
                thousands(self.rows_delivered),
                thousands(self.rows_fetched),
                thousands(self.gaps),
                thousands(self.resets),
                thousands(self.overflows),
            );
            if let Some(era) = reference {
                let [lost, repeated, mixed, torn] = self.worse.map(thousands);
                text.push_str(&format!(
                    "\nSynapse {era}, same schedules: {lost} rows lost, {repeated} repeated, \
                     {mixed} under another writer or token, {torn} batches torn"
                ));
            }
            text
        };
        output.say(
            text,
            "summary",
            serde_json::json!({
                "seeds": self.seeds,
                "steps": self.steps,
                "seconds": seconds,
                "steps_per_second": rate,
                "broken": self.broken,
                "complete": complete,
            }),
        );
    }
}

/// Returns the name, without ending, of the files about a seed.
fn file_name(level: Level, mode: &str, seed: u64) -> String {
    if level == Level::Logical {
        format!("{mode}-{seed}")
    } else {
        format!("{}-{mode}-{seed}", level.name())
    }
}
