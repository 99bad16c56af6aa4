//! Measures a catch-up: a follower begins at the start of a long log and goes on, page by page of
//! 100 rows, from the writer's HTTP endpoint to the application. All of it is on loopback and in
//! one process.
//!
//! The program ends with status 1 if a page takes longer than it may, or longer far behind than
//! near the end.

use std::{collections::VecDeque, process::ExitCode, sync::Arc, time::Duration};

use synrepl::{
    Builder, Dialect, Event, Row, Start,
    core::ByteString,
    http::Server,
    log::{LogStore, SqliteLog, SqliteOptions},
};
use tokio::net::TcpListener;

const ROWS: u32 = 1_000_000;
/// The number of rows of one page, as the server makes them.
const PAGE_ROWS: u32 = 100;
/// The number of pages over which a time is taken.
const SPAN_PAGES: u32 = 100;
const PAGE_US_MAX: f64 = 300.0;
/// The ratio by which a page may take longer at one end of the log than at the other.
const RATIO_MAX: f64 = 1.5;
/// The number of appends under way at a time.
const IN_FLIGHT: usize = 10_000;

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

async fn fill(log: &SqliteLog) {
    let mut under_way = VecDeque::with_capacity(IN_FLIGHT);
    for number in 0..ROWS {
        if under_way.len() >= IN_FLIGHT
            && let Some(first) = under_way.pop_front()
        {
            settle(first).await;
        }
        under_way.push_back(log.append(ByteString::from_static("events"), vec![row(number)]));
    }
    for rest in under_way {
        settle(rest).await;
    }
}

async fn settle(append: synrepl::log::AppendFuture) {
    assert!(append.await.is_ok(), "the disk takes no rows");
}

/// Returns the microseconds that a page took in each span of the catch-up, in order.
async fn spans(log: Arc<SqliteLog>) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let log: Arc<dyn LogStore> = log;
    let http = TcpListener::bind("127.0.0.1:0").await?;
    let tcp = TcpListener::bind("127.0.0.1:0").await?;
    let (http_address, tcp_address) = (http.local_addr()?, tcp.local_addr()?);
    let server = tokio::spawn(Server::new(Arc::clone(&log)).run(http, std::future::pending()));
    let writer = Builder::standalone()
        .server_name("bench")
        .instance("w")
        .shared_log(log)
        .listen(tcp, Dialect::LATEST)
        .spawn()?;
    let mut follower = Builder::tcp(&tcp_address.to_string(), Dialect::LATEST)?
        .start(Start::Beginning)
        .fetch_from("w", &format!("http://{http_address}"))?
        .spawn()?;
    let (mut rows, mut spans) = (0, Vec::new());
    let mut watch = Stopwatch::start();
    while let Some(event) = follower.next().await {
        if let Event::CatchingUp { .. } = event {
            watch = Stopwatch::start();
        } else if let Event::Rows { rows: more, .. } = event {
            rows += u32::try_from(more.len())?;
            if rows.is_multiple_of(SPAN_PAGES * PAGE_ROWS) {
                let micros = watch.elapsed().as_secs_f64() * 1e6;
                spans.push(micros / f64::from(SPAN_PAGES));
                watch = Stopwatch::start();
            }
            if rows == ROWS {
                break;
            }
        }
    }
    drop(writer);
    server.abort();
    Ok(spans)
}

/// Returns the least of the times: other programs on the machine only add to them.
fn best(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[expect(clippy::print_stdout, reason = "a bench says what it measured")]
#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("rows.log");
    let log = Arc::new(SqliteLog::open(path, SqliteOptions::default())?);
    fill(&log).await;
    let spans = spans(log).await?;
    let part = spans.len() / 4;
    let far = best(&spans[..part]);
    let near = best(&spans[spans.len() - part..]);
    let all = median(spans);
    let ratio = far.max(near) / far.min(near);
    println!("catch-up page of {PAGE_ROWS} rows, from the log on disk to the application:");
    println!("  median                    {all:>7.0} us  (at most {PAGE_US_MAX:.0})");
    println!(
        "  best of the first / last quarter of {ROWS} rows behind  {far:.0} / {near:.0} us, ratio {ratio:.2}  (at most {RATIO_MAX})"
    );
    let held = all <= PAGE_US_MAX && ratio <= RATIO_MAX;
    if !held {
        println!("MISSED");
    }
    Ok(ExitCode::from(u8::from(!held)))
}
