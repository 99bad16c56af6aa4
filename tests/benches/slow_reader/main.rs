//! Shows that a follower that stops reading costs the others nothing (promise P5).
//!
//! `synrepl serve` writes to 20 followers over direct TCP, each on a thread. Then one more connects
//! and never reads. Two figures are measured before, during and after: the time from handing a row
//! to the writer until a follower has it (a durable append included), and the writer's memory. The
//! bench fails if the sleeper is not cut off at the limit, if a follower misses a row, or if delay
//! or memory grows beyond its bound.
#![expect(clippy::print_stdout, reason = "the table is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures time, and writes at a pace")]

mod follower;
mod process;

use std::{
    error::Error,
    io::Write as _,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use self::{
    follower::{Follower, Sleeper},
    process::Writer,
};

type Failure = Box<dyn Error + Send + Sync>;

const FOLLOWERS: usize = 20;
const PHASES: [&str; 3] = ["before", "with a sleeper", "after"];
/// The number of rows per second.
const RATE: u32 = 5_000;
/// The time of each phase without a sleeper.
const QUIET: Duration = Duration::from_secs(4);
/// The time in which the sleeper must be cut off: what the system buffers for it, and 10,000
/// commands, are written in 5 s.
const PATIENCE: Duration = Duration::from_secs(30);
/// The size of an event's row.
const PADDING: usize = 300;
/// The factor by which the slowest hundredth of the others' rows may take longer.
const SLOWER_MAX: f64 = 3.0;
/// The memory that the sleeper may cost: its queue of 10,000 commands, and what goes with it.
const GROWTH_KIB_MAX: u64 = 24 << 10;

/// The figures of one phase.
struct Seen {
    median: Duration,
    slowest_hundredth: Duration,
    rss_kib: u64,
}

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut writer = Writer::start()?;
    let start = Instant::now();
    let phase = Arc::new(AtomicUsize::new(0));
    let followers = (0..FOLLOWERS)
        .map(|_| Follower::start(writer.address(), start, Arc::clone(&phase)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut rss = [0; PHASES.len()];
    let mut written = 0_u64;

    let mut write_while =
        |writer: &mut Writer, goes_on: &mut dyn FnMut() -> bool, rss: &mut u64| {
            let (began, first) = (Instant::now(), written);
            while goes_on() {
                let micros = u64::try_from(began.elapsed().as_micros())?;
                let due = first + micros * u64::from(RATE) / 1_000_000;
                let rows = due.saturating_sub(written);
                for _ in 0..rows {
                    written += 1;
                    let now = start.elapsed().as_micros();
                    let padding = "x".repeat(PADDING);
                    writeln!(
                        writer.input(),
                        r#"{{"stream":"bench","rows":[[{written},{now},"{padding}"]]}}"#
                    )?;
                }
                writer.input().flush()?;
                *rss = (*rss).max(writer.rss_kib()?);
                // Rows come at a steady rate, as a writer's do.
                thread::sleep(Duration::from_millis(2));
            }
            Ok::<(), Failure>(())
        };

    let quiet = |time: Duration| {
        let until = Instant::now() + time;
        move || Instant::now() < until
    };
    // The first second does not count: buffers grow to their size in it.
    let mut ignored = 0;
    phase.store(PHASES.len(), Ordering::Relaxed);
    write_while(&mut writer, &mut quiet(Duration::from_secs(1)), &mut ignored)?;
    phase.store(0, Ordering::Relaxed);
    write_while(&mut writer, &mut quiet(QUIET), &mut rss[0])?;

    phase.store(1, Ordering::Relaxed);
    let asleep_since = Instant::now();
    let sleeper = Sleeper::connect(writer.address())?;
    let cut_off = writer.watch_for("cut off");
    write_while(
        &mut writer,
        &mut || !cut_off.seen() && asleep_since.elapsed() < PATIENCE,
        &mut rss[1],
    )?;
    let slept = asleep_since.elapsed();
    if !cut_off.seen() {
        return Err(format!("the sleeper was not cut off within {PATIENCE:?}").into());
    }
    drop(sleeper);

    phase.store(2, Ordering::Relaxed);
    write_while(&mut writer, &mut quiet(QUIET), &mut rss[2])?;

    writer.wait_until_acknowledged(written)?;
    let mut latencies = vec![Vec::new(); PHASES.len()];
    for follower in followers {
        for (all, one) in latencies.iter_mut().zip(follower.finish(written)?) {
            all.extend(one);
        }
    }
    let mut seen = Vec::new();
    for (latencies, rss_kib) in latencies.iter_mut().zip(rss) {
        latencies.sort_unstable();
        let at = |share: usize| {
            latencies
                .get(latencies.len() * share / 100)
                .copied()
                .ok_or("no row was seen in a phase")
        };
        let (median, slowest_hundredth) = (at(50)?, at(99)?);
        seen.push(Seen { median, slowest_hundredth, rss_kib });
    }
    report(&seen, slept, written)
}

fn report(seen: &[Seen], slept: Duration, written: u64) -> Result<(), Failure> {
    println!(
        "{FOLLOWERS} followers, {RATE} rows/s of {PADDING} B, {written} rows; the sleeper was"
    );
    println!("cut off after {:.1} s", slept.as_secs_f64());
    println!("{:<16}{:>12}{:>12}{:>14}", "", "median", "99 %", "memory");
    for (name, seen) in PHASES.iter().zip(seen) {
        println!(
            "{name:<16}{:>9.2} ms{:>9.2} ms{:>10} KiB",
            seen.median.as_secs_f64() * 1e3,
            seen.slowest_hundredth.as_secs_f64() * 1e3,
            seen.rss_kib
        );
    }
    let [before, during, _] = seen else { return Err("a phase is missing".into()) };
    let slower = during.slowest_hundredth.as_secs_f64() / before.slowest_hundredth.as_secs_f64();
    let growth = during.rss_kib.saturating_sub(before.rss_kib);
    println!("the slowest hundredth took {slower:.2} times as long (at most {SLOWER_MAX})");
    println!("memory grew by {growth} KiB (at most {GROWTH_KIB_MAX})");
    if slower > SLOWER_MAX {
        return Err("the others were delayed".into());
    }
    if growth > GROWTH_KIB_MAX {
        return Err("the sleeper costs too much memory".into());
    }
    Ok(())
}
