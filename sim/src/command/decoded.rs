//! The description of a scenario in plain text.

use std::fmt::Write as _;

use synrepl_sim::{Scenario, Via};

/// Returns one line for each instance, stream and event.
pub(super) fn decoded(scenario: &Scenario) -> String {
    let mut out = String::new();
    for stream in &scenario.streams {
        let writers: Vec<_> = stream
            .writers
            .iter()
            .map(|writer| {
                Scenario::writer_name(usize::from(*writer) % scenario.writers.len().max(1))
            })
            .collect();
        writeln!(out, "  stream {}, written by {}", stream.name, writers.join(", ")).ok();
    }
    for (number, writer) in scenario.writers.iter().enumerate() {
        let name = Scenario::writer_name(number);
        write!(out, "  writer {name}: {:?}", writer.manners).ok();
        if writer.starts_ms > 0 {
            write!(out, ", from {} ms on", writer.starts_ms).ok();
        }
        out.push('\n');
    }
    for (number, plan) in scenario.followers.iter().enumerate() {
        write!(out, "  follower {}:", scenario.follower_name(number)).ok();
        match plan.via {
            Via::Bus => out.push_str(" over the bus"),
            Via::Tcp(dialect) => write!(out, " over direct TCP, {dialect:?}").unwrap_or_default(),
            other => write!(out, " over {other:?}").unwrap_or_default(),
        }
        let start = if plan.from_beginning { ", from the beginning" } else { ", from now" };
        out.push_str(start);
        for (is, what) in [
            (plan.observe_only, ", silent"),
            (plan.tight_limits, ", tight limits"),
            (plan.audit, ", audit"),
            (plan.gives_up, ", gives fetches up"),
            (plan.namesake_of.is_some(), ", with a writer's name"),
        ] {
            out.push_str(if is { what } else { "" });
        }
        if plan.handler_us > 0 {
            write!(out, ", {} us an event", plan.handler_us).ok();
        }
        out.push('\n');
    }
    let (least, most) = scenario.delay_us;
    writeln!(
        out,
        "  messages take {least} to {most} us a leg, pages hold {} rows",
        scenario.page_rows_max
    )
    .ok();
    for event in &scenario.events {
        writeln!(out, "  {:>7} ms  {:?}", event.at_ms, event.what).ok();
    }
    write!(out, "  {:>7} ms  all faults end", scenario.faults_end_ms).ok();
    out
}
