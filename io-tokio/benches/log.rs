//! Measures the log in SQLite: how fast rows become durable, and how fast pages are read.
//!
//! The program ends with status 1 if a page of 100 rows takes longer than it may, or longer near
//! the start of a long log than near its end.

use std::{collections::VecDeque, process::ExitCode, time::Duration};

use synrepl::{
    Row, Span, Token,
    core::ByteString,
    log::{AppendFuture, LogStore as _, SqliteLog, SqliteOptions},
};

/// The number of rows in the log from which pages are read.
const ROWS: u32 = 1_000_000;
/// The number of pages read of each kind.
const PAGES: u32 = 2_000;
const PAGE_US_MAX: f64 = 300.0;
/// The ratio by which a page may take longer near the start than near the end, or the other way
/// round.
const RATIO_MAX: f64 = 1.5;

#[derive(Clone, Copy)]
struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
    fn start() -> Self {
        Self(std::time::Instant::now())
    }

    fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

fn stream() -> ByteString {
    ByteString::from_static("events")
}

/// Returns a row of 150 bytes, as the lines of a deployment have on average.
fn row(number: u32) -> Row {
    Row::from(
        format!(
            r#"["ev",["$event-{number:0>40}","!room-{:0>40}:example.org","m.room.message",null,null]]"#,
            number % 97
        )
        .as_str(),
    )
}

fn append(log: &SqliteLog, number: u32) -> AppendFuture {
    log.append(stream(), vec![row(number)])
}

/// Appends single rows, so many of them under way at a time, and returns rows per second.
async fn append_all(log: &SqliteLog, count: u32, in_flight: usize) -> f64 {
    let started = Stopwatch::start();
    let mut under_way = VecDeque::with_capacity(in_flight);
    for number in 0..count {
        if under_way.len() >= in_flight {
            take(under_way.pop_front()).await;
        }
        under_way.push_back(append(log, number));
    }
    while !under_way.is_empty() {
        take(under_way.pop_front()).await;
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

async fn take(append: Option<AppendFuture>) {
    if let Some(append) = append {
        assert!(append.await.is_ok(), "the disk takes no rows");
    }
}

/// Returns the median time of a page in microseconds: `rows_max` rows above tokens that lie `step`
/// apart.
async fn pages(log: &SqliteLog, first: u32, step: u32, rows_max: u32) -> f64 {
    let mut times = Vec::new();
    for page in 0..PAGES {
        let from = Token::new(i64::from(first + page * step));
        let started = Stopwatch::start();
        let page = log.read(stream(), Span::new(from, Token::new(i64::from(ROWS))), rows_max).await;
        times.push(started.elapsed().as_secs_f64() * 1e6);
        assert!(page.is_ok_and(|page| page.updates.len() == rows_max as usize), "a full page");
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    let (Ok(runtime), Ok(folder)) = (runtime, folder) else { return ExitCode::FAILURE };
    let Ok(log) = SqliteLog::open(folder.path().join("log"), SqliteOptions::default()) else {
        return ExitCode::FAILURE;
    };
    runtime.block_on(async {
        let durable = append_all(&log, 1_000, 1).await;
        println!("appends of a row, durable, 1 under way      {durable:>10.0} rows/s");
        let durable = append_all(&log, ROWS, 1_000).await;
        println!("appends of a row, durable, 1,000 under way  {durable:>10.0} rows/s");
        let near_start = pages(&log, 1_000, 7, 100).await;
        let near_end = pages(&log, ROWS - 20_000, 7, 100).await;
        println!("page of 100 rows, a million rows behind     {near_start:>10.1} us");
        println!("page of 100 rows, near the end              {near_end:>10.1} us");
        let publishing = pages(&log, 0, 490, 500).await;
        println!("page of 500 rows, one after the other       {publishing:>10.1} us");
        let ratio = (near_start / near_end).max(near_end / near_start);
        if near_start.max(near_end) <= PAGE_US_MAX && ratio <= RATIO_MAX {
            ExitCode::SUCCESS
        } else {
            println!("MISSED: {PAGE_US_MAX} us a page of 100 rows, flat within {RATIO_MAX}");
            ExitCode::FAILURE
        }
    })
}
