//! Measures what publishing costs: an update to 100 connections without the system calls, and
//! updates over Redis until they are confirmed. Each is compared with its floor in the same run.
//!
//! Peers are sinks that take everything at once, so what is measured is all that the process does
//! but for the writes themselves: log, core, encoding, hand-over, the peers' tasks, and the reports
//! of what has gone out. The figure is CPU time of the one thread that all of it runs on.
//!
//! It is of updates in a row, as Synapse's is: handing lines over, which no event loop interrupts.
//! One update at a time is shown beside it: there each delivery pays for the wake of its peer's
//! task and for a report of its own.
//!
//! The program ends with status 1 if a figure is missed.

mod redis;
mod sinks;
mod writer;

use std::{process::ExitCode, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use rustix::time::{ClockId, clock_gettime};
use synrepl::{
    Dialect,
    core::wire::{Command, Rdata, encode},
};

/// The number of passes of each case; medians are compared.
const ROUNDS: usize = 7;

/// The nanoseconds that Synapse takes per delivery: 594.1 us for an update to 100 connections.
const REFERENCE_NS: f64 = 5_941.0;

/// The factor by which a delivery has to be cheaper than that.
const TIMES_CHEAPER: f64 = 50.0;

/// The name of the case that is only shown: no limit is set for it.
const SHOWN_ONLY: &str = "one update at a time";

/// The number of updates that have to be confirmed each second.
const CONFIRMED_PER_SECOND: f64 = 100_000.0;

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn main() -> ExitCode {
    let mut cases = [
        ("floor: one encoding, 100 clones", Vec::new()),
        ("updates in a row", Vec::new()),
        (SHOWN_ONLY, Vec::new()),
    ];
    for _ in 0..ROUNDS {
        cases[0].1.push(floor_ns());
        cases[1].1.push(sinks::pass_ns(sinks::Pace::InARow));
        cases[2].1.push(sinks::pass_ns(sinks::Pace::OneAtATime));
    }
    println!(
        "{:<34} {:>12} {:>12} {:>12} {:>16}",
        "to 100 connections", "ns/delivery", "least", "floors", "reference/this"
    );
    let floor = median(&mut cases[0].1);
    let mut held = true;
    for (name, times) in &mut cases {
        let (middle, least) = (median(times), times[0]);
        let cheaper = REFERENCE_NS / middle;
        held &= cheaper >= TIMES_CHEAPER || *name == SHOWN_ONLY;
        println!(
            "{name:<34} {middle:>12.1} {least:>12.1} {:>12.1} {cheaper:>16.1}",
            middle / floor
        );
    }
    println!("{}: at least {TIMES_CHEAPER} times cheaper than the reference", verdict(held));

    match redis::measure() {
        Ok(measured) => {
            let is_fast = measured.print() >= CONFIRMED_PER_SECOND;
            println!("{}: at least {CONFIRMED_PER_SECOND} a second", verdict(is_fast));
            held &= is_fast;
        }
        Err(error) => println!("\nno redis-server, so nothing over Redis: {error}"),
    }
    ExitCode::from(u8::from(!held))
}

/// Returns the cost that cannot be avoided, in nanoseconds per delivery: the line, encoded once,
/// and a reference to it for each connection.
fn floor_ns() -> f64 {
    const UPDATES: u32 = 20_000;
    let command = Command::Rdata(Rdata {
        stream: "events".into(),
        instance: "writer".into(),
        token: Some(1_234_567.into()),
        row: writer::row(7).as_str().into(),
    });
    let mut waiting: Vec<Bytes> = Vec::with_capacity(sinks::PEERS);
    let start = cpu_time();
    for _ in 0..UPDATES {
        let mut line = BytesMut::new();
        encode(&command, Dialect::V1_22, &mut line).expect("a line");
        line.put_u8(b'\n');
        let line = line.freeze();
        for _ in 0..sinks::PEERS {
            waiting.push(std::hint::black_box(line.clone()));
        }
        waiting.clear();
    }
    nanos_each(cpu_time() - start, f64::from(UPDATES) * sinks::PEERS as f64)
}

/// Sorts the values, and returns the middle one.
fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn nanos_each(time: Duration, count: f64) -> f64 {
    time.as_secs_f64() * 1e9 / count
}

/// Returns the CPU time of this thread.
fn cpu_time() -> Duration {
    time(ClockId::ThreadCPUTime)
}

fn time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("nanoseconds"))
}

fn verdict(held: bool) -> &'static str {
    if held { "held" } else { "MISSED" }
}
