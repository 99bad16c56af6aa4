//! Measures the way from a Redis socket to the application: the whole driver, in the same run as
//! the `redis` crate that receives the same bytes and does nothing with them.
//!
//! The bytes come first from a stand-in server, so that reading alone is measured; then through a
//! real redis-server (left out with a note if none is in PATH). CPU time is that of the reading
//! thread. The bench ends with status 1 if the driver takes more than the `redis` crate doing
//! nothing.

#[path = "../../../core/benches/workload/corpus.rs"]
mod corpus;
mod readers;
mod real_server;
mod stand_in;
mod workload;

use std::{process::ExitCode, time::Duration};

use readers::{Reader, Reading};
use workload::Workload;

/// The number of turns of each reader at the stand-in server, and at the real one.
const ROUNDS: usize = 9;
const ROUNDS_REAL: usize = 5;
/// The number of times that the corpus is published through the real server in each round.
const REPEATS: usize = 5;

/// The server name, which is also the name of the channel.
const CHANNEL: &str = "matrix.example.org";

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn main() -> ExitCode {
    let lines = corpus::lines("mix", &[]);

    let workload = Workload::new(&lines, 1);
    let server = stand_in::Server::start(workload.as_messages());
    let readings =
        take_turns(ROUNDS, |reader| readers::read(reader, &server.url(), &workload, || ()).0);
    println!("stand-in server, {} messages a pass", workload.messages);
    print_readings(&readings, workload.messages);
    let cpu_of = |reader| median(&readings, reader, |reading| reading.cpu);
    let held = cpu_of(Reader::Synrepl) <= cpu_of(Reader::RedisCrate);
    println!("{}", if held { "held" } else { "MISSED: below the redis crate doing nothing" });

    let workload = Workload::new(&lines, REPEATS);
    match real_server::Server::start() {
        Ok(server) => {
            let commands = workload.as_publishes();
            println!("\nreal redis-server, {} messages a pass", workload.messages);
            let rounds =
                take_turns(ROUNDS_REAL, |reader| server.pass(reader, &workload, &commands));
            real_server::print_passes(&rounds, workload.messages);
        }
        Err(error) => println!("\nno redis-server, so nothing through a real one: {error}"),
    }
    ExitCode::from(u8::from(!held))
}

/// The result of each reader in each round, round by round.
fn take_turns<R>(rounds: usize, mut pass: impl FnMut(Reader) -> R) -> Vec<(Reader, R)> {
    (0..rounds).flat_map(|_| Reader::ALL).map(|reader| (reader, pass(reader))).collect()
}

fn median<R, V: Ord + Copy>(passes: &[(Reader, R)], reader: Reader, of: impl Fn(&R) -> V) -> V {
    let mut values: Vec<V> =
        passes.iter().filter(|(by, _)| *by == reader).map(|(_, pass)| of(pass)).collect();
    values.sort_unstable();
    values[values.len() / 2]
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn print_readings(readings: &[(Reader, Reading)], messages: usize) {
    println!("{:<32} {:>12} {:>14}", "reader", "CPU us/msg", "messages/s");
    for reader in Reader::ALL {
        let cpu = median(readings, reader, |reading| reading.cpu);
        let wall = median(readings, reader, |reading| reading.wall);
        let name = reader.name();
        println!("{name:<32} {:>12.3} {:>14.0}", micros(cpu, messages), rate(wall, messages));
    }
}

fn micros(time: Duration, messages: usize) -> f64 {
    time.as_secs_f64() * 1e6 / messages as f64
}

fn rate(time: Duration, messages: usize) -> f64 {
    messages as f64 / time.as_secs_f64()
}
