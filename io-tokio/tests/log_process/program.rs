//! The process that writes the log, as the tests in this folder order.

use std::{
    collections::VecDeque,
    io::{self, BufRead as _, Write as _},
    process::ExitCode,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use synrepl::{
    Row,
    core::ByteString,
    log::{AppendFuture, LogStore as _, SqliteLog, SqliteOptions},
};
use tokio::runtime::{Builder, Runtime};

pub(crate) const STREAMS: [&str; 3] = ["events", "receipts", "typing"];
const IN_FLIGHT: usize = 64;

/// A row that names its batch, its index there, and the number of rows of the batch.
pub(crate) fn row(life: u64, number: u64, index: u64, count: u64) -> String {
    format!("[{life},{number},{index},{count}]")
}

/// Appends batches of 1 to 5 rows to each of three streams in turn, many under way at a time, until
/// the process is killed. Prints a line for each answer: stream, token, number of the batch, number
/// of rows. Now and then it waits until all are answered, prints `idle` and waits for a line.
pub(crate) fn append_for_ever(path: &str, life: u64) -> ExitCode {
    let log = SqliteLog::open(path, SqliteOptions::default()).unwrap();
    let mut under_way = VecDeque::<(&str, u64, u64, AppendFuture)>::new();
    let mut said = String::new();
    for number in 1_u64.. {
        let stream = STREAMS[usize::try_from(number % 3).unwrap()];
        let count = 1 + number * 7 % 5;
        let rows = (0..count).map(|index| Row::from(&*row(life, number, index, count))).collect();
        let append = log.append(ByteString::from_static(stream), rows);
        under_way.push_back((stream, number, count, append));
        let idle = number.is_multiple_of(500);
        while under_way.len() > if idle { 0 } else { IN_FLIGHT } {
            let (stream, number, count, append) = under_way.pop_front().unwrap();
            let token = runtime().block_on(append).unwrap();
            println!("{stream} {token} {number} {count}");
        }
        if idle {
            println!("idle");
            io::stdin().read_line(&mut said).unwrap();
        }
    }
    ExitCode::FAILURE
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

/// Carries out the commands on stdin, one a line, and answers each on stdout: `append ROWS BYTES`
/// appends a batch of rows of that length, `limit BYTES` keeps files from growing longer.
pub(crate) fn append_on_command(path: &str) -> ExitCode {
    let log = SqliteLog::open(path, SqliteOptions::default()).unwrap();
    for line in io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["append", rows, bytes] => {
                let text = format!("[\"{}\"]", "x".repeat(bytes.parse::<usize>().unwrap() - 4));
                let rows = vec![Row::from(&*text); rows.parse().unwrap()];
                match runtime().block_on(log.append(ByteString::from_static("s"), rows)) {
                    Ok(token) => println!("{token}"),
                    Err(error) => println!("error: {error}"),
                }
            }
            ["limit", bytes] => {
                let maximum = getrlimit(Resource::Fsize).maximum;
                let limit = Rlimit { current: bytes.parse().ok(), maximum };
                setrlimit(Resource::Fsize, limit).unwrap();
                println!("limited");
            }
            _ => panic!("what is {line:?}?"),
        }
        io::stdout().flush().unwrap();
    }
    ExitCode::SUCCESS
}
