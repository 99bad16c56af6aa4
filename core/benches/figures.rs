//! The limits of the time that a received line may take, each against its floor in the same run.
//!
//! Cases take turns, pass by pass, so that other load of the machine affects all of them alike;
//! medians are compared. The program ends with status 1 if a limit is exceeded.

mod workload;

use std::{process::ExitCode, time::Duration};

use workload::{Case, Group};

/// The number of passes of each case.
const ROUNDS: usize = 21;

/// The limits of a case: a time, and a multiple of the time of another case, its floor.
struct Held {
    group: &'static str,
    case: &'static str,
    ns_max: f64,
    floor: &'static str,
    ratio_max: f64,
}

const HELD: [Held; 4] = [
    Held {
        group: "lines",
        case: "bytes to Notify",
        ns_max: 400.0,
        floor: "floor: fields, UTF-8, RawValue",
        ratio_max: 1.8,
    },
    Held {
        group: "lines",
        case: "bytes to Notify, not validated",
        ns_max: 200.0,
        floor: "floor: fields",
        ratio_max: f64::INFINITY,
    },
    Held {
        group: "events of N writers",
        case: "10 writers",
        ns_max: f64::INFINITY,
        floor: "1 writer",
        ratio_max: 1.3,
    },
    Held {
        group: "events of N writers",
        case: "1,000 writers",
        ns_max: f64::INFINITY,
        floor: "1 writer",
        ratio_max: 1.3,
    },
];

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn main() -> ExitCode {
    let mut missed = false;
    println!("{:<20} {:<40} {:>8} {:>8} {:>7}", "group", "case", "median", "least", "ratio");
    println!("{:<20} {:<40} {:>8} {:>8} {:>7}", "", "", "ns/line", "ns/line", "");
    for Group { name: group, cases } in workload::all() {
        let medians: Vec<(&str, Figure)> = measure(&cases);
        let median_of = |name: &str| {
            medians.iter().find(|(case, _)| *case == name).map(|(_, figure)| figure.median)
        };
        for (case, figure) in &medians {
            let held = HELD.iter().find(|held| held.group == group && held.case == *case);
            let floor = held.map_or(cases[0].name, |held| held.floor);
            let ratio = figure.median / median_of(floor).expect("a floor of this group");
            let verdict = match held {
                Some(held) if figure.median > held.ns_max => {
                    missed = true;
                    format!("MISSED: at most {} ns", held.ns_max)
                }
                Some(held) if ratio > held.ratio_max => {
                    missed = true;
                    format!("MISSED: at most {} times {floor}", held.ratio_max)
                }
                Some(_) => format!("held, against {floor}"),
                None => String::new(),
            };
            let Figure { median, least } = figure;
            println!("{group:<20} {case:<40} {median:>8.1} {least:>8.1} {ratio:>7.2}  {verdict}");
        }
    }
    ExitCode::from(u8::from(missed))
}

/// The CPU time of a line, in nanoseconds.
struct Figure {
    median: f64,
    least: f64,
}

fn measure(cases: &[Case]) -> Vec<(&'static str, Figure)> {
    let mut passes: Vec<Vec<Duration>> = vec![Vec::with_capacity(ROUNDS); cases.len()];
    for _ in 0..ROUNDS {
        for (case, passes) in cases.iter().zip(&mut passes) {
            passes.push(case.pass());
        }
    }
    cases
        .iter()
        .zip(passes)
        .map(|(case, mut passes)| {
            passes.sort_unstable();
            let ns_per_line = |pass: Duration| pass.as_secs_f64() * 1e9 / case.lines as f64;
            let median = ns_per_line(passes[ROUNDS / 2]);
            (case.name, Figure { median, least: ns_per_line(passes[0]) })
        })
        .collect()
}
