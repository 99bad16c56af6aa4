//! Measures the steps per second of the simulation on one core, the oracle included:
//! `cargo run --release -p synrepl-sim --example speed`.

use std::process::ExitCode;

use synrepl_sim::{Marks, Mode, Scenario, run, shrink};

#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement for people")]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let seeds = arguments.next().and_then(|seeds| seeds.parse().ok()).unwrap_or(2_000);
    let mode = match arguments.next().as_deref() {
        Some("calm") => Mode::Calm,
        Some("storm") => Mode::Storm,
        _ => Mode::Swarm,
    };
    let (mut steps, mut rows, mut simulated_ms) = (0, 0, 0);
    let mut marks = Marks::default();
    let begun = std::time::Instant::now();
    for seed in 0..seeds {
        match run(&Scenario::draw(mode, seed)) {
            Ok(report) => {
                steps += report.steps;
                rows += report.rows_delivered;
                simulated_ms += report.simulated_ms;
                marks.unite(report.marks);
            }
            Err(failure) => {
                println!("{failure}\nsmallest: {}", shrink(&failure, None));
                return ExitCode::FAILURE;
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{seeds} seeds, {steps} steps, {rows} rows, {} simulated s", simulated_ms / 1_000);
    println!("{seconds:.2} s: {:.0} steps/s", steps as f64 / seconds);
    println!("not reached: {:?}", marks.missing(synrepl_sim::Mark::ALL).collect::<Vec<_>>());
    ExitCode::SUCCESS
}
