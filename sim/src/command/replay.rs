//! The `replay` and `shrink` commands, which play one scenario from a file.

use synrepl_sim::{Level, Scenario};

use super::{
    engine,
    exit::{Ending, Refusal},
    files,
    flags::FileFlags,
    output::Output,
    planted::Bug,
    reporter::{Reported, Reporter, stem},
};

/// Plays a saved scenario, prints its time line and writes its page.
pub(super) fn replay(flags: &FileFlags, output: &mut Output) -> Result<Ending, Refusal> {
    let (scenario, level) = files::read(&flags.file)?;
    let level = flags.level.unwrap_or(level);
    report(flags, stem(&flags.file), level, &scenario, output)
}

/// Shrinks a failing scenario and reports the smallest one that breaks the same promise.
pub(super) fn shrink(flags: &FileFlags, output: &mut Output) -> Result<Ending, Refusal> {
    let (scenario, level) = files::read(&flags.file)?;
    let level = flags.level.unwrap_or(level);
    let driver_bug = flags.play.bug.as_ref().and_then(Bug::in_driver);
    let Some(small) = engine::shrink(level, &scenario, driver_bug) else {
        output.say(
            || {
                let bug = "; if it needs a planted bug, name it with --bug";
                let bug = if flags.play.bug.is_none() { bug } else { "" };
                format!("No promise is broken, so there is nothing to make smaller{bug}.")
            },
            "summary",
            serde_json::json!({"broken": 0}),
        );
        return Ok(Ending::Fine);
    };
    let (before, after) = (scenario.events.len(), small.events.len());
    output.say(
        || format!("{before} events shrunk to {after}"),
        "shrunk",
        serde_json::json!({"events_before": before, "events_after": after}),
    );
    report(flags, format!("{}-small", stem(&flags.file)), level, &small, output)
}

fn report(
    flags: &FileFlags,
    name: String,
    level: Level,
    scenario: &Scenario,
    output: &mut Output,
) -> Result<Ending, Refusal> {
    let out = flags.out.as_deref();
    let reporter = Reporter {
        name,
        out,
        level,
        bug: flags.play.bug.as_ref(),
        reference: flags.play.reference(),
    };
    let Reported { violation, unwritten } = reporter.report(scenario, output);
    match (violation, unwritten) {
        (Some(_), _) => Ok(Ending::Broken),
        (None, Some(refusal)) => Err(refusal),
        (None, None) => Ok(Ending::Fine),
    }
}
